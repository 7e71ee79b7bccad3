"""Finds the program in which models that nobody vouches for are compiled (docs/engine.md)."""

from __future__ import annotations

import os
from pathlib import Path

from executorch_coreml import _libraries

_NAME = "coreml_compile_helper"


def candidates() -> list[Path]:
    """Where the program may be, in order."""
    return _libraries.candidates(_NAME)


def program(asked: bool | str | os.PathLike[str]) -> str:
    """The program's path: the one asked for, for True the one that belongs to this package; empty for False and "".

    Raises:
        FileNotFoundError: if this package's is not there.
    """
    if asked is not True:
        return "" if asked is False else os.fspath(asked)
    for path in candidates():
        if path.exists():
            return str(path)
    places = "".join(f"\n  {path}" for path in candidates())
    raise FileNotFoundError(
        f"{_NAME}, which compiles models in a process of its own, is in none of these places:{places}\n"
        f"Within Bazel, depend on //python:runtime or //python:engine. In a checkout, build it (tools/bazel build -c opt //runtime:{_NAME}), "
        "or pass its path."
    )
