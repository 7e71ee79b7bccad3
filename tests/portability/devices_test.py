"""The C++ that an app links compiles for arm64 iOS, and what asks the operating system for things for tvOS and watchOS, each from the oldest system
on that is supported and with libc++'s marks of what came later. Nothing is linked or run."""

from __future__ import annotations

import collections
import pathlib

import object_files
import pytest

ROWS = object_files.rows("devices")
# Triple -> the platform (PLATFORM_ of mach-o/loader.h) and its oldest version. Clang raises that of a watch: watches of before 26 are arm64_32.
SYSTEMS = {"aarch64-ios.17.0": (2, 17), "aarch64-tvos.15.0": (3, 15), "aarch64-watchos.8.0": (4, 26)}
ASKING = ("base", "runtime/engine/helper")


@pytest.mark.parametrize("triple", SYSTEMS)
def test_objects_are_for_the_oldest_system(triple: str) -> None:
    contents = [pathlib.Path(path).read_bytes() for _, of, path in ROWS if of == triple]
    assert all(map(object_files.is_mach_o, contents))
    assert {object_files.build_version(content) for content in contents} == {SYSTEMS[triple]}


@pytest.mark.parametrize(("name", "words"), [("too_new", "introduced in iOS 16.3"), ("starts_a_program", "not available on tvOS")])
def test_controls_are_refused(name: str, words: str) -> None:
    assert words in pathlib.Path(f"tests/portability/{name}.txt").read_text()


@pytest.mark.parametrize(
    "source",
    [
        *object_files.COMPONENTS,
        "runtime/engine/coreml/compiled_folder.cc",
        "runtime/engine/helper/child_process.cc",
    ],
)
def test_every_component_is_there(source: str) -> None:
    expected = set(SYSTEMS) if source.rpartition("/")[0] in ASKING else {"aarch64-ios.17.0"}
    assert {triple for path, triple, _ in ROWS if path == source} == expected


def test_each_source_is_compiled_once_for_each_system() -> None:
    assert set(collections.Counter((source, triple) for source, triple, _ in ROWS).values()) == {1}
