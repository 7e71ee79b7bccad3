"""The fenced code blocks of the documentation."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator


@dataclasses.dataclass(frozen=True)
class CodeBlock:
    file: str
    # Of its first line of code, from 1.
    line: int
    language: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def is_bazel(self) -> bool:
        """Bazel's files, whichever language they are marked as for colours."""
        return self.language == "starlark" or (
            self.language == "python"
            and re.search(r"^(load|bazel_dep|local_repository|cc_binary|py_binary)\(", self.code, re.M) is not None
        )


def code_blocks(paths: Iterable[pathlib.Path]) -> Iterator[CodeBlock]:
    """Every block of the files that names a language."""
    for path in sorted(paths):
        text = path.read_text()
        for found in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.S | re.M):
            line = text.count("\n", 0, found.start(2)) + 1
            yield CodeBlock(path.as_posix(), line, found[1], found[2])
