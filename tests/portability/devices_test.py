"""The C++ that an app links compiles for arm64 iOS, and what asks the operating system for things for tvOS and watchOS, each from the oldest system
on that is supported and with libc++'s marks of what came later. The Objective-C++ compiles for iOS, macOS and tvOS against Core ML's API as it is
published, with clang's check of what is newer than the oldest system. Nothing is linked or run here."""

from __future__ import annotations

import collections
import pathlib

import object_files
import pytest

ROWS = object_files.rows("devices")
# Triple -> the platform (PLATFORM_ of mach-o/loader.h) and its oldest version. Clang raises that of a watch: watches of before 26 are arm64_32.
SYSTEMS = {"aarch64-ios.17.0": (2, 17), "aarch64-tvos.15.0": (3, 15), "aarch64-watchos.8.0": (4, 26)}
OBJECTIVE_CXX = object_files.rows("objective_cxx")
OBJECTIVE_CXX_SYSTEMS = {"aarch64-ios.17.0": (2, 17), "aarch64-macos.12.0": (1, 12), "aarch64-tvos.15.0": (3, 15)}
ASKING = ("base", "runtime/engine/helper")


def check_objects(rows: list[list[str]], systems: dict[str, tuple[int, int]]) -> None:
    for triple, version in systems.items():
        contents = [pathlib.Path(path).read_bytes() for _, of, path in rows if of == triple]
        assert all(map(object_files.is_mach_o, contents))
        assert {object_files.build_version(content) for content in contents} == {version}


def test_objects_are_for_the_oldest_system() -> None:
    check_objects(ROWS, SYSTEMS)
    check_objects(OBJECTIVE_CXX, OBJECTIVE_CXX_SYSTEMS)


def test_all_objective_cxx_is_there() -> None:
    sources = {str(path) for path in pathlib.Path("runtime/engine/coreml").glob("*.mm") if "_test" not in path.name}
    assert len(sources) >= 8
    found = {(source, triple) for source, triple, _ in OBJECTIVE_CXX}
    assert found == {(source, triple) for source in sources for triple in OBJECTIVE_CXX_SYSTEMS}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("too_new", "introduced in iOS 16.3"),
        ("starts_a_program", "not available on tvOS"),
        ("unguarded", "'newState' is only available on iOS 18.0 or newer"),
        ("unguarded_on_macos", "'newState' is only available on macOS 15.0 or newer"),
        ("unknown_selector", "instance method '-newStateForFunction:' not found"),
    ],
)
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
