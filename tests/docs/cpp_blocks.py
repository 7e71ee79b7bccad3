"""Writes one C++ source of all C++ code blocks of the files given: each is the body of a function.

    cpp_blocks.py OUTPUT FILE.md ...

What a block includes is included before, and what the text around a block has introduced is declared for all.
"""

from __future__ import annotations

import pathlib
import sys

from code_blocks import code_blocks

_PROLOGUE = """\
namespace documentation {

using executorch::backends::coreml::LoadOptionsBuilder;

// What blocks refer to without making it themselves.
[[maybe_unused]] LoadOptionsBuilder options;
"""


def source(paths: list[pathlib.Path]) -> str:
    includes = ["#include <coreml_backend/coreml_backend_options.h>"]
    functions = []
    for block in code_blocks(paths):
        if block.language != "cpp":
            continue
        body = []
        for line in block.code.splitlines():
            (includes if line.startswith("#include") else body).append(line)
        name = "block_" + "".join(c if c.isalnum() else "_" for c in block.place)
        functions.append(
            f'// {block.place}\n[[maybe_unused]] void {name}() {{\n#line {block.line} "{block.file}"\n' + "\n".join(body) + "\n}\n"
        )
    if not functions:
        raise SystemExit("there is no C++ code block in the files")
    functions.append(f"extern const int block_count;\nconst int block_count = {len(functions)};\n")
    return "\n".join([*dict.fromkeys(includes), "", _PROLOGUE, *functions, "}  // namespace documentation", ""])


if __name__ == "__main__":
    output, *files = sys.argv[1:]
    pathlib.Path(output).write_text(source([pathlib.Path(file) for file in files]))
