"""Writing a blob: the table first, then each inline file once, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import flatbuffers

import executorch_coreml.blob.coreml_blob_generated as coreml_blob_generated
from executorch_coreml.blob import stock_form
from executorch_coreml.blob.content import (
    MAJOR_VERSION,
    MINOR_VERSION,
    Blob,
    Function,
    NamedData,
    Reference,
    State,
    Tensor,
    content_id,
)

_IDENTIFIER = b"CMLB"

# Generated code has no annotations.
fb: Any = coreml_blob_generated


def _up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


class _TableBuilder:
    """The FlatBuffer of one blob. FlatBuffers are built from the leaves; every method returns an offset."""

    def __init__(self) -> None:
        self._builder: Any = flatbuffers.Builder(1024)
        # Where the debug map's vector is, from the end of the buffer.
        self._debug_map = 0

    def vector(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def text(self, value: str) -> int:
        return int(self._builder.CreateString(value))

    def tensor(self, tensor: Tensor) -> int:
        b = self._builder
        shapes = []
        for extents in tensor.enumerated_shapes:
            fb.ShapeStartExtentsVector(b, len(extents))
            for extent in reversed(extents):
                b.PrependInt64(extent)
            vector = b.EndVector()
            fb.ShapeStart(b)
            fb.ShapeAddExtents(b, vector)
            shapes.append(fb.ShapeEnd(b))
        enumerated = self.vector(shapes) if shapes else 0
        fb.TensorStartDimensionsVector(b, len(tensor.dimensions))
        for dimension in reversed(tensor.dimensions):
            fb.CreateDimension(b, dimension.min, dimension.max)
        dimensions = b.EndVector()
        name = self.text(tensor.name)
        fb.TensorStart(b)
        fb.TensorAddName(b, name)
        fb.TensorAddDtype(b, tensor.dtype)
        fb.TensorAddDimensions(b, dimensions)
        if enumerated:
            fb.TensorAddEnumeratedShapes(b, enumerated)
        return int(fb.TensorEnd(b))

    def state(self, state: State) -> int:
        b = self._builder
        path = self.text(state.initial_value_path) if state.initial_value_path else 0
        tensor = self.tensor(state.tensor)
        fb.StateStart(b)
        fb.StateAddTensor(b, tensor)
        if path:
            fb.StateAddInitialValuePath(b, path)
        return int(fb.StateEnd(b))

    def function(self, function: Function) -> int:
        b = self._builder
        inputs = self.vector([self.tensor(t) for t in function.inputs])
        outputs = self.vector([self.tensor(t) for t in function.outputs])
        states = self.vector([self.state(s) for s in function.states])
        method = self.text(function.method) if function.method else 0
        name = self.text(function.name)
        fb.FunctionStart(b)
        fb.FunctionAddName(b, name)
        if method:
            fb.FunctionAddMethod(b, method)
        fb.FunctionAddInputs(b, inputs)
        fb.FunctionAddOutputs(b, outputs)
        fb.FunctionAddStates(b, states)
        return int(fb.FunctionEnd(b))

    def files(self, blob: Blob, offsets: Sequence[int]) -> int:
        b = self._builder
        tables = []
        for file, offset in zip(blob.files, offsets, strict=True):
            key = self.text(file.content.key) if isinstance(file.content, NamedData) else 0
            checksum = b.CreateByteVector(file.content.checksum)
            path = self.text(file.path)
            fb.FileStart(b)
            fb.FileAddPath(b, path)
            fb.FileAddSize(b, file.content.size)
            fb.FileAddChecksum(b, checksum)
            fb.FileAddOffset(b, offset)
            if key:
                fb.FileAddNamedDataKey(b, key)
            tables.append(fb.FileEnd(b))
        return self.vector(tables)

    def request(self, blob: Blob) -> int:
        b = self._builder
        units = self.text(blob.request.compute_units)
        precision = self.text(blob.request.compute_precision)
        target = self.text(blob.request.deployment_target)
        fb.RequestStart(b)
        fb.RequestAddComputeUnits(b, units)
        fb.RequestAddComputePrecision(b, precision)
        fb.RequestAddDeploymentTarget(b, target)
        return int(fb.RequestEnd(b))

    def producer(self, blob: Blob) -> int:
        b = self._builder
        versions = []
        for component, version in blob.producer_versions:
            version_text, component_text = self.text(version), self.text(component)
            fb.VersionStart(b)
            fb.VersionAddComponent(b, component_text)
            fb.VersionAddVersion(b, version_text)
            versions.append(fb.VersionEnd(b))
        vector = self.vector(versions)
        name = self.text(blob.producer)
        fb.ProducerStart(b)
        fb.ProducerAddName(b, name)
        fb.ProducerAddVersions(b, vector)
        return int(fb.ProducerEnd(b))

    def blob(self, blob: Blob, offsets: Sequence[int], payload_size: int, stock_bytes: int) -> bytes:
        b = self._builder
        debug_map = self._debug_map = b.CreateByteVector(blob.debug_map) if blob.debug_map else 0
        producer = self.producer(blob)
        request = self.request(blob)
        functions = self.vector([self.function(f) for f in blob.functions])
        files = self.files(blob, offsets)
        identity = b.CreateByteVector(content_id(blob))
        fb.BlobStart(b)
        fb.BlobAddMajorVersion(b, MAJOR_VERSION)
        fb.BlobAddMinorVersion(b, MINOR_VERSION)
        fb.BlobAddKind(b, blob.kind)
        fb.BlobAddContentId(b, identity)
        fb.BlobAddSpecificationVersion(b, blob.specification_version)
        fb.BlobAddAlignment(b, blob.alignment)
        fb.BlobAddPayloadSize(b, payload_size)
        fb.BlobAddFiles(b, files)
        fb.BlobAddFunctions(b, functions)
        fb.BlobAddRequest(b, request)
        fb.BlobAddProducer(b, producer)
        if debug_map:
            fb.BlobAddDebugMap(b, debug_map)
        if stock_bytes:
            fb.BlobAddStockBytes(b, stock_bytes)
        return self.root(fb.Content.Blob, fb.BlobEnd(b))

    def debug_map_region(self, blob: Blob, table: bytes) -> stock_form.Region | None:
        """Where the table that was built has the debug map: behind the length of its vector."""
        return stock_form.Region(len(table) - self._debug_map + 4, len(blob.debug_map)) if self._debug_map else None

    def reference(self, reference: Reference) -> bytes:
        b = self._builder
        function = self.text(reference.function_name)
        key = self.text(reference.named_data_key)
        fb.ReferenceStart(b)
        fb.ReferenceAddMajorVersion(b, MAJOR_VERSION)
        fb.ReferenceAddMinorVersion(b, MINOR_VERSION)
        fb.ReferenceAddNamedDataKey(b, key)
        fb.ReferenceAddFunctionName(b, function)
        return self.root(fb.Content.Reference, fb.ReferenceEnd(b))

    def root(self, kind: int, content: int) -> bytes:
        b = self._builder
        fb.RootStart(b)
        fb.RootAddContentType(b, kind)
        fb.RootAddContent(b, content)
        b.FinishSizePrefixed(fb.RootEnd(b), _IDENTIFIER)
        return bytes(b.Output())


def _layout(blob: Blob) -> tuple[list[int], int]:
    """The payload offset of each file, and the payload's size. Files are in canonical order."""
    offsets, end = [], 0
    for file in blob.files:
        if isinstance(file.content, NamedData) or file.content.size == 0:
            offsets.append(0)
            continue
        offset = _up(end, blob.alignment)
        offsets.append(offset)
        end = offset + file.content.size
    return offsets, end


def _table(blob: Blob, offsets: Sequence[int], files_end: int) -> tuple[bytes, bytes]:
    """The table of a canonical blob, and the bytes behind its files for the stock runtime."""
    if not blob.for_stock_runtime:
        return _TableBuilder().blob(blob, offsets, files_end, 0), b""
    reason = stock_form.obstacle(blob)
    if reason:
        raise ValueError(f"the stock runtime could not read this blob: {reason}")
    # The form has the offsets of what the table's size moves, and the table has the form's size. The size of the table does not depend
    # on the numbers in it as long as none is the default, so a table with any size for the form is as large as the last one.
    builder = _TableBuilder()
    draft = builder.blob(blob, offsets, 1, 1)
    start, form_start = _up(len(draft), blob.alignment), _up(files_end, blob.alignment)
    regions = {
        file.path: stock_form.Region(start + offset, file.content.size) for file, offset in zip(blob.files, offsets, strict=True)
    }
    debug_map = builder.debug_map_region(blob, draft)
    form = stock_form.encode(blob, regions, start + form_start, debug_map)
    table = _TableBuilder().blob(blob, offsets, form_start + len(form), len(form))
    assert len(table) == len(draft), "the table's size depends on the numbers in it"
    return table, form


def _pieces(blob: Blob, *, map_files: bool) -> Iterator[bytes | memoryview]:
    """The bytes of the blob. With `map_files` a file on disk is one memory-mapped piece, else it comes in chunks."""
    blob = blob.canonical()
    offsets, files_end = _layout(blob)
    table, form = _table(blob, offsets, files_end)
    yield table
    yield bytes(_up(len(table), blob.alignment) - len(table))
    end = 0
    for file, offset in zip(blob.files, offsets, strict=True):
        if isinstance(file.content, NamedData) or file.content.size == 0:
            continue
        yield bytes(offset - end)
        end = offset + file.content.size
        yield from file.content.mapped() if map_files else file.content.chunks()
    if form:
        yield bytes(_up(end, blob.alignment) - end)
        yield form


def write(blob: Blob, sink: BinaryIO) -> None:
    """Writes the blob. Each inline file is read twice (checksum, content), in chunks; no copy of it is held."""
    for piece in _pieces(blob, map_files=False):
        sink.write(piece)


def to_bytes(blob: Blob) -> bytes:
    """The blob as one bytes object: the only copy of the inline files in memory, which are mapped while they are copied."""
    return b"".join(_pieces(blob, map_files=True))


def reference_to_bytes(reference: Reference) -> bytes:
    """The processed bytes of a delegate call whose blob lies in the program's named data."""
    return _TableBuilder().reference(reference)
