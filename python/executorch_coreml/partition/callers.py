"""What exir is asked for while it asks the partitioner, which it does not tell: read of the frames that call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FrameType
from typing import Any

from executorch.exir import EdgeCompileConfig


def _frames() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def comes_from_to_backend() -> bool:
    """Whether EdgeProgramManager.to_backend was called by the user, not by to_edge_transform_and_lower."""
    found = False
    for frame in _frames():
        name = frame.f_code.co_name
        if name == "to_edge_transform_and_lower":
            return False
        found = found or (name == "to_backend" and "program/_program.py" in frame.f_code.co_filename)
    return found


def compile_config(partitioner: Any) -> EdgeCompileConfig | None:
    """That of the call of to_edge_transform_and_lower for which a partitioner is asked about a program; None where that is not so, or another
    partitioner is asked, too."""
    for frame in _frames():
        if frame.f_code.co_name == "_gen_edge_manager_for_partitioners":
            config, asked = frame.f_locals.get("config"), frame.f_locals.get("partitioners_for_program")
            return config if isinstance(config, EdgeCompileConfig) and asked == [partitioner] else None
    return None
