"""Folders as the bytes that the stock Core ML runtime of ExecuTorch reads, and back: the two functions of the stock exporter's extension module.

No failure is an exception but a wrong argument: None or False, and the reason, whole, in the log "executorch.backends.apple.coreml".

Thread rule: everything may be called from several threads at once.
"""

from __future__ import annotations

import ctypes
import logging
import os
from typing import Any

from executorch_coreml import _libraries

__all__ = ["flatten_directory_contents", "unflatten_directory_contents"]

_logger = logging.getLogger("executorch.backends.apple.coreml")
_library = _libraries.load("libcoreml_blob.so", "reads and writes flattened folders")

_text = ctypes.c_void_p  # Freed by coreml_blob_free.
_library.coreml_blob_free.argtypes = [_text]
_library.coreml_blob_free.restype = None
_library.coreml_blob_plan_flat.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_uint64)]
_library.coreml_blob_plan_flat.restype = _text
_library.coreml_blob_write_flat.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64]
_library.coreml_blob_write_flat.restype = _text
_library.coreml_blob_free_plan.argtypes = [ctypes.c_void_p]
_library.coreml_blob_free_plan.restype = None
_library.coreml_blob_unflatten.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_char_p]
_library.coreml_blob_unflatten.restype = _text

# A bytes object to be written once, before anybody else has it: no second copy of what may be gigabytes.
_new_bytes: Any = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]
_new_bytes.restype = ctypes.py_object


def _failed(function: str, error: int | None) -> bool:
    """Logs an error that the library gave out, and frees it."""
    if not error:
        return False
    _logger.error("%s: %s", function, ctypes.string_at(error).decode(errors="replace"))
    _library.coreml_blob_free(error)
    return True


def _system_path(path: str | os.PathLike[str]) -> bytes:
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError(f"a path must not contain null characters: {path!r}")
    return encoded


def flatten_directory_contents(path: str | os.PathLike[str], /) -> bytes | None:
    """The folder at a path, flattened to bytes; None, and an entry in the log, where that fails.

    Symbolic links, devices and names that are not UTF-8 are refused. The same content gives the same bytes.
    """
    name = "flatten_directory_contents"
    plan = ctypes.c_void_p()
    size = ctypes.c_uint64()
    if _failed(name, _library.coreml_blob_plan_flat(_system_path(path), ctypes.byref(plan), ctypes.byref(size))):
        return None
    try:
        flattened: bytes = _new_bytes(None, size.value)
        if _failed(name, _library.coreml_blob_write_flat(plan, flattened, size)):
            return None
        return flattened
    finally:
        _library.coreml_blob_free_plan(plan)


def unflatten_directory_contents(bytes: bytes, path: str | os.PathLike[str], /) -> bool:
    """Writes flattened bytes as a new folder, named as the one they were made from, into the folder at a path.

    Returns whether it is there whole. Where not, nothing is left behind and the log has the reason. Nothing is replaced.
    """
    where = _system_path(path)
    if not isinstance(bytes, _BYTES):
        raise TypeError(f"flattened bytes must be of type bytes, not {type(bytes).__name__}")
    return not _failed("unflatten_directory_contents", _library.coreml_blob_unflatten(bytes, len(bytes), where))


_BYTES = bytes  # The builtin, whose name the parameter of the stock function takes.
