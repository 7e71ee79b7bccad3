"""What lowering is doing, for someone who waits for it: a line for each stage and a bar for what takes long, on a terminal only.

Standard error that goes elsewhere, to a file or a test's log, gets nothing.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import tqdm

_Item = TypeVar("_Item")


def peak_megabytes() -> int:
    """The most memory this process has had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def bar(items: Sequence[_Item], description: str, unit: str) -> Iterable[_Item]:
    """The items, and a bar that moves as they are taken and goes when all are."""
    shown: Iterable[_Item] = tqdm.tqdm(items, desc=description, unit=f" {unit}", disable=None, leave=False)
    return shown


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Says what a stage took: seconds, and the process's peak memory so far. Written to standard error when that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    start = time.monotonic()
    try:
        yield
    except BaseException:
        sys.stderr.write(f"Core ML: {name}: failed after {time.monotonic() - start:.1f} s\n")
        raise
    sys.stderr.write(f"Core ML: {name}: {time.monotonic() - start:.1f} s, at most {peak_megabytes()} MB of memory\n")
