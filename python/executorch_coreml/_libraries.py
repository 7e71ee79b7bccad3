"""Finds and loads this package's shared libraries and programs, and says what is wrong where that fails.

Thread rule: everything may be called from several threads at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
import importlib.util
import logging
import mmap
import re
import sys
from pathlib import Path

_logger = logging.getLogger("executorch.backends.apple.coreml")

# Name -> where it is in the workspace.
_IN_WORKSPACE = {
    "libcoreml_blob.so": "blob/c_api",
    "libcoreml_engine.so": "runtime",
    "libcoremldelegate.so": "runtime",
    "coreml_compile_helper": "runtime",
    "coreml_runner": "runtime",
    "coreml-cache": "tools",
}


def candidates(name: str) -> list[Path]:
    """Where a library or program may be, in order."""
    here = Path(__file__)
    # .../python/executorch_coreml/_libraries.py, without following the links of Bazel's runfiles.
    workspace = here.parents[2]
    folder = _IN_WORKSPACE[name]
    return [
        here.parent / "lib" / name,  # An installed package.
        workspace / folder / name,  # Bazel's runfiles.
        workspace / "bazel-bin" / folder / name,  # This package imported from its source folder.
    ]


def find(name: str) -> Path | None:
    """The path of a library or program of this package; None where it is not there."""
    return next((path for path in candidates(name) if path.exists()), None)


def missing(name: str) -> str:
    """What to say of a library or program that find() does not find: "is in none of these places", and what to do."""
    places = "".join(f"\n  {path}" for path in candidates(name))
    if sys.platform == "linux":
        advice = "install the package executorch-coreml again"
    else:
        advice = f"no wheel has it for {sys.platform}, where this package can lower and inspect models, but not run them; they run on Linux and in apps"
    return f"is in none of these places:{places}\n{advice}; in a checkout, build it: tools/bazel build -c opt //{_IN_WORKSPACE[name]}:{name}."


def load(name: str, what_it_does: str) -> ctypes.CDLL:
    """Loads a library. Loading it again gives the same.

    Raises:
        ImportError: if it, or what it needs, is not there or of another version.
    """
    _warn_of_copies()
    path = find(name)
    if path is None:
        raise ImportError(f"{name}, which {what_it_does}, {missing(name)}")
    share_openvino(path)
    try:
        return _load(path)
    except OSError as error:
        raise ImportError(explanation(path, str(error))) from error


def _paths(library: Path) -> list[Path]:
    """The paths by which a library may be loaded, in order; more than one in the runfiles of a program of Bazel's.

    Where this repository is an external one, Bazel 4 writes search paths into its libraries that lead from RUNFILES/MAIN/external/REPOSITORY and from the
    output folder to what they need, and from RUNFILES/REPOSITORY, where this package is imported from, out of the runfiles.
    """
    # Without following links: RUNFILES/coreml_delegate/python/executorch_coreml/_libraries.py.
    runfiles = Path(__file__).absolute().parents[3]
    named = library.absolute()
    if runfiles.suffix != ".runfiles" or not named.is_relative_to(runfiles):
        return [library]
    return [named, *runfiles.glob(f"*/external/{named.relative_to(runfiles)}"), named.resolve()]


def _load(library: Path) -> ctypes.CDLL:
    """Loads a library by the first of its paths by which what it needs is found. OSError of the loader, of the first."""
    errors: list[OSError] = []
    for path in _paths(library):
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            errors.append(error)
    raise errors[0]


def _needed_openvino(library: Path) -> str:
    """The file name of libopenvino that a library is linked to; empty where it is not."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        needed = re.search(rb"libopenvino\.so\.\d+", content)
        return needed.group().decode() if needed else ""


def _openvino_folder() -> Path | None:
    """The folder of the openvino package's libraries, without importing it."""
    package = importlib.util.find_spec("openvino")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "libs"


def share_openvino(library: Path) -> None:
    """Loads the openvino package's own libopenvino, where there is one of the version that `library` was linked to.

    A process has one library of a name. Were it a copy from elsewhere, OpenVINO's Python package would use it too and look for its
    model frontends beside it in vain.
    """
    folder = _openvino_folder()
    name = _needed_openvino(library)
    if folder is not None and name and (folder / name).exists():
        with contextlib.suppress(OSError):  # The library's own copy is used then, or loading it says what is wrong.
            ctypes.CDLL(str(folder / name))


def openvino_is_wrong(file: Path) -> bool:
    """Whether a library or program needs an openvino package that is not there."""
    folder = _openvino_folder()
    name = _needed_openvino(file)
    # Within Bazel a copy lies where the library looks.
    return file.parent.name == "lib" and bool(name) and (folder is None or not (folder / name).exists())


# libopenvino.so.2641 is of 2026.4.1.
_SONAME = re.compile(r"libopenvino\.so\.(\d\d)(\d)(\d)")


def explanation(library: Path, error: str) -> str:
    """One sentence for a loader's error."""
    wanted = _needed_openvino(library)
    found = _SONAME.fullmatch(wanted)
    version = f"20{found[1]}.{found[2]}.{found[3]}" if found else ""
    if "GLIBC_" in error or "GLIBCXX_" in error:
        missing = re.search(r"version [`'](\S+?)'", error)
        return (
            f"{library.name} needs {missing[1] if missing else 'a newer C library'}, which this system's C library lacks: use a system as new as "
            "Ubuntu 22.04 or Debian 12, or build the library on this one (docs/install.md)."
        )
    if "ld-linux" in error or "libc.so.6" in error or "libstdc++.so.6: cannot" in error or "Error relocating" in error:
        return (
            f"{library.name} is built for glibc, and this system has another C library (musl?): use a system with glibc, such as Debian, Ubuntu or "
            f"Fedora ({error})."
        )
    # libhwloc and libtbb lie in the openvino package, and may be asked for before libopenvino is.
    if re.search("libopenvino|libtbb|libhwloc", error):
        try:
            installed = importlib.metadata.version("openvino")
        except importlib.metadata.PackageNotFoundError:
            return f"{library.name} needs the package openvino, which is not installed: pip install openvino=={version}"
        return f"{library.name} needs openvino {version}, and {installed} is installed in {_openvino_folder()}: pip install openvino=={version}"
    if "libexecutorch" in error or "executorch" in error:
        return (
            f"{library.name} does not fit the executorch package that is installed ({error}): pip install "
            f"executorch=={TESTED_EXECUTORCH}"
        )
    return f"{library} cannot be loaded: {error}. It needs the executorch and openvino packages it was built with."


# The one whose C++ headers the libraries are compiled with; its library has no version in its name.
TESTED_EXECUTORCH = "1.5.1"


def executorch_mismatch() -> str | None:
    """A sentence where the installed executorch is not the one that the delegate was compiled for, or is there twice."""
    found = sorted(
        {
            distribution.version.partition("+")[0]
            for distribution in importlib.metadata.distributions(name="executorch")
            if distribution.version
        }
    )
    if len(found) > 1:
        return (
            f"executorch is on the path several times, as {' and '.join(found)}: uninstall all but {TESTED_EXECUTORCH} (python -m pip uninstall "
            "executorch, repeated until it says that there is none, then install it again)."
        )
    if found and found[0] != TESTED_EXECUTORCH:
        return (
            f"the Core ML delegate is compiled for executorch {TESTED_EXECUTORCH}, and {found[0]} is installed: pip install "
            f"executorch=={TESTED_EXECUTORCH}"
        )
    return None


@functools.cache
def _warn_of_copies() -> None:
    """Whoever has this package twice on sys.path wonders which one runs."""
    found = []
    for place in sys.path:
        folder = Path(place or ".") / "executorch_coreml"
        if (folder / "_libraries.py").is_file() and folder.resolve() not in found:
            found.append(folder.resolve())
    if len(found) > 1:
        used = Path(__file__).resolve().parent
        others = ", ".join(str(folder) for folder in found if folder != used)
        _logger.warning("executorch_coreml is on the path twice: %s is used, not %s; uninstall one of them", used, others)
