"""Everything of the delegate that a program for macOS links, in one arm64 library, against ExecuTorch's own library for macOS as PyPI has it."""

from __future__ import annotations

import os
import pathlib
import re

import apple_link
import object_files
import pytest

SYSTEM, OLDEST, TRIPLE = "macos", "12.0", "aarch64-macos.12.0"
OBJECTS = [
    pathlib.Path(path)
    for table in ("macos_objects", "objective_cxx")
    for _, triple, path in object_files.rows(table)
    if triple == TRIPLE
]
EXECUTORCH = pathlib.Path(os.environ["EXECUTORCH"])


def given() -> dict[str, list[str]]:
    return apple_link.libraries("Versions/A/")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("link")
    stubs = apple_link.write_stubs(folder, SYSTEM, given())
    done = apple_link.link(folder / "delegate.dylib", SYSTEM, OLDEST, OBJECTS, [EXECUTORCH, *stubs])
    assert done.returncode == 0, done.stderr
    # The wheel's library is for macOS 14.
    assert "undefined" not in done.stderr
    return (folder / "delegate.dylib").read_bytes()


def test_it_is_for_the_oldest_system(library: bytes) -> None:
    assert len(OBJECTS) > 80
    assert object_files.is_mach_o(library)
    assert object_files.build_version(library) == (1, 12)


def test_the_surface_is_there(library: bytes) -> None:
    _, names = object_files.symbols(library)
    assert apple_link.surface() <= names


def test_executorchs_library_has_what_is_taken_from_it(library: bytes) -> None:
    _, has = object_files.symbols(EXECUTORCH.read_bytes())
    assert sorted(has) == apple_link.executorch()
    taken, _ = object_files.symbols(library)
    names = {name for path, name in taken if path == "@rpath/libexecutorch.dylib"}
    assert len(names) > 10 and names <= has


def test_a_name_that_no_library_has_is_refused(tmp_path: pathlib.Path) -> None:
    """A control: without ExecuTorch's library its names are missing."""
    stubs = apple_link.write_stubs(tmp_path, SYSTEM, given())
    done = apple_link.link(tmp_path / "delegate.dylib", SYSTEM, OLDEST, OBJECTS, stubs)
    assert done.returncode == 1
    missing = set(re.findall(r"undefined symbol: (\S+)", done.stderr))
    assert len(missing) > 10
    assert missing <= set(apple_link.executorch())
