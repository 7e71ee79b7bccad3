"""Compiled models on disk: what is kept, how much of it, and getting rid of it.

    from executorch_coreml import runtime

    runtime.set_options(cache_dir="/data/cache")
    runtime.prewarm("model.pte")              # Compiles now what the next process will load.
    print(runtime.cache.stats().bytes)
    runtime.cache.purge()

Every function takes the folder that `cache_dir` was set to; without one, it is the process's own. docs/assets.md describes the files and
the rules. Nothing that any process has open is removed.

Thread rule: everything may be called from several threads and processes at once.
"""

from __future__ import annotations

import builtins
import dataclasses
import json
import os
from typing import Any

from executorch_coreml.runtime import _library

__all__ = ["Entry", "Removed", "Stats", "Verified", "evict", "evict_to", "list", "purge", "stats", "verify"]

_LIBRARY = _library.Library()


@dataclasses.dataclass(frozen=True)
class Stats:
    """What a folder holds, and what this process did with it. All sizes in bytes."""

    folder: str
    # "read-write"; "read-only"; "private" (nothing is kept: the volume has no file locks); "off".
    mode: str
    # Why it is not read-write.
    mode_reason: str
    entries: int
    bytes: int
    budget_bytes: int
    # Of the volume.
    free_bytes: int
    # Nothing is added while less is free.
    free_floor_bytes: int
    hits: int
    misses: int
    compilations: int
    # Loads that went on without the cache.
    uncached: int
    evictions: int
    # Entries that were found damaged, removed and compiled again.
    damaged: int


@dataclasses.dataclass(frozen=True)
class Entry:
    """One compiled function of one model."""

    # 64 hexadecimal digits: what it depends on, hashed.
    name: str
    # The model's SHA-256.
    content: str
    # What it was compiled for, by name: "engine", "fingerprint", "function", "platform", and what else the engine's compiled form
    # depends on.
    attributes: dict[str, str]
    bytes: int
    # Milliseconds since 1970 (UTC).
    created_ms: int
    last_used_ms: int
    # By any process.
    is_in_use: bool


@dataclasses.dataclass(frozen=True)
class Removed:
    entries: int
    bytes: int
    # Entries that stayed because somebody has them open.
    in_use: int


@dataclasses.dataclass(frozen=True)
class Verified:
    entries: int
    bytes: int
    # What is wrong with each damaged entry; those that nobody uses were removed.
    damaged: builtins.list[str]


def stats(folder: str | os.PathLike[str] | None = None) -> Stats:
    """What the folder holds.

    Raises:
        DelegateError: if there is no folder given and none set, as for every function here.
    """
    return Stats(**_call("stats", folder))


def list(folder: str | os.PathLike[str] | None = None) -> builtins.list[Entry]:
    """Every entry, most recently used first."""
    return [Entry(**entry) for entry in _call("list", folder)]


def purge(folder: str | os.PathLike[str] | None = None) -> Removed:
    """Removes every entry that nobody uses."""
    return Removed(**_call("purge", folder))


def evict(name: str, folder: str | os.PathLike[str] | None = None) -> Removed:
    """Removes one entry.

    Args:
        name: The entry's name, or as much of its beginning as no other entry has.

    Raises:
        DelegateError: if there is none, several, or it is in use.
    """
    return Removed(**_call("evict", folder, name))


def evict_to(size: int, folder: str | os.PathLike[str] | None = None) -> Removed:
    """Removes the least recently used entries until at most `size` bytes are left."""
    if size < 0:
        raise ValueError(f"size must be a number of bytes, not {size}")
    return Removed(**_call("evict_to", folder, str(size)))


def verify(folder: str | os.PathLike[str] | None = None) -> Verified:
    """Reads every file of every entry and compares its checksums."""
    return Verified(**_call("verify", folder))


def _call(command: str, folder: str | os.PathLike[str] | None, argument: str = "") -> Any:
    path = b"" if folder is None else os.fsencode(folder)
    error = _LIBRARY.coreml_delegate_cache(command.encode(), path, argument.encode())
    if error:
        # Defined by the package, which imports this module.
        from executorch_coreml.runtime import DelegateError, last_error

        raise DelegateError(last_error(), error)
    return json.loads(_LIBRARY.coreml_delegate_cache_result())
