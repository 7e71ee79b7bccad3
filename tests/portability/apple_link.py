"""Linking for Apple's systems on another, with LLVM's linker and stubs of the systems' libraries.

A stub has the names that a library is published to have, and is made before anything is linked: libSystem's come with the compiler (Zig has macOS's), the
others are in apple_libraries.json, and Core ML's classes and constants in apple_core_ml_api.json.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess

import ziglang

LINKER = pathlib.Path(os.environ["LD64"])
_LIBRARIES = json.loads(pathlib.Path("tests/portability/apple_libraries.json").read_text(encoding="utf-8"))
_CORE_ML = json.loads(pathlib.Path("runtime/engine/coreml/api/apple_core_ml_api.json").read_text(encoding="utf-8"))
_LIBSYSTEM = pathlib.Path(ziglang.__file__).parent / "lib/libc/darwin/libSystem.tbd"

# libc++'s from macOS 10.12 and iOS 10 on, as clang's own table for `-fsized-deallocation` has it (sizedDeallocMinVersion of clang/lib/Driver/ToolChains/Darwin.cpp):
# Apple's own compiler does not call them, so no program of its linker takes them.
_SIZED_DEALLOCATION = ["__ZdlPvm", "__ZdlPvmSt11align_val_t"]
# What @available becomes, of the compiler's own static library, which Xcode links (compiler-rt/lib/builtins/os_version_check.c).
_COMPILER_RUNTIME = ["___isPlatformVersionAtLeast"]


def _libsystem() -> list[str]:
    text = _LIBSYSTEM.read_text(encoding="utf-8")
    lists = re.findall(r"(?:weak-|thread-local-)?symbols: *\[(.*?)\]", text, re.DOTALL)
    return sorted({name.strip().strip("'") for found in lists for name in found.split(",") if name.strip()})


def _core_ml() -> list[str]:
    ios = _CORE_ML["ios"]
    classes = [name for name, entry in ios["classes"].items() if not entry["protocol"]]
    return [f"_OBJC_CLASS_$_{name}" for name in classes] + [f"_{name}" for name in ios["constants"]]


def _foundation() -> list[str]:
    foundation = _CORE_ML["foundation"]
    return [f"_OBJC_CLASS_$_{name}" for name in foundation["classes"]] + [f"_{name}" for name in foundation["constants"]]


def libraries(version: str = "") -> dict[str, list[str]]:
    """The path of each of the system's libraries -> its names. On macOS the frameworks have a folder for each version (`Versions/A`)."""
    taken = _LIBRARIES["libraries"]
    frameworks = "/System/Library/Frameworks/{0}.framework/" + version + "{0}"
    return {
        "/usr/lib/libSystem.B.dylib": _libsystem(),
        "/usr/lib/libc++.1.dylib": taken["libc++"] + _SIZED_DEALLOCATION,
        "/usr/lib/libobjc.A.dylib": taken["libobjc"],
        "/usr/lib/libsqlite3.dylib": _LIBRARIES["libsqlite3"],
        frameworks.format("Foundation"): taken["Foundation"] + _foundation(),
        frameworks.format("CoreML"): taken["CoreML"] + _core_ml(),
        "@rpath/libclang_rt.dylib": _COMPILER_RUNTIME,
    }


def executorch() -> list[str]:
    """The names of ExecuTorch's library for macOS, which are those of its frameworks too."""
    return _LIBRARIES["executorch"]


def surface() -> set[str]:
    """What an app calls: every function of the C API, and of the C++ ones those that register and reach the delegate."""
    header = pathlib.Path("runtime/include/coreml_delegate_c.h").read_text(encoding="utf-8")
    functions = {f"_{name}" for name in re.findall(r"^\w[\w *]*?\b(coreml_delegate_\w+)\(", header, re.MULTILINE)}
    assert len(functions) >= 10
    return functions | {
        "__ZN15coreml_delegate16register_backendEv",
        "__ZN10executorch8backends6coreml21CoreMLBackendDelegate23get_registered_delegateEv",
    }


def write_stub(path: pathlib.Path, system: str, install_name: str, names: list[str]) -> None:
    """A text-based library (.tbd, version 4)."""
    quoted = ", ".join(f"'{name}'" for name in sorted(set(names)))
    path.write_text(
        f"--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-{system} ]\ninstall-name: '{install_name}'\n"
        f"exports:\n  - targets: [ arm64-{system} ]\n    symbols: [ {quoted} ]\n...\n",
        encoding="utf-8",
    )


def write_stubs(folder: pathlib.Path, system: str, given: dict[str, list[str]]) -> list[pathlib.Path]:
    paths = []
    for install_name, names in given.items():
        paths.append(folder / (install_name.rpartition("/")[2] + ".tbd"))
        write_stub(paths[-1], system, install_name, names)
    return paths


def link(
    output: pathlib.Path, system: str, oldest: str, objects: list[pathlib.Path], given: list[pathlib.Path]
) -> subprocess.CompletedProcess[str]:
    """One dylib of all objects. The linker refuses names that nothing has: that is its default."""
    command = [LINKER, "-arch", "arm64", "-platform_version", system, oldest, oldest, "-dylib", "-dead_strip_dylibs"]
    command += ["-install_name", "@rpath/libcoremldelegate.dylib", "-o", output, *objects, *given]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
