"""What coremltools shares between everybody who converts in this process: a lock for it, and what it logs.

coremltools keeps names and symbols of the program being built in module variables, so only one thread at a time may build one.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Iterator

from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil.types.symbolic import k_used_symbols

_LOCK = threading.Lock()

# What the partitioner says for the whole model in one line, and what the delegate makes good: it hands over ExecuTorch's dtypes and shapes.
_NO_NEWS = re.compile(
    r"^Core ML only supports fp16 states"
    r"|^int64 dtype input \S+ down casted"
    r"|^Saving value type of int64"
    r"|is of dtype bool\. The Core ML (runtime|I/O) does not support"
    r"|^Trying to insert a cast op at the beginning of the program"
    r"|^Core ML does not support scalar input"
)


class _Thread(threading.local):
    is_converting = False
    is_trying = False


_thread = _Thread()


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message of coremltools is for the user. Other users of coremltools, in other threads, get every one."""
    if _thread.is_trying:
        return False
    return not (_thread.is_converting and _NO_NEWS.search(record.getMessage()))


logging.getLogger("coremltools").addFilter(_is_news)


def forget_names() -> None:
    """Names and symbols start anew, so that the next conversion gives the same bytes whatever came before. With the lock held."""
    mb.name_count.clear()
    k_used_symbols.clear()


@contextlib.contextmanager
def exclusive(*, trying: bool = False) -> Iterator[None]:
    """Nobody else builds a MIL program meanwhile. With `trying`, what coremltools logs is dropped: the caller expects failures."""
    with _LOCK:
        _thread.is_converting, _thread.is_trying = True, trying
        forget_names()
        try:
            yield
        finally:
            forget_names()
            _thread.is_converting = _thread.is_trying = False
