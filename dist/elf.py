"""What a wheel has to know of a 64-bit little-endian ELF library or program, and the one thing it changes: where it looks for libraries."""

from __future__ import annotations

import struct

_DYNAMIC, _LOAD = 2, 1
_NEEDED, _STRTAB, _SONAME, _RUNPATH, _RPATH, _VERNEED, _VERNEEDNUM = 1, 5, 14, 29, 15, 0x6FFFFFFE, 0x6FFFFFFF


class Elf:
    """The dynamic section of a file. ValueError for what is not such a file."""

    def __init__(self, content: bytes) -> None:
        if content[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self._content = content
        (headers,) = struct.unpack_from("<Q", content, 32)
        size, count = struct.unpack_from("<HH", content, 54)
        self._loads: list[tuple[int, int, int]] = []
        dynamic = None
        for index in range(count):
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", content, headers + index * size)
            if kind == _LOAD:
                self._loads.append((address, length, offset))
            elif kind == _DYNAMIC:
                dynamic = (offset, length)
        if dynamic is None:
            raise ValueError("no dynamic section")
        self.entries: list[tuple[int, int]] = []
        for position in range(dynamic[0], dynamic[0] + dynamic[1], 16):
            tag, value = struct.unpack_from("<QQ", content, position)
            if tag == 0:
                break
            self.entries.append((tag, value))

    def _offset(self, address: int) -> int:
        for start, length, offset in self._loads:
            if start <= address < start + length:
                return address - start + offset
        raise ValueError(f"no part of the file is loaded at {address:#x}")

    def _value(self, tag: int) -> int:
        return next(value for found, value in self.entries if found == tag)

    def string_offset(self, index: int) -> int:
        return self._offset(self._value(_STRTAB)) + index

    def _string(self, index: int) -> str:
        start = self.string_offset(index)
        return self._content[start : self._content.index(b"\0", start)].decode()

    def _strings(self, tag: int) -> list[str]:
        return [self._string(value) for found, value in self.entries if found == tag]

    def needed(self) -> list[str]:
        return self._strings(_NEEDED)

    def runpath(self) -> list[str]:
        return self._strings(_RUNPATH)

    def runpath_index(self) -> int:
        """Of the string table."""
        found = [value for tag, value in self.entries if tag == _RUNPATH]
        if len(found) != 1 or any(tag == _RPATH for tag, _ in self.entries):
            raise ValueError("not exactly one RUNPATH")
        return found[0]

    def other_strings(self) -> list[int]:
        """Indices of the string table that other entries of the dynamic section use."""
        return [value for tag, value in self.entries if tag in (_NEEDED, _SONAME)]

    def needed_versions(self) -> list[str]:
        """The versions of symbols, such as "GLIBC_2.34"."""
        if not any(tag == _VERNEED for tag, _ in self.entries):
            return []
        position = self._offset(self._value(_VERNEED))
        versions = []
        for _ in range(self._value(_VERNEEDNUM)):
            _, count, _, first, following = struct.unpack_from("<HHIII", self._content, position)
            entry = position + first
            for _ in range(count):
                _, _, _, name, step = struct.unpack_from("<IHHII", self._content, entry)
                versions.append(self._string(name))
                entry += step
            position += following
        return sorted(set(versions))


def with_runpath(content: bytes, runpath: str) -> bytes:
    """The file with another RUNPATH, written over the one it has, which must be at least as long; without one, as it is.

    Raises:
        ValueError: if there is no room.
    """
    library = Elf(content)
    if not library.runpath():
        return content
    index = library.runpath_index()
    present, wanted = library.runpath()[0].encode(), runpath.encode()
    if len(present) < len(wanted):
        raise ValueError(f"the RUNPATH {present.decode()!r} has no room for {runpath!r}")
    if any(index <= other <= index + len(present) for other in library.other_strings()):
        raise ValueError("another name is part of the RUNPATH")
    start = library.string_offset(index)
    changed = content[:start] + wanted.ljust(len(present), b"\0") + content[start + len(present) :]
    if Elf(changed).runpath() != [runpath]:
        raise ValueError("the RUNPATH could not be changed")
    return changed
