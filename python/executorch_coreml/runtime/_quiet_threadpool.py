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
_lock = threading.Lock()
_is_started = False


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
                others = _NOISE.sub(b"", written.read())
                if others:
                    os.write(2, others)
        finally:
            os.close(original)
