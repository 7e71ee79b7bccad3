"""Writes one C++ source of the first examples of headers, in the context that a template gives each.

    header_examples.py TEMPLATE OUTPUT HEADER.h ...

An example is the first block of lines in the comment at a header's top that are indented by three spaces. A line `//@ HEADER.h` of the
template becomes the example of that header. A line `//- HEADER.h: REASON` says why a header's block is no C++ code to be compiled. Every
header with a block is in the template once.
"""

from __future__ import annotations

import pathlib
import re
import sys


def example_of(text: str) -> tuple[int, list[str]]:
    """The number, from 1, of the first line of a header's example, and its lines; none where there is no example."""
    lines: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#include"):
            break
        if line.startswith("//   ") or (lines and line == "//"):
            first = first or number
            lines.append(line[len("//   ") :])
        elif lines:
            break
    while lines and not lines[-1]:
        lines.pop()
    # A list in prose is none.
    if lines and re.match(r"- |\d\. ", lines[0]):
        return 0, []
    return first, lines


def source(template: str, headers: dict[str, str]) -> str:
    """The C++ source; `headers` has the text of each header by its path from the repository's root."""
    examples = {path: found for path, text in headers.items() if (found := example_of(text))[1]}
    includes = []
    output = []
    compiled: list[str] = []
    excused: list[str] = []
    for line in template.splitlines():
        if marker := re.fullmatch(r"//- (\S+\.h): \S.*", line):
            excused.append(marker[1])
        elif marker := re.fullmatch(r"//@ (\S+\.h)", line):
            compiled.append(marker[1])
            first, lines = examples.get(marker[1], (0, []))
            includes += [code for code in lines if code.startswith("#include")]
            output.append(f'#line {first} "{marker[1]}"')
            output += ["" if code.startswith("#include") else code for code in lines]
        else:
            output.append(line)
    named = compiled + excused
    problems = [f"{path} has an example, which the template does not name" for path in sorted(examples.keys() - set(named))]
    problems += [f"{path} has no example, or is no public header" for path in sorted(set(named) - examples.keys())]
    problems += [f"{path} is in the template twice" for path in sorted({path for path in named if named.count(path) > 1})]
    if problems:
        raise SystemExit("\n".join(problems))
    includes += [f'#include "{path}"' for path in sorted(compiled)]
    return "\n".join([*dict.fromkeys(includes), *output, f"const int header_example_count = {len(compiled)};", ""])


if __name__ == "__main__":
    template_path, output_path, *header_paths = sys.argv[1:]
    text = source(
        pathlib.Path(template_path).read_text(),
        {re.sub(r"^bazel-out/[^/]+/bin/", "", path): pathlib.Path(path).read_text() for path in header_paths},
    )
    pathlib.Path(output_path).write_text(text)
