"""Checks that bytes are a FlatBuffer of schema/coreml_blob.fbs before anything is read through the generated accessors.

FlatBuffers' Python package has no verifier; this is one for the few kinds of fields that the schema has. It costs in the size of the table.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping

_MAX_DEPTH = 64


class MalformedError(ValueError):
    """The bytes are no FlatBuffer of the schema."""


@dataclasses.dataclass(frozen=True)
class Scalar:
    size: int


@dataclasses.dataclass(frozen=True)
class Text:
    required: bool = False


@dataclasses.dataclass(frozen=True)
class Vector:
    """Of scalars or structs, `size` bytes each, aligned to `alignment`."""

    size: int
    alignment: int
    required: bool = False


@dataclasses.dataclass(frozen=True)
class Sub:
    """A table."""

    table: str
    required: bool = False


@dataclasses.dataclass(frozen=True)
class SubVector:
    """A vector of tables."""

    table: str
    required: bool = False


Field = Scalar | Text | Vector | Sub | SubVector

_BYTES = Vector(1, 1)

# The tables of schema/coreml_blob.fbs, fields in order. A test compares this with the code flatc generates.
TABLES: Mapping[str, tuple[Field, ...]] = {
    "File": (Text(required=True), Scalar(8), Vector(1, 1, required=True), Scalar(8), Text()),
    "Shape": (Vector(8, 8, required=True),),
    "Tensor": (Text(required=True), Scalar(1), Vector(16, 8), SubVector("Shape")),
    "State": (Sub("Tensor", required=True), Text()),
    "Function": (
        Text(required=True),
        Text(),
        SubVector("Tensor"),
        SubVector("Tensor"),
        SubVector("State"),
    ),
    "Producer": (Text(), SubVector("Version")),
    "Version": (Text(required=True), Text(required=True)),
    "Request": (Text(), Text(), Text()),
    "Blob": (
        Scalar(2),
        Scalar(2),
        Scalar(1),
        Vector(1, 1, required=True),
        Scalar(4),
        Scalar(4),
        Scalar(8),
        SubVector("File", required=True),
        SubVector("Function", required=True),
        Sub("Request"),
        Sub("Producer"),
        _BYTES,
        Scalar(8),
    ),
    "Reference": (Scalar(2), Scalar(2), Text(required=True), Text(required=True)),
}

# Root.content by its type.
_UNION = {1: "Blob", 2: "Reference"}


class _Verifier:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        # Every table has at least an offset to its vtable.
        self._tables_left = len(data) // 4 + 1

    def _number(self, form: str, position: int, what: str) -> int:
        size = struct.calcsize(form)
        if position < 0 or position + size > len(self._data):
            raise MalformedError(f"{what} lies outside the table")
        if position % size:
            raise MalformedError(f"{what} is not aligned")
        return int(struct.unpack_from(form, self._data, position)[0])

    def _follow(self, position: int, what: str) -> int:
        offset = self._number("<I", position, what)
        if offset == 0 or position + offset >= len(self._data):
            raise MalformedError(f"{what} points outside the table")
        return position + offset

    def fields(self, position: int, what: str) -> list[int]:
        """Position of each field of a table, 0 for an absent one."""
        self._tables_left -= 1
        if self._tables_left < 0:
            raise MalformedError("there are more tables than fit")
        vtable = position - self._number("<i", position, what)
        vtable_size = self._number("<H", vtable, f"{what}'s vtable")
        table_size = self._number("<H", vtable + 2, f"{what}'s vtable")
        if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > len(self._data):
            raise MalformedError(f"{what}'s vtable lies outside the table")
        if table_size < 4 or position + table_size > len(self._data):
            raise MalformedError(f"{what} lies outside the table")
        found = []
        for index in range(vtable + 4, vtable + vtable_size, 2):
            offset = self._number("<H", index, f"{what}'s vtable")
            if offset and (offset < 4 or offset >= table_size):
                raise MalformedError(f"a field of {what} lies outside it")
            found.append(position + offset if offset else 0)
        return found

    def table(self, position: int, name: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise MalformedError("tables are nested too deeply")
        fields = self.fields(position, name)
        for index, field in enumerate(TABLES[name]):
            at = fields[index] if index < len(fields) else 0
            what = f"field {index} of {name}"
            if at == 0:
                if getattr(field, "required", False):
                    raise MalformedError(f"{what} is required and absent")
                continue
            self._field(at, field, what, depth)

    def _field(self, at: int, field: Field, what: str, depth: int) -> None:
        match field:
            case Scalar(size):
                self._number({1: "<B", 2: "<H", 4: "<I", 8: "<Q"}[size], at, what)
            case Text():
                start, length = self._vector(self._follow(at, what), 1, 1, what)
                end = start + length
                if end >= len(self._data) or self._data[end] != 0:
                    raise MalformedError(f"{what} is a string without its terminator")
            case Vector(size, alignment):
                self._vector(self._follow(at, what), size, alignment, what)
            case Sub(table):
                self.table(self._follow(at, what), table, depth + 1)
            case SubVector(table):
                start, length = self._vector(self._follow(at, what), 4, 4, what)
                for index in range(length):
                    self.table(self._follow(start + 4 * index, what), table, depth + 1)

    def _vector(self, position: int, size: int, alignment: int, what: str) -> tuple[int, int]:
        length = self._number("<I", position, what)
        start = position + 4
        if start + length * size > len(self._data):
            raise MalformedError(f"{what} lies outside the table")
        if length and start % alignment:
            raise MalformedError(f"{what} is not aligned")
        return start, length

    def root(self) -> None:
        # Positions count from the size prefix, as alignment does.
        position = self._follow(4, "the root")
        fields = self.fields(position, "Root")
        if len(fields) < 2 or not fields[1]:
            raise MalformedError("Root has no content")
        kind = self._number("<B", fields[0], "Root's content type") if fields[0] else 0
        if kind not in _UNION:
            # A newer kind; the reader says so.
            return
        self.table(self._follow(fields[1], "Root's content"), _UNION[kind], 2)


def verify(data: memoryview) -> None:
    """Checks a size-prefixed FlatBuffer, prefix included.

    Raises MalformedError.
    """
    _Verifier(data).root()
