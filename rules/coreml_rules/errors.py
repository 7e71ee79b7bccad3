"""Errors of actions: sentences for a build's output."""

from __future__ import annotations

import os
import traceback


class ActionError(Exception):
    """What was asked for cannot be done. str() says what failed, on which artifact, why, and what to do."""


def sentence(error: BaseException, lines: int = 12) -> str:
    """The error's type and message, without the stack; of a long message the first lines."""
    said = [line.rstrip() for line in str(error).strip().splitlines() if line.strip()]
    if len(said) > lines:
        said = [*said[:lines], f"... ({len(said) - lines} more lines)"]
    return f"{type(error).__name__}: " + "\n  ".join(said) if said else type(error).__name__


def place(error: BaseException, folder: str) -> str:
    """ " (FILE:LINE)" of the innermost frame of code below `folder`, the request's own; empty if there is none."""
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = os.path.abspath(frame.filename)
        if path.startswith(folder + os.sep) and "/site-packages/" not in path:
            found = f" ({os.path.relpath(path)}:{frame.lineno})"
    return found
