"""The portable C++ compiles for arm64 macOS and arm64 Linux: the object files are there, and are of those systems."""

from __future__ import annotations

import collections
import pathlib

import object_files
import pytest

ROWS = object_files.rows("objects")


@pytest.mark.parametrize(
    ("triple", "is_expected"), [("aarch64-macos.12.0", object_files.is_mach_o), ("aarch64-linux-gnu", object_files.is_elf)]
)
def test_objects_are_of_the_system(triple: str, is_expected) -> None:
    objects = [pathlib.Path(path) for _, of, path in ROWS if of == triple]
    assert objects
    assert [str(path) for path in objects if not is_expected(path.read_bytes())] == []


@pytest.mark.parametrize("source", object_files.COMPONENTS)
def test_every_component_is_there(source: str) -> None:
    assert {triple for path, triple, _ in ROWS if path == source} == {"aarch64-macos.12.0", "aarch64-linux-gnu"}


def test_each_source_is_compiled_once_for_each_system() -> None:
    assert set(collections.Counter((source, triple) for source, triple, _ in ROWS).values()) == {1}
