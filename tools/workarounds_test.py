"""Every workaround of a fault elsewhere has a row of workarounds.toml, which names files and tests that are there, and versions that are used."""

import re

from tools import source_tree, workarounds

# How comments name a version in which something was seen.
_SEEN = re.compile(r"\b(OpenVINO 20\d\d\.\d|2026\.\d\b|ExecuTorch \(?1\.\d|ETDump \(ExecuTorch)")


def _locked() -> dict[str, str]:
    lines = (source_tree.root() / "third-party/pypi/requirements.lock").read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if "==" in line)


def test_versions_are_those_of_the_lock() -> None:
    """After an upgrade: run the tests that the rows name, do what is done by hand, then raise `seen_in` or take the workaround away."""
    locked = _locked()
    assert [row for row in workarounds.rows() if locked[row["of"]] != row["seen_in"]] == []


def test_each_row_names_what_is_there() -> None:
    root = source_tree.root()
    for row in workarounds.rows():
        assert all((root / file).is_file() for file in row["where"]), row
        assert ("needed" in row) != ("by_hand" in row), row
        if "needed" in row:
            file, _, name = row["needed"].partition("::")
            head = f"TEST({name.replace('.', ', ')})" if file.endswith(".cc") else f"def {name}("
            assert head in (root / file).read_text(), row


def test_what_the_native_sources_say_of_versions_is_in_the_table() -> None:
    listed = {file for row in workarounds.rows() for file in row["where"]}
    found = set()
    for folder in ("base", "runtime"):
        for path in source_tree.files(source_tree.root() / folder, ".cc", ".h", ".mm"):
            if not re.search(r"_(test|fuzz)\.(cc|mm)$", path.name) and _SEEN.search(path.read_text()):
                found.add(str(path.relative_to(source_tree.root())))
    assert found - listed == set()


def test_the_page_is_up_to_date() -> None:
    page = (source_tree.root() / "docs/workarounds.md").read_text()
    assert page == workarounds.page(), "run: tools/workarounds.py > docs/workarounds.md"
