"""Loads libcoremldelegate into the ExecuTorch runtime of this process, or leaves the place to executorch's own Core ML backend."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
from pathlib import Path
from typing import Any

from executorch_coreml import _libraries
from executorch_coreml._quiet_imports import quiet

_logger = logging.getLogger("executorch.backends.apple.coreml")

_NAME = "libcoremldelegate.so"
_BACKEND = "CoreMLBackend"
# executorch::runtime::Error::RegistrationAlreadyRegistered.
_ALREADY_REGISTERED = 0x16


def candidates() -> list[Path]:
    """Where the library may be, in order."""
    return _libraries.candidates(_NAME)


def executorch_is_there() -> bool:
    """Whether ExecuTorch's Python runtime is installed, without importing it."""
    try:
        return importlib.util.find_spec("executorch.extension.pybindings") is not None
    except ModuleNotFoundError:
        return False


class OtherBackendError(ImportError):
    """The process has another backend `CoreMLBackend`: executorch's own, which its wheel for macOS registers."""

    def __init__(self) -> None:
        super().__init__(
            "the CoreMLBackend of this process is the one that the executorch package has registered, and not this package's: two cannot be "
            "used side by side, and options, caches and errors of this package's are not there"
        )


@functools.cache
def register() -> bool:
    """Registers the backend, once. False, and one line in the log, where another CoreMLBackend is there: Core ML delegates run in that.

    Raises:
        ImportError: as load(), for every other reason.
    """
    try:
        load()
    except OtherBackendError as error:
        _logger.warning("Core ML delegates run in executorch's own backend: %s", error)
        return False
    return True


@functools.cache
def load() -> ctypes.CDLL:
    """Loads the library, after ExecuTorch's own, and registers the backend. Loading it again gives the same library.

    Raises:
        OtherBackendError: if another CoreMLBackend has taken the place.
        ImportError: if a part is missing, of another version, or cannot be loaded.
    """
    wrong = _libraries.executorch_mismatch()
    if wrong is not None:
        raise ImportError(wrong)
    # First, so that libexecutorch.so is the one of the executorch package: the delegate is linked to that name and uses what is there.
    try:
        with quiet():
            from executorch.extension.pybindings import portable_lib
    except ModuleNotFoundError as error:
        raise ImportError(
            f"Core ML delegates run in ExecuTorch's Python runtime, which cannot be imported: {error}. Install it: pip install "
            f"executorch=={_libraries.TESTED_EXECUTORCH}; within Bazel depend on //python:runtime."
        ) from error
    # On a Mac this package has no library, and executorch's has registered its own.
    if _libraries.find(_NAME) is None and _BACKEND in portable_lib._get_registered_backend_names():
        raise OtherBackendError
    library = _libraries.load(_NAME, "runs Core ML delegates")

    library.coreml_delegate_register_backend.restype = ctypes.c_uint32
    library.coreml_delegate_diagnose.restype = ctypes.c_char_p
    library.coreml_delegate_last_error.restype = ctypes.c_char_p
    library.coreml_delegate_load_options.restype = ctypes.c_char_p
    library.coreml_delegate_set_string_option.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.coreml_delegate_set_string_option.restype = ctypes.c_uint32
    library.coreml_delegate_set_int_option.argtypes = [ctypes.c_char_p, ctypes.c_int]
    library.coreml_delegate_set_int_option.restype = ctypes.c_uint32
    library.coreml_delegate_set_bool_option.argtypes = [ctypes.c_char_p, ctypes.c_int]
    library.coreml_delegate_set_bool_option.restype = ctypes.c_uint32
    library.coreml_delegate_reset_states.argtypes = [ctypes.c_char_p]
    library.coreml_delegate_reset_states.restype = ctypes.c_uint32

    library.coreml_delegate_cache.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
    library.coreml_delegate_cache.restype = ctypes.c_uint32
    library.coreml_delegate_cache_result.restype = ctypes.c_char_p

    # Its static initialiser has done so; this says whether that worked.
    code = library.coreml_delegate_register_backend()
    if code == _ALREADY_REGISTERED:
        raise OtherBackendError
    if code:
        raise ImportError(f"the backend CoreMLBackend could not be registered: ExecuTorch's error {code:#x}")
    return library


class Library:
    """The library, loaded when a function of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(load(), name)
