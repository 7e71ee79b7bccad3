"""What object files say of themselves."""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Iterator

# Mach-O: magic of 64 bits, then the CPU type (CPU_TYPE_ARM64 of mach/machine.h).
MACH_O_ARM64 = struct.pack("<II", 0xFEEDFACF, 0x0100000C)
# ELF: e_machine at byte 18 (EM_AARCH64 of elf.h).
ELF_AARCH64 = struct.pack("<H", 183)
# Load commands and flags of mach-o/loader.h, mach-o/nlist.h and mach-o/fat.h.
_SYMBOLS = 0x2
_BUILD_VERSION = 0x32
# LC_LOAD_DYLIB, and the weak, re-exported and upward ones.
_LIBRARIES = (0xC, 0x80000018, 0x8000001F, 0x80000023)
_OF_DEBUGGER = 0xE0
_TYPE = 0x0E
_EXTERNAL = 0x01
_FAT = 0xCAFEBABE

# A source of each component that is compiled for every system.
COMPONENTS = (
    "base/file.cc",
    "blob/coreml_blob_reader.cc",
    "inmemoryfs/disk.cc",
    "kvstore/database.cc",
    "runtime/assets/asset_store.cc",
    "runtime/delegate/coreml_backend.cc",
    "runtime/engine/registry.cc",
    "runtime/model/value_parser.cc",
)


def rows(table: str) -> list[list[str]]:
    """(source, triple, object) of a portable_objects target."""
    return [line.split() for line in pathlib.Path(f"tests/portability/{table}.txt").read_text(encoding="utf-8").splitlines()]


def is_mach_o(content: bytes) -> bool:
    return content[:8] == MACH_O_ARM64


def is_elf(content: bytes) -> bool:
    return content[:4] == b"\x7fELF" and content[18:20] == ELF_AARCH64


def _commands(content: bytes) -> Iterator[tuple[int, int]]:
    """(kind, offset) of each load command."""
    (count,) = struct.unpack_from("<I", content, 16)
    offset = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", content, offset)
        yield command, offset
        offset += size


def build_version(content: bytes) -> tuple[int, int] | None:
    """The platform and the major version of the oldest system of a Mach-O file: LC_BUILD_VERSION of mach-o/loader.h, whose version is
    0xXXXXYYZZ."""
    for command, offset in _commands(content):
        if command == _BUILD_VERSION:
            platform, oldest = struct.unpack_from("<II", content, offset + 8)
            return platform, oldest >> 16
    return None


def arm64_part(content: bytes) -> bytes | None:
    """The arm64 Mach-O file that a file is or has among others; None where there is none."""
    if is_mach_o(content):
        return content
    if len(content) < 8 or struct.unpack_from(">I", content)[0] != _FAT:
        return None
    for i in range(struct.unpack_from(">I", content, 4)[0]):
        processor, _, offset, size, _ = struct.unpack_from(">5I", content, 8 + 20 * i)
        if processor == 0x0100000C:
            return content[offset : offset + size]
    return None


def _text(content: bytes, offset: int) -> str:
    return content[offset : content.index(b"\0", offset)].decode()


def symbols(content: bytes) -> tuple[list[tuple[str, str]], set[str]]:
    """What a linked Mach-O file takes, (library, name), and the names that it has for others."""
    libraries: list[str] = []
    table = (0, 0, 0, 0)
    for command, offset in _commands(content):
        if command in _LIBRARIES:
            libraries.append(_text(content, offset + struct.unpack_from("<I", content, offset + 8)[0]))
        elif command == _SYMBOLS:
            table = struct.unpack_from("<4I", content, offset + 8)
    taken, given = [], set()
    first, count, names, _ = table
    for i in range(count):
        name, kind, _, description, _ = struct.unpack_from("<IBBHQ", content, first + 16 * i)
        if kind & _OF_DEBUGGER or not kind & _EXTERNAL:
            continue
        if kind & _TYPE:
            given.add(_text(content, names + name))
        elif 0 < description >> 8 <= len(libraries):
            taken.append((libraries[(description >> 8) - 1], _text(content, names + name)))
    return taken, given
