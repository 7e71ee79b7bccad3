"""clang-tidy finds nothing in the C++ sources (.clang-tidy says what it looks for)."""

import pathlib
import re

REPORTS = dict(line.split() for line in pathlib.Path("tools/clang_tidy_reports.txt").read_text().splitlines())


def test_the_sources_are_read() -> None:
    folders = {source.rpartition("/")[0] for source in REPORTS}
    assert {"base", "blob", "inmemoryfs", "kvstore", "runtime/delegate", "runtime/engine/portable", "runtime/model"} <= folders
    assert len(REPORTS) > 150


def test_it_finds_what_it_is_there_for() -> None:
    """The control: a source with a mistake, which is no part of any program."""
    assert "bugprone-use-after-move" in pathlib.Path(REPORTS["tools/testdata/moved_from.cc"]).read_text()


def test_it_finds_nothing_else() -> None:
    found = {
        source: pathlib.Path(report).read_text() for source, report in REPORTS.items() if not source.startswith("tools/testdata/")
    }
    lines = {line for text in found.values() for line in text.splitlines() if re.search(r": (warning|error): ", line)}
    assert sorted(lines) == []
