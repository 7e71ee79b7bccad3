"""Loads libcoremldelegate into the ExecuTorch runtime of this process."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import mmap
import re
from pathlib import Path

from executorch_coreml._quiet_imports import quiet

_NAME = "libcoremldelegate.so"
# executorch::runtime::Error::RegistrationAlreadyRegistered.
_ALREADY_REGISTERED = 0x16


def candidates() -> list[Path]:
    """Where the library may be, in order."""
    here = Path(__file__)
    # .../python/executorch_coreml/runtime/_library.py, without following the links of Bazel's runfiles.
    workspace = here.parents[3]
    return [
        here.parent / _NAME,  # Beside this package: an installed copy.
        workspace / "runtime" / _NAME,  # Bazel's runfiles.
        workspace / "bazel-bin" / "runtime" / _NAME,  # This package imported from its source folder.
    ]


def find() -> Path:
    for path in candidates():
        if path.exists():
            return path
    places = "".join(f"\n  {path}" for path in candidates())
    raise ImportError(
        f"{_NAME}, which runs Core ML delegates, is in none of these places:{places}\n"
        "Within Bazel, depend on //python:runtime. Outside, build it (tools/bazel build -c opt //runtime:libcoremldelegate.so) and "
        "copy or link it to one of them."
    )


def _share_openvino(library: Path) -> None:
    """Loads the openvino package's own libopenvino, where there is one of the version that `library` was linked to.

    A process has one library of a name. Were it a copy from elsewhere, OpenVINO's Python package would use it too and look for its
    model frontends beside it in vain.
    """
    package = importlib.util.find_spec("openvino")
    if package is None or package.origin is None:
        return
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        needed = re.search(rb"libopenvino\.so\.\d+", content)
        name = needed.group().decode() if needed else ""
    copy = Path(package.origin).parent / "libs" / name
    if name and copy.exists():
        with contextlib.suppress(OSError):  # The library's own copy is used then.
            ctypes.CDLL(str(copy))


def load() -> ctypes.CDLL:
    """Loads the library, after ExecuTorch's own, and registers the backend. Loading it again gives the same library.

    Raises:
        ImportError: if a part is missing, cannot be loaded, or another CoreMLBackend has taken the place.
    """
    path = find()
    # First, so that libexecutorch.so is the one of the executorch package: the delegate is linked to that name and uses what is there.
    try:
        with quiet():
            import executorch.extension.pybindings.portable_lib  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(
            f"Core ML delegates run in ExecuTorch's Python runtime, which cannot be imported: {error}. Install executorch from "
            "PyPI, or within Bazel depend on //python:runtime."
        ) from error
    _share_openvino(path)
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ImportError(
            f"{path} cannot be loaded: {error}. It needs the executorch and openvino packages it was built with."
        ) from error

    library.coreml_delegate_register_backend.restype = ctypes.c_uint32
    library.coreml_delegate_diagnose.restype = ctypes.c_char_p
    library.coreml_delegate_last_error.restype = ctypes.c_char_p
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
    error = library.coreml_delegate_register_backend()
    if error == _ALREADY_REGISTERED:
        raise ImportError(
            "another CoreMLBackend is registered in this process already, such as the one in the executorch wheel for macOS; two "
            "cannot be used side by side"
        )
    if error:
        raise ImportError(f"the backend CoreMLBackend could not be registered: ExecuTorch's error {error:#x}")
    return library
