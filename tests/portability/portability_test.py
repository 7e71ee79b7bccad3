"""The portable C++ compiles for arm64 macOS and arm64 Linux: the object files are there, and are of those systems."""

from __future__ import annotations

import collections
import pathlib
import struct

import pytest

TABLE = pathlib.Path("tests/portability/objects.txt")
ROWS = [line.split() for line in TABLE.read_text(encoding="utf-8").splitlines()]

# Mach-O: magic of 64 bits, then the CPU type (CPU_TYPE_ARM64 of mach/machine.h).
MACH_O_ARM64 = struct.pack("<II", 0xFEEDFACF, 0x0100000C)
# ELF: e_machine at byte 18 (EM_AARCH64 of elf.h).
ELF_AARCH64 = struct.pack("<H", 183)


def is_mach_o(content: bytes) -> bool:
    return content[:8] == MACH_O_ARM64


def is_elf(content: bytes) -> bool:
    return content[:4] == b"\x7fELF" and content[18:20] == ELF_AARCH64


@pytest.mark.parametrize(("triple", "is_expected"), [("aarch64-macos", is_mach_o), ("aarch64-linux-gnu", is_elf)])
def test_objects_are_of_the_system(triple: str, is_expected) -> None:
    objects = [pathlib.Path(path) for _, of, path in ROWS if of == triple]
    assert objects
    assert [str(path) for path in objects if not is_expected(path.read_bytes())] == []


@pytest.mark.parametrize(
    "source",
    [
        "base/file.cc",
        "blob/coreml_blob_reader.cc",
        "inmemoryfs/disk.cc",
        "kvstore/database.cc",
        "runtime/assets/asset_store.cc",
        "runtime/delegate/coreml_backend.cc",
        "runtime/engine/registry.cc",
        "runtime/model/value_parser.cc",
    ],
)
def test_every_component_is_there(source: str) -> None:
    assert {triple for path, triple, _ in ROWS if path == source} == {"aarch64-macos", "aarch64-linux-gnu"}


def test_each_source_is_compiled_once_for_each_system() -> None:
    assert set(collections.Counter((source, triple) for source, triple, _ in ROWS).values()) == {1}
