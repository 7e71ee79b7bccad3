"""The notes of a release, from CHANGELOG.md: the section of one version, each entry on a line of its own, as forges show them.

python3 tools/release_notes.py 0.1.0 > notes.md
python3 tools/release_notes.py Unreleased
"""

import pathlib
import sys

CHANGELOG = pathlib.Path(__file__).resolve().parent.parent / "CHANGELOG.md"

# Of https://keepachangelog.com/en/1.1.0/.
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


class ChangelogError(ValueError):
    """The change log has not what was asked for, or is not written as it should be. The message is one sentence."""


def sections(changelog: str) -> dict[str, dict[str, list[str]]]:
    """Version -> kind of change -> entries, in the order of the file. An entry that is several lines long is one line here.

    Raises:
        ChangelogError: for a kind of change that is none of KINDS, and for text that is no entry of a list.
    """
    found: dict[str, dict[str, list[str]]] = {}
    version: dict[str, list[str]] | None = None
    entries: list[str] | None = None
    for number, line in enumerate(changelog.splitlines(), 1):
        if line.startswith("## "):
            # "## [0.1.0] - 2026-12-01" and "## 0.1.0".
            name = line.removeprefix("## ").partition(" - ")[0].strip("[] ")
            version, entries = found.setdefault(name, {}), None
        elif line.startswith("### ") and version is not None:
            kind = line.removeprefix("### ").strip()
            if kind not in KINDS:
                raise ChangelogError(f"line {number} of the change log: {kind!r} is none of {', '.join(KINDS)}")
            entries = version.setdefault(kind, [])
        elif line.startswith("- ") and entries is not None:
            entries.append(line.removeprefix("- ").strip())
        elif line.startswith("  ") and entries:
            entries[-1] += " " + line.strip()
        elif line.strip() and version is not None:
            raise ChangelogError(f"line {number} of the change log is no entry of a list: {line.strip()!r}")
    return found


def notes(changelog: str, version: str) -> str:
    """The notes of a version, in Markdown. Raises ChangelogError if the change log has no such version, or nothing of it."""
    found = sections(changelog)
    if version not in found:
        raise ChangelogError(f"the change log has no version {version}; it has {', '.join(found)}")
    kinds = {kind: entries for kind, entries in found[version].items() if entries}
    if not kinds:
        raise ChangelogError(f"the change log says nothing of version {version}")
    parts = [f"## {kind}\n\n" + "\n".join(f"- {entry}" for entry in kinds[kind]) for kind in KINDS if kind in kinds]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: release_notes.py VERSION")
    try:
        print(notes(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1]), end="")
    except ChangelogError as error:
        sys.exit(f"release_notes.py: {error}")


if __name__ == "__main__":
    main()
