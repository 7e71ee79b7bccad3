"""What lowering is doing, for someone who waits for it: a line for each stage on a terminal, and nothing anywhere else.

coremltools shows its own bars (operations converted, MIL passes) on a terminal; coremltools_driver.py hides them elsewhere.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator


def peak_megabytes() -> int:
    """The most memory this process has had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


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
