"""Reading a blob: every rule of docs/blob_format.md, "What readers check", in its order. Borrows: no file is copied, or read."""

from __future__ import annotations

import dataclasses
import itertools
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import executorch_coreml.blob.coreml_blob_generated as coreml_blob_generated
from executorch_coreml.blob import stock, stock_form, table_verifier
from executorch_coreml.blob.content import (
    MAJOR_VERSION,
    MINOR_VERSION,
    UNBOUNDED,
    Blob,
    Content,
    DataType,
    Dimension,
    File,
    Function,
    InlineBytes,
    Kind,
    NamedData,
    Reference,
    Request,
    State,
    Tensor,
    content_id,
)

# Generated code has no annotations.
fb: Any = coreml_blob_generated

_MAX_FILES = 100_000
_MAX_FUNCTIONS = 10_000
_MAX_TENSORS = 65_536
_MAX_RANK = 16
_MAX_SHAPES = 1_024
_MAX_NAME_BYTES = 4_096
_MAX_NAMES_BYTES = 64 << 20
_MAX_ALIGNMENT = 65_536
_MAX_COMPONENTS = 64
_MAX_COMPONENT_BYTES = 255

# A key of the program's named data -> its bytes, or None for a key it does not have.
NamedDataLookup = Callable[[str], bytes | memoryview | None]


class CorruptBlobError(ValueError):
    """The bytes break a rule of the format; the message names the rule and what breaks it."""


class UnsupportedVersionError(ValueError):
    """The blob is of a newer version than this reader."""


@dataclasses.dataclass(frozen=True)
class StoredBytes:
    """A file's content in a blob, borrowed, with the checksum its header states."""

    data: memoryview
    checksum: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[bytes | memoryview]:
        yield self.data

    mapped = chunks


def _up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


class _Names:
    """Decodes names and holds them to the limits of rule 4."""

    def __init__(self) -> None:
        self._total = 0

    def text(self, raw: bytes | None, what: str) -> str:
        try:
            return (raw or b"").decode()
        except UnicodeDecodeError:
            raise CorruptBlobError(f"{what} is not UTF-8: {raw!r}") from None

    def name(self, raw: bytes | None, what: str) -> str:
        raw = raw or b""
        if not 1 <= len(raw) <= _MAX_NAME_BYTES:
            raise CorruptBlobError(f"{what} has {len(raw)} bytes; a name has 1 to {_MAX_NAME_BYTES}")
        if b"\0" in raw:
            raise CorruptBlobError(f"{what} contains NUL: {raw!r}")
        self._total += len(raw)
        if self._total > _MAX_NAMES_BYTES:
            raise CorruptBlobError(f"the names have more than {_MAX_NAMES_BYTES} bytes")
        return self.text(raw, what)


def _check_count(count: int, low: int, high: int, what: str) -> None:
    if not low <= count <= high:
        raise CorruptBlobError(f"{what}: {count}; there may be {low} to {high}")


def _check_unique(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise CorruptBlobError(f"{what} {name!r} occurs twice")
        seen.add(name)


def _check_path(path: str) -> None:
    components = path.split("/")
    if len(components) > _MAX_COMPONENTS:
        raise CorruptBlobError(f"path {path!r} has more than {_MAX_COMPONENTS} components")
    if path.startswith("/"):
        raise CorruptBlobError(f"path {path!r} is absolute")
    if "\\" in path:
        raise CorruptBlobError(f"path {path!r} contains a backslash")
    if "\0" in path:
        raise CorruptBlobError(f"path {path!r} contains NUL")
    for component in components:
        if not component:
            raise CorruptBlobError(f"path {path!r} has an empty component")
        if component in (".", ".."):
            raise CorruptBlobError(f"path {path!r} has the component {component!r}")
        if len(component.encode()) > _MAX_COMPONENT_BYTES:
            raise CorruptBlobError(f"path {path!r} has a component of more than {_MAX_COMPONENT_BYTES} bytes")


def _check_paths(paths: list[str]) -> None:
    for path in paths:
        _check_path(path)
    _check_unique(paths, "path")
    folders = {path[:index] for path in paths for index, letter in enumerate(path) if letter == "/"}
    for path in paths:
        if path in folders:
            raise CorruptBlobError(f"path {path!r} is a file and also a directory of another file")


def _enumeration(kind: Any, value: int, minor_version: int, what: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        message = f"{what} has the unknown value {value}"
        if minor_version > MINOR_VERSION:
            raise UnsupportedVersionError(f"{message}; upgrade this library") from None
        raise CorruptBlobError(message) from None


class _TableReader:
    """Decodes the tables of a verified FlatBuffer."""

    def __init__(self, minor_version: int) -> None:
        self._names = _Names()
        self._minor_version = minor_version

    def tensor(self, table: Any, what: str) -> Tensor:
        name = self._names.name(table.Name(), f"the name of {what}")
        what = f"{what} {name!r}"
        _check_count(table.DimensionsLength(), 0, _MAX_RANK, f"dimensions of {what}")
        _check_count(table.EnumeratedShapesLength(), 0, _MAX_SHAPES, f"enumerated shapes of {what}")
        dtype = _enumeration(DataType, table.Dtype(), self._minor_version, f"the dtype of {what}")
        dimensions = tuple(Dimension(table.Dimensions(i).Min(), table.Dimensions(i).Max()) for i in range(table.DimensionsLength()))
        shapes = []
        for index in range(table.EnumeratedShapesLength()):
            shape = table.EnumeratedShapes(index)
            _check_count(shape.ExtentsLength(), 0, _MAX_RANK, f"extents of an enumerated shape of {what}")
            shapes.append(tuple(shape.Extents(j) for j in range(shape.ExtentsLength())))
        return Tensor(name, dtype, dimensions, tuple(shapes))

    def function(self, table: Any) -> Function:
        name = self._names.name(table.Name(), "the name of a function")
        for count, what in (
            (table.InputsLength(), "inputs"),
            (table.OutputsLength(), "outputs"),
            (table.StatesLength(), "states"),
        ):
            _check_count(count, 0, _MAX_TENSORS, f"{what} of function {name!r}")
        states = []
        for index in range(table.StatesLength()):
            state = table.States(index)
            tensor = self.tensor(state.Tensor(), f"state of function {name!r}:")
            states.append(State(tensor, self._names.text(state.InitialValuePath(), "an initial value's path")))
        return Function(
            name=name,
            method=self._names.text(table.Method(), f"the method of function {name!r}"),
            inputs=tuple(self.tensor(table.Inputs(i), f"input of function {name!r}:") for i in range(table.InputsLength())),
            outputs=tuple(self.tensor(table.Outputs(i), f"output of function {name!r}:") for i in range(table.OutputsLength())),
            states=tuple(states),
        )

    def key(self, raw: bytes | None, what: str) -> str:
        return self._names.name(raw, what)

    def text(self, raw: bytes | None, what: str) -> str:
        return self._names.text(raw, what)


def _check_tensor(tensor: Tensor, what: str) -> None:
    what = f"{what} {tensor.name!r}"
    if tensor.dtype == DataType.INVALID:
        raise CorruptBlobError(f"{what} has no dtype")
    for dimension in tensor.dimensions:
        if dimension.min < 0 or (dimension.max < dimension.min and dimension.max != UNBOUNDED):
            raise CorruptBlobError(f"{what} has the impossible dimension {dimension.min}..{dimension.max}")
    for shape in tensor.enumerated_shapes:
        if len(shape) != len(tensor.dimensions):
            raise CorruptBlobError(f"{what} has an enumerated shape of another rank: {shape}")
        for extent, dimension in zip(shape, tensor.dimensions, strict=True):
            if extent < dimension.min or (dimension.max != UNBOUNDED and extent > dimension.max):
                raise CorruptBlobError(f"{what} has the enumerated shape {shape} outside its dimensions")


def _check_state(state: State, sizes: dict[str, int]) -> None:
    what = f"state {state.tensor.name!r}"
    elements = 1
    for dimension in state.tensor.dimensions:
        if dimension.min != dimension.max:
            raise CorruptBlobError(f"{what} has no fixed shape")
        elements *= dimension.min
    if elements * state.tensor.dtype.itemsize >= 2**63:
        raise CorruptBlobError(f"{what} has too many elements")
    if not state.initial_value_path:
        return
    if state.initial_value_path not in sizes:
        raise CorruptBlobError(f"{what} has its initial value in {state.initial_value_path!r}, which is not a file of the blob")
    expected = elements * state.tensor.dtype.itemsize
    if sizes[state.initial_value_path] != expected:
        raise CorruptBlobError(
            f"{what} has an initial value of {sizes[state.initial_value_path]} bytes, but its elements take {expected}"
        )


def _check_functions(functions: tuple[Function, ...], sizes: dict[str, int]) -> None:
    _check_unique((f.name for f in functions), "function")
    for function in functions:
        names = [t.name for t in function.inputs] + [s.tensor.name for s in function.states]
        _check_unique(names, f"in function {function.name!r}, the input or state")
        _check_unique((t.name for t in function.outputs), f"in function {function.name!r}, the output")
        for tensor in (*function.inputs, *(s.tensor for s in function.states)):
            _check_tensor(tensor, f"function {function.name!r}: input or state")
        for tensor in function.outputs:
            _check_tensor(tensor, f"function {function.name!r}: output")
        for state in function.states:
            _check_state(state, sizes)


def _checksum(raw: Any, length: int, what: str) -> bytes:
    if length != 32:
        raise CorruptBlobError(f"{what} has {length} bytes; a SHA-256 has 32")
    return bytes(raw)


def _payload(data: memoryview, table_end: int, blob: Any) -> tuple[memoryview, int]:
    """Rule 3. The part of the payload that files lie in, and where it starts."""
    alignment = blob.Alignment()
    if not 1 <= alignment <= _MAX_ALIGNMENT or alignment & (alignment - 1):
        raise CorruptBlobError(f"the alignment {alignment} is not a power of two of at most {_MAX_ALIGNMENT}")
    start = _up(table_end, alignment)
    if start + blob.PayloadSize() != len(data):
        raise CorruptBlobError(
            f"the payload of {blob.PayloadSize()} bytes from {start} on does not end with the blob, which has {len(data)} bytes"
        )
    if blob.StockBytes() > blob.PayloadSize():
        raise CorruptBlobError(
            f"the {blob.StockBytes()} bytes for the stock runtime are more than the payload's {blob.PayloadSize()}"
        )
    return data[start : len(data) - blob.StockBytes()], start


def _files(blob: Any, payload: memoryview, reader: _TableReader, named_data: NamedDataLookup | None) -> tuple[File, ...]:
    """Rules 4 to 7, as far as they are about files."""
    tables = [blob.Files(i) for i in range(blob.FilesLength())]
    paths = [reader.text(table.Path(), "a path") for table in tables]
    _check_paths(paths)
    checksums = [
        _checksum(table.ChecksumAsNumpy() if table.ChecksumLength() else b"", table.ChecksumLength(), f"the checksum of {path!r}")
        for table, path in zip(tables, paths, strict=True)
    ]
    contents: list[Content] = []
    ranges = []
    for table, path, checksum in zip(tables, paths, checksums, strict=True):
        key = table.NamedDataKey()
        if key is not None:
            contents.append(_named(reader.key(key, f"the named-data key of {path!r}"), table.Size(), checksum, path, named_data))
            continue
        offset, size = table.Offset(), table.Size()
        if offset % blob.Alignment():
            raise CorruptBlobError(f"file {path!r} starts at {offset}, which is not a multiple of {blob.Alignment()}")
        if offset + size > len(payload):
            raise CorruptBlobError(
                f"file {path!r}, {size} bytes from {offset} on, lies outside the payload of {len(payload)} bytes"
            )
        if size:
            ranges.append((offset, offset + size, path))
        contents.append(StoredBytes(payload[offset : offset + size], checksum))
    ranges.sort()
    for (_, end, path), (start, _, other) in itertools.pairwise(ranges):
        if start < end:
            raise CorruptBlobError(f"files {path!r} and {other!r} overlap")
    return tuple(File(path, content) for path, content in zip(paths, contents, strict=True))


def _named(key: str, size: int, checksum: bytes, path: str, named_data: NamedDataLookup | None) -> Content:
    if named_data is None:
        return NamedData(key, size, checksum)
    data = named_data(key)
    if data is None:
        raise CorruptBlobError(f"file {path!r} is the named data {key!r}, which the program does not have")
    if len(data) != size:
        raise CorruptBlobError(f"file {path!r} has {size} bytes, but its named data {key!r} has {len(data)}")
    return StoredBytes(memoryview(data), checksum)


def _root(data: memoryview) -> tuple[Any, int]:
    """Rules 1 and 2, up to the content. Returns the accessor of the root and where the table ends."""
    if len(data) < 8:
        raise CorruptBlobError(f"{len(data)} bytes are too few for a size prefix and a table")
    (size,) = struct.unpack_from("<I", data, 0)
    if size + 4 > len(data):
        raise CorruptBlobError(f"the size prefix says {size} bytes, but {len(data) - 4} follow it")
    table = data[: size + 4]
    if len(table) < 12 or bytes(table[8:12]) != b"CMLB":
        raise CorruptBlobError("the file identifier is not CMLB: the bytes are not a blob of this project")
    problem = table_verifier.problem(table)
    if problem is not None:
        raise CorruptBlobError(f"the table is malformed: {problem}")
    return fb.Root.GetRootAs(table, 4), size + 4


def _content(root: Any, kind: Any) -> Any:
    content = kind()
    union = root.Content()
    content.Init(union.Bytes, union.Pos)
    return content


def _check_version(content: Any) -> None:
    if content.MajorVersion() > MAJOR_VERSION:
        raise UnsupportedVersionError(
            f"the blob has format version {content.MajorVersion()}.{content.MinorVersion()}, and this reader reads "
            f"{MAJOR_VERSION}.x; upgrade this library"
        )
    if content.MajorVersion() < MAJOR_VERSION:
        raise CorruptBlobError(f"there is no format version {content.MajorVersion()}")


def _read_reference(root: Any, data: memoryview, table_end: int) -> Reference:
    reference = _content(root, fb.Reference)
    _check_version(reference)
    if table_end != len(data):
        raise CorruptBlobError(f"{len(data) - table_end} bytes follow a reference")
    names = _Names()
    return Reference(
        names.name(reference.NamedDataKey(), "the named-data key of a reference"),
        names.name(reference.FunctionName(), "the function name of a reference"),
    )


def _read_blob(root: Any, data: memoryview, table_end: int, *, verify_checksums: bool, named_data: NamedDataLookup | None) -> Blob:
    table = _content(root, fb.Blob)
    _check_version(table)
    kind = _enumeration(Kind, table.Kind(), table.MinorVersion(), "the kind")
    payload, payload_start = _payload(data, table_end, table)
    _check_count(table.FilesLength(), 1, _MAX_FILES, "files")
    _check_count(table.FunctionsLength(), 1, _MAX_FUNCTIONS, "functions")
    reader = _TableReader(table.MinorVersion())
    functions = tuple(reader.function(table.Functions(i)) for i in range(table.FunctionsLength()))
    files = _files(table, payload, reader, named_data)
    stated = _checksum(
        table.ContentIdAsNumpy() if table.ContentIdLength() else b"", table.ContentIdLength(), "the content identifier"
    )
    _check_functions(functions, {file.path: file.content.size for file in files})
    request, producer = table.Request(), table.Producer()
    blob = Blob(
        kind=kind,
        specification_version=table.SpecificationVersion(),
        files=files,
        functions=functions,
        request=Request(
            reader.text(request.ComputeUnits(), "the compute units"),
            reader.text(request.ComputePrecision(), "the compute precision"),
            reader.text(request.DeploymentTarget(), "the deployment target"),
        )
        if request
        else Request(),
        producer=reader.text(producer.Name(), "the producer") if producer else "",
        producer_versions=tuple(
            (
                reader.text(producer.Versions(i).Component(), "a component"),
                reader.text(producer.Versions(i).Version(), "a version"),
            )
            for i in range(producer.VersionsLength())
        )
        if producer
        else (),
        debug_map=bytes(table.DebugMapAsNumpy()) if table.DebugMapLength() else b"",
        alignment=table.Alignment(),
        for_stock_runtime=table.StockBytes() > 0,
    )
    if content_id(blob) != stated:
        raise CorruptBlobError(f"the content identifier is {stated.hex()}, but that of the content is {content_id(blob).hex()}")
    if blob.for_stock_runtime:
        places = [table.Files(i) for i in range(table.FilesLength())]
        regions = {
            file.path: stock_form.Region(payload_start + place.Offset(), file.content.size)
            for file, place in zip(files, places, strict=True)
        }
        try:
            stock_form.check(data, table.StockBytes(), blob, regions)
        except stock_form.DisagreementError as error:
            raise CorruptBlobError(
                f"the part of the blob for the stock runtime does not agree with the blob itself: {error}"
            ) from None
    if verify_checksums:
        for file in files:
            if isinstance(file.content, StoredBytes) and InlineBytes(file.content.data).checksum != file.content.checksum:
                raise CorruptBlobError(f"file {file.path!r} does not have its checksum")
    return blob


def read(
    data: bytes | memoryview, *, verify_checksums: bool = False, named_data: NamedDataLookup | None = None
) -> Blob | Reference:
    """Reads the processed bytes of a delegate call.

    Args:
        data: borrowed by the result.
        verify_checksums: read every file and compare it with its checksum.
        named_data: resolves files that are named data; without it they stay `NamedData`.

    Raises:
        CorruptBlobError: a rule of the format is broken.
        UnsupportedVersionError: the blob is newer than this reader.
    """
    view = memoryview(data).cast("B")
    root, table_end = _root(view)
    if root.ContentType() == fb.Content.Reference:
        return _read_reference(root, view, table_end)
    if root.ContentType() == fb.Content.NONE:
        raise CorruptBlobError("the content is neither a blob nor a reference")
    if root.ContentType() != fb.Content.Blob:
        raise UnsupportedVersionError(f"the content type {root.ContentType()} is not known; upgrade this library")
    return _read_blob(root, view, table_end, verify_checksums=verify_checksums, named_data=named_data)


def _stock_reference(data: memoryview) -> Reference:
    """What the bytes behind CMJR say."""
    try:
        reference = json.loads(bytes(data[len(stock.REFERENCE_MAGIC) :]).rstrip(b"\0"))
        version, key, function = reference["version"], reference["key"], reference["functionName"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptBlobError(f"the stock reference cannot be read: {error!r}") from None
    if version != 1:
        raise UnsupportedVersionError(f"the stock reference has version {version!r}, and this reader reads 1; upgrade this library")
    names = _Names()
    try:
        return Reference(
            names.name(key.encode(), "the key of the stock reference"),
            names.name(function.encode(), "the functionName of the stock reference"),
        )
    except (AttributeError, UnicodeEncodeError):
        raise CorruptBlobError("the stock reference has a key or functionName that is not a text") from None


def open_delegate_call(
    data: bytes | memoryview, *, named_data: NamedDataLookup, verify_checksums: bool = False
) -> tuple[Blob, str]:
    """Reads the processed bytes of a delegate call and follows a reference, ours or the stock exporter's, into the program's named data.

    Returns the blob and the name of the function to run; "" when the bytes name none.

    Raises:
        CorruptBlobError: also when a key or a function that is referred to is missing.
        UnsupportedVersionError: the blob is newer than this reader.
    """
    view = memoryview(data).cast("B")
    is_stock = stock.is_reference(bytes(view[:4])) and bytes(view[8:12]) != b"CMLB"
    found = _stock_reference(view) if is_stock else read(view, verify_checksums=verify_checksums, named_data=named_data)
    if isinstance(found, Blob):
        return found, ""
    target = named_data(found.named_data_key)
    if target is None:
        raise CorruptBlobError(f"a reference leads to the named data {found.named_data_key!r}, which the program does not have")
    blob = read_blob(target, verify_checksums=verify_checksums, named_data=named_data)
    if is_stock and not blob.for_stock_runtime:
        raise CorruptBlobError(f"a stock reference leads to the blob {found.named_data_key!r}, which the stock runtime cannot read")
    try:
        blob.function(found.function_name)
    except KeyError as error:
        raise CorruptBlobError(f"a reference leads to a function that is missing: {error.args[0]}") from None
    return blob, found.function_name


def read_blob(data: bytes | memoryview, *, verify_checksums: bool = False, named_data: NamedDataLookup | None = None) -> Blob:
    """Like `read`, for bytes that are a whole blob. Raises CorruptBlobError for a reference."""
    found = read(data, verify_checksums=verify_checksums, named_data=named_data)
    if isinstance(found, Reference):
        raise CorruptBlobError(f"a reference to {found.named_data_key!r} is in the place of a whole blob")
    return found
