"""Keeps the bytes of a program alive with its methods.

A program that ExecuTorch loads from bytes refers to them, and so do its delegates: `Runtime.get().load_program(data).load_method("forward")` is a
method of a program that is gone when the statement ends, and executing it reads freed memory. ExecuTorch keeps the bytes with the Program object only.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from executorch_coreml._quiet_imports import quiet
from executorch_coreml.runtime import _quiet_threadpool


def install() -> None:
    """From now on, each method of `executorch.runtime` holds the bytes of its program. Installing twice changes nothing more."""
    module = sys.modules.get("executorch.runtime")
    if module is not None and not hasattr(module, "Program"):
        return  # It is being imported, and called this (_autoload.py), which will call again.
    with quiet():
        from executorch.runtime import Method, Program

    load_method = Program.load_method
    if getattr(load_method, "_holds_bytes", False):
        return

    @functools.wraps(load_method)
    def holding(self: Program, name: str) -> Method | None:
        _quiet_threadpool.start()
        method = load_method(self, name)
        if method is not None:
            # Not the Program, which holds its methods.
            method._bytes_of_program = self._data
        return method

    marked: Any = holding
    marked._holds_bytes = True
    Program.load_method = marked
