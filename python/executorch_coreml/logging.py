"""The level of the delegate's Python loggers, as the environment asks for it."""

from __future__ import annotations

import logging
import os

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def get_coreml_log_level(default_level: int) -> int:
    """Returns the level that ET_COREML_LOG_LEVEL names, or `default_level` when it is not set.

    Raises:
        ValueError: the variable names no level.
    """
    name = os.environ.get("ET_COREML_LOG_LEVEL", "").upper()
    if not name:
        return default_level
    if name not in _LEVELS:
        raise ValueError(f"Invalid ET_COREML_LOG_LEVEL: {name}; it must be one of {', '.join(_LEVELS)}")
    return int(getattr(logging, name))
