"""What object files say of themselves."""

from __future__ import annotations

import pathlib
import struct

# Mach-O: magic of 64 bits, then the CPU type (CPU_TYPE_ARM64 of mach/machine.h).
MACH_O_ARM64 = struct.pack("<II", 0xFEEDFACF, 0x0100000C)
# ELF: e_machine at byte 18 (EM_AARCH64 of elf.h).
ELF_AARCH64 = struct.pack("<H", 183)
_BUILD_VERSION = 0x32

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


def build_version(content: bytes) -> tuple[int, int] | None:
    """The platform and the major version of the oldest system of a Mach-O file: LC_BUILD_VERSION of mach-o/loader.h, whose version is
    0xXXXXYYZZ."""
    (commands,) = struct.unpack_from("<I", content, 16)
    offset = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<II", content, offset)
        if command == _BUILD_VERSION:
            platform, oldest = struct.unpack_from("<II", content, offset + 8)
            return platform, oldest >> 16
        offset += size
    return None
