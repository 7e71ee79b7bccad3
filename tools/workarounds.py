"""docs/workarounds.md, from the table workarounds.toml.

tools/workarounds.py > docs/workarounds.md
"""

import pathlib
import tomllib
from typing import Any

TABLE = pathlib.Path(__file__).resolve().with_name("workarounds.toml")

_HEAD = """# Workarounds of faults elsewhere

Written by `tools/workarounds.py` from `tools/workarounds.toml`. Each fault was seen in the version named. Where a test is named, it shows the
fault in the other project alone, or what happens without the workaround: when it fails, the workaround may go. A change of version in
`third-party/pypi/requirements.lock` fails `//tools:workarounds_test` until every row of that distribution was looked at.

| In | Fault | Worked around in | Not needed any more when |
|---|---|---|---|
"""


def rows() -> list[dict[str, Any]]:
    with TABLE.open("rb") as file:
        table: list[dict[str, Any]] = tomllib.load(file)["workaround"]
    return table


def page() -> str:
    lines = []
    for row in sorted(rows(), key=lambda row: str(row["of"])):
        end = f"`{row['needed']}` fails" if "needed" in row else f"by hand: {row['by_hand']}"
        files = ", ".join(f"`{file}`" for file in row["where"])
        lines.append(f"| {row['of']} {row['seen_in']} | {row['what']} | {files} | {end} |")
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
