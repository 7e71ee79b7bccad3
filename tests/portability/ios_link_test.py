"""Everything of the delegate that an app for iOS links, in one arm64 library: every name that it takes is one that the system or ExecuTorch has."""

from __future__ import annotations

import pathlib

import apple_link
import object_files
import pytest

SYSTEM, OLDEST, TRIPLE = "ios", "17.0", "aarch64-ios.17.0"
OBJECTS = [
    pathlib.Path(path) for table in ("devices", "objective_cxx") for _, triple, path in object_files.rows(table) if triple == TRIPLE
]
EXECUTORCH = "@rpath/libexecutorch.dylib"


def given() -> dict[str, list[str]]:
    return {**apple_link.libraries(), EXECUTORCH: apple_link.executorch()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("link")
    stubs = apple_link.write_stubs(folder, SYSTEM, given())
    done = apple_link.link(folder / "delegate.dylib", SYSTEM, OLDEST, OBJECTS, stubs)
    assert (done.returncode, done.stderr) == (0, "")
    return (folder / "delegate.dylib").read_bytes()


def test_it_is_for_the_oldest_system(library: bytes) -> None:
    assert len(OBJECTS) > 80
    assert object_files.is_mach_o(library)
    assert object_files.build_version(library) == (2, 17)


def test_the_surface_is_there(library: bytes) -> None:
    _, names = object_files.symbols(library)
    assert apple_link.surface() <= names


def test_each_library_has_what_is_taken_from_it(library: bytes) -> None:
    taken, _ = object_files.symbols(library)
    assert {path for path, _ in taken} == given().keys()
    assert ("/System/Library/Frameworks/CoreML.framework/CoreML", "_OBJC_CLASS_$_MLModel") in taken
    assert {name for path, name in taken if path == EXECUTORCH} <= set(apple_link.executorch())
    assert len(taken) > 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/lib/libsqlite3.dylib", "_sqlite3_step"),
        ("/System/Library/Frameworks/CoreML.framework/CoreML", "_OBJC_CLASS_$_MLModel"),
        (EXECUTORCH, "__ZN10executorch7runtime16register_backendERKNS0_7BackendE"),
    ],
)
def test_a_name_that_no_library_has_is_refused(tmp_path: pathlib.Path, path: str, name: str) -> None:
    """Controls: without one of its names a library's stub is not enough."""
    libraries = given()
    assert name in libraries[path]
    libraries[path] = [other for other in libraries[path] if other != name]
    stubs = apple_link.write_stubs(tmp_path, SYSTEM, libraries)
    done = apple_link.link(tmp_path / "delegate.dylib", SYSTEM, OLDEST, OBJECTS, stubs)
    assert done.returncode == 1
    assert "undefined symbol" in done.stderr and done.stderr.count("undefined symbol") == 1
