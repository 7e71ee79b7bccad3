"""What a blob says, and its identity. Values: immutable, hashable where their parts are, safe to share between threads."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Protocol

MAJOR_VERSION = 1
MINOR_VERSION = 1

# A dimension's max when it has no upper bound.
UNBOUNDED = -1

# Files are read in pieces of this size: larger ones are no faster, and would be what lowering a small model needs most memory for.
_CHUNK_BYTES = 256 << 10


class Kind(enum.IntEnum):
    """What the files are; the numbers of schema.Kind."""

    PACKAGE = 0
    COMPILED = 1


class DataType(enum.IntEnum):
    """An element type at the delegate's border; the numbers of schema.DataType."""

    INVALID = 0
    BOOL = 1
    INT8 = 2
    UINT8 = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    INT64 = 7
    FLOAT16 = 8
    FLOAT32 = 9
    FLOAT64 = 10

    @property
    def itemsize(self) -> int:
        """Bytes of one element; 0 for INVALID."""
        return (0, 1, 1, 1, 2, 2, 4, 8, 2, 4, 8)[self]


class Content(Protocol):
    """The bytes of a file, wherever they are."""

    @property
    def size(self) -> int: ...

    @property
    def checksum(self) -> bytes:
        """SHA-256, 32 bytes."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The bytes, in pieces; those of a file on disk are small."""

    def mapped(self) -> Iterator[bytes | memoryview]:
        """The bytes, in pieces of which none is a copy: a file on disk is mapped, and unmapped with its piece."""


@dataclasses.dataclass(frozen=True)
class InlineBytes:
    """A file's content in memory, borrowed."""

    data: bytes | memoryview

    @property
    def size(self) -> int:
        return len(self.data)

    @functools.cached_property
    def checksum(self) -> bytes:
        return hashlib.sha256(self.data).digest()

    def chunks(self) -> Iterator[bytes | memoryview]:
        yield self.data

    mapped = chunks


@dataclasses.dataclass(frozen=True)
class FileOnDisk:
    """A file's content on disk. The file must not change while this is in use; it is read in chunks, never as a whole."""

    path: str

    @functools.cached_property
    def size(self) -> int:
        return os.path.getsize(self.path)

    @functools.cached_property
    def checksum(self) -> bytes:
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.digest()

    def chunks(self) -> Iterator[bytes | memoryview]:
        with open(self.path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def mapped(self) -> Iterator[bytes | memoryview]:
        if self.size == 0:
            return
        with open(self.path, "rb") as file:
            yield memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@dataclasses.dataclass(frozen=True)
class NamedData:
    """A file's content elsewhere in the program: the whole value of `key` in its named data."""

    key: str
    size: int
    checksum: bytes

    def chunks(self) -> Iterator[bytes | memoryview]:
        raise ValueError(f"the bytes of the named data {self.key!r} are not in the blob, but in the program")

    mapped = chunks


@dataclasses.dataclass(frozen=True)
class File:
    """One file: its `/`-separated path relative to the package's root, and its content."""

    path: str
    content: Content


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One extent of a shape: an inclusive range; `max` may be UNBOUNDED."""

    min: int
    max: int

    @classmethod
    def fixed(cls, extent: int) -> Dimension:
        return cls(extent, extent)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A named tensor at the delegate's border. dtype and shape are those of ExecuTorch's tensor, which may differ from the model's."""

    name: str
    dtype: DataType
    dimensions: tuple[Dimension, ...] = ()
    enumerated_shapes: tuple[tuple[int, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class State:
    """A state. `initial_value_path` is a file of the blob with the little-endian row-major elements; empty: it starts at zero."""

    tensor: Tensor
    initial_value_path: str = ""


@dataclasses.dataclass(frozen=True)
class Function:
    """A function of the ML Program; inputs and outputs in the order of the delegate call's arguments."""

    name: str
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    states: tuple[State, ...] = ()
    method: str = ""


@dataclasses.dataclass(frozen=True)
class Request:
    """What the exporter asked for, in the words of the stock runtime's options; empty strings for nothing."""

    compute_units: str = ""
    compute_precision: str = ""
    deployment_target: str = ""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Where the blob of a delegate call is, and which of its functions to run."""

    named_data_key: str
    function_name: str


@dataclasses.dataclass(frozen=True)
class Blob:
    """A whole blob. Order of files, functions and states does not matter: writers sort them."""

    files: tuple[File, ...]
    functions: tuple[Function, ...]
    kind: Kind = Kind.PACKAGE
    specification_version: int = 0
    request: Request = Request()
    producer: str = ""
    producer_versions: tuple[tuple[str, str], ...] = ()
    # Operations to debug handles, as debug_info.json; blobs of version 1.0 have another form.
    debug_map: bytes = b""
    alignment: int = 64
    # Whether ExecuTorch's stock Core ML runtime reads the blob, too; stock_form.obstacle() says what it cannot carry.
    for_stock_runtime: bool = False

    def function(self, name: str) -> Function:
        """Raises KeyError, listing the functions there are."""
        for function in self.functions:
            if function.name == name:
                return function
        raise KeyError(f"the blob has no function {name!r}; it has {[f.name for f in self.functions]}")

    def file(self, path: str) -> File:
        """Raises KeyError, listing the files there are."""
        for file in self.files:
            if file.path == path:
                return file
        raise KeyError(f"the blob has no file {path!r}; it has {[f.path for f in self.files]}")

    def canonical(self) -> Blob:
        """The same blob in the writers' order: bytewise by path and by name."""
        functions = [
            dataclasses.replace(f, states=tuple(sorted(f.states, key=lambda s: s.tensor.name.encode()))) for f in self.functions
        ]
        return dataclasses.replace(
            self,
            files=tuple(sorted(self.files, key=lambda f: f.path.encode())),
            functions=tuple(sorted(functions, key=lambda f: f.name.encode())),
        )


class _Stream:
    """The canonical stream of docs/blob_format.md, "Identity", fed to a hash."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def integer(self, value: int) -> None:
        self._digest.update(struct.pack("<Q", value & (2**64 - 1)))

    def text(self, value: str) -> None:
        encoded = value.encode()
        self.integer(len(encoded))
        self._digest.update(encoded)

    def raw(self, value: bytes) -> None:
        self._digest.update(value)

    def tensor(self, tensor: Tensor) -> None:
        self.text(tensor.name)
        self.integer(tensor.dtype)
        self.integer(len(tensor.dimensions))
        for dimension in tensor.dimensions:
            self.integer(dimension.min)
            self.integer(dimension.max)
        self.integer(len(tensor.enumerated_shapes))
        for shape in tensor.enumerated_shapes:
            self.integer(len(shape))
            for extent in shape:
                self.integer(extent)

    def digest(self) -> bytes:
        return self._digest.digest()


def content_id(blob: Blob) -> bytes:
    """The identity: SHA-256 over the canonical content, as docs/blob_format.md defines it. 32 bytes."""
    blob = blob.canonical()
    stream = _Stream()
    stream.text("coreml_delegate.content.v1")
    stream.integer(blob.kind)
    stream.integer(blob.specification_version)
    stream.integer(len(blob.files))
    for file in blob.files:
        stream.text(file.path)
        stream.integer(file.content.size)
        stream.raw(file.content.checksum)
    stream.integer(len(blob.functions))
    for function in blob.functions:
        stream.text(function.name)
        stream.integer(len(function.inputs))
        for tensor in function.inputs:
            stream.tensor(tensor)
        stream.integer(len(function.outputs))
        for tensor in function.outputs:
            stream.tensor(tensor)
        stream.integer(len(function.states))
        for state in function.states:
            stream.tensor(state.tensor)
            stream.text(state.initial_value_path)
    return stream.digest()
