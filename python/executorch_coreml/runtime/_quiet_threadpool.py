"""Starts ExecuTorch's pool of threads without the lines that it writes about the processor.

It starts with the first operation that runs on several threads, looks for files that only phones have, and writes five lines to standard error:
"[cpuinfo_utils.cpp:71] Reading file /sys/devices/soc0/image_version". They come from native code, which has no setting for them.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading

_NOISE = re.compile(rb"^\[cpuinfo_utils\.cpp:\d+\] .*\n?", re.MULTILINE)
# A line is written in these pieces, between which there may be whole lines of others.
_PIECES = (
    rb"\[",
    rb"cpuinfo_utils\.cpp",
    rb":",
    rb"\d+",
    rb"\] ",
    rb"(?:(?:Reading file|Failed to open midr file) /sys/devices/(?:soc0/image_version|system/cpu/cpu\d+/regs/identification/midr_el1)"
    rb"|CPU info and manual query on # of cpus dont match\.)",
    rb"\n",
)
_NOISE_IN_PIECES = re.compile(rb"((?:[^\n]*\n)*?)".join(_PIECES))
_lock = threading.Lock()
_is_started = False


def _others(written: bytes) -> bytes:
    """What is left of standard error without the lines about the processor."""
    return _NOISE.sub(b"", _NOISE_IN_PIECES.sub(lambda match: b"".join(match.groups()), written))


def start() -> None:
    """Starts the pool once. What else is written to standard error meanwhile, by whomever, is written behind it."""
    global _is_started
    with _lock:
        if _is_started:
            return
        _is_started = True
        from executorch.extension.pybindings.portable_lib import _threadpool_get_thread_count

        try:
            sys.stderr.flush()
            original = os.dup(2)
        except (AttributeError, OSError, ValueError):  # There is no standard error.
            _threadpool_get_thread_count()
            return
        try:
            with tempfile.TemporaryFile() as written:
                os.dup2(written.fileno(), 2)
                try:
                    _threadpool_get_thread_count()
                finally:
                    os.dup2(original, 2)
                written.seek(0)
                others = _others(written.read())
                if others:
                    os.write(2, others)
        finally:
            os.close(original)
