"""Writes sources.cmake from the table that //cmake:sources_table makes of the BUILD files.

write_sources.py sources_table.json sources.cmake
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

_HEAD = """\
# Written from the BUILD files: tools/bazel build //cmake:written_sources && cp -f bazel-bin/cmake/written/sources.cmake cmake/
#
# coreml_delegate_sources(GROUP SOURCE...): what is compiled for GROUP: common, apple or portable.
# coreml_delegate_library(GROUP NAME SOURCES ... OPTIONS ... DEFINITIONS ...): the same, with options of its own.
# COREML_DELEGATE_TRANSLATION_SOURCES: of what runtime/engine/portable/translation_version.cc has a digest.

"""
# What CMakeLists.txt makes by itself.
_MADE = "runtime/engine/portable/translation_version.cc"


def main() -> None:
    table, translation, target = map(pathlib.Path, sys.argv[1:4])
    text = _HEAD
    groups = json.loads(table.read_text(encoding="utf-8"))
    for group in ("common", "apple", "portable"):
        # An engine is linked beside what is common to all.
        new = [library for library in groups[group] if group == "common" or library not in groups["common"]]
        plain = sorted({source for library in new if not is_special(library) for source in library["sources"]} - {_MADE})
        text += "".join([f"coreml_delegate_sources({group}\n", *(f"  {source}\n" for source in plain), ")\n\n"])
        for library in sorted(filter(is_special, new), key=lambda library: library["name"]):
            text += f"coreml_delegate_library({group} {library['name']}\n"
            for key in ("sources", "options", "definitions"):
                if library[key]:
                    text += f"  {key.upper()} {' '.join(library[key])}\n"
            text += ")\n\n"
    digested = sorted(translation.read_text(encoding="utf-8").split())
    text += "".join(["set(COREML_DELEGATE_TRANSLATION_SOURCES\n", *(f"  {source}\n" for source in digested), ")\n"])
    target.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def is_special(library: dict[str, Any]) -> bool:
    return bool(library["options"] or library["definitions"])


if __name__ == "__main__":
    main()
