"""Release notes are the change log's section of a version; the change log of this tree is written so that there can be some."""

import pytest

from tools import release_notes, source_tree

SAMPLE = """# Changelog

What may be relied on is listed in the README.

## Unreleased

### Fixed

- One thing that is
  explained in two lines.

### Added

- Another.

## [0.1.0] - 2026-12-01

### Added

- The first.
"""


def test_notes_have_one_line_for_each_entry_and_kinds_in_their_usual_order() -> None:
    assert release_notes.notes(SAMPLE, "Unreleased") == (
        "## Added\n\n- Another.\n\n## Fixed\n\n- One thing that is explained in two lines.\n"
    )
    assert release_notes.notes(SAMPLE, "0.1.0") == "## Added\n\n- The first.\n"


def test_a_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(release_notes.ChangelogError, match=r"has no version 0\.2\.0; it has Unreleased, 0\.1\.0"):
        release_notes.notes(SAMPLE, "0.2.0")
    with pytest.raises(release_notes.ChangelogError, match=r"says nothing of version 0\.3\.0"):
        release_notes.notes("## 0.3.0\n\n### Added\n", "0.3.0")


def test_what_is_no_entry_is_refused_with_its_line() -> None:
    with pytest.raises(release_notes.ChangelogError, match="line 3 of the change log: 'Improved' is none of Added, Changed"):
        release_notes.sections("## 1.0.0\n\n### Improved\n")
    with pytest.raises(release_notes.ChangelogError, match=r"line 5 .* is no entry of a list: 'A paragraph\.'"):
        release_notes.sections("## 1.0.0\n\n### Added\n\nA paragraph.\n")


def test_the_change_log_has_notes_of_every_version() -> None:
    text = (source_tree.root() / "CHANGELOG.md").read_text(encoding="utf-8")
    found = release_notes.sections(text)
    assert next(iter(found)) == "Unreleased"
    for version in found:
        made = release_notes.notes(text, version)
        assert made.count("\n- ") == sum(len(entries) for entries in found[version].values())
