"""Changes the form of the Core ML models inside a .pte: the stock exporter's flattened directories, blobs, and blobs for both runtimes.

The models' files stay as they are, byte by byte, so the outputs do as well; what changes is what describes them. A blob says more than
a directory does (types, shapes, states and their initial values), so on the way to a blob it is looked up in the program and in the
model, and on the way back what a directory cannot say is refused.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from executorch_coreml import blob, mil_program
from executorch_coreml.blob import stock
from executorch_coreml.compiler import debug_info, delivery, package, stock_format
from executorch_coreml.dtypes import BY_SCALAR_TYPE
from executorch_coreml.sdk import package_facts, payload, program_file
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.program_file import Delegate, ProgramFile, TensorValue

# As the compile option blob_format names them.
FORMATS = ("both", "coreml_blob", "inmemoryfs")

_MANIFEST = "Manifest.json"


@dataclasses.dataclass(frozen=True)
class ConvertedDelegate:
    method: str
    index: int
    # As payload.Payload.format; equal where the delegate was in the wanted form already.
    before: str
    after: str


@dataclasses.dataclass
class _Conversion:
    """Processed bytes by delegate, and named data that they need."""

    program: ProgramFile
    processed: dict[str, bytes] = dataclasses.field(default_factory=dict)
    named_data: dict[str, bytes] = dataclasses.field(default_factory=dict)


def convert(source: Path, target: Path, form: str) -> list[ConvertedDelegate]:
    """Writes `source` with its Core ML delegates in the form `form`, one of FORMATS, to the new file `target`.

    Raises:
        ToolError: for what cannot be read, what the form cannot say, or when `target` exists.
    """
    if os.path.lexists(target):
        raise ToolError(f"{target} already exists: use another name, or remove it")
    file = program_file.read_pte(source)
    program = program_file.of_pte(file, source, source.stat().st_size)
    found = {delegate.label: payload.open_payload(program, delegate) for delegate in program.core_ml_delegates()}
    to_do = [d for d in program.core_ml_delegates() if _form(found[d.label]) != form]
    conversion = _Conversion(program)
    if form != "inmemoryfs":
        _to_blobs(conversion, to_do, found, form)
    else:
        _to_directories(conversion, to_do, found)
    kept = [d for d in program.core_ml_delegates() if d not in to_do]
    unused = _keys(program, to_do) - _keys(program, kept)
    named = {key: data for key, data in program.named_data.items() if key not in unused} | conversion.named_data
    _replace(file, conversion, named)
    _write(file, target)
    after = program_file.open_program(target)
    return [
        ConvertedDelegate(d.method, d.index, found[d.label].format, payload.open_payload(after, d).format)
        for d in after.core_ml_delegates()
    ]


def _form(found: payload.Payload) -> str:
    """Which of FORMATS a payload has."""
    if found.blob is None:
        return "inmemoryfs"
    return "both" if found.for_stock_runtime else "coreml_blob"


def _replace(file: Any, conversion: _Conversion, named: Mapping[str, bytes]) -> None:
    """Puts the new processed bytes and named data in place. Delegates may share their processed bytes."""
    from executorch.exir._serialize._named_data_store import NamedDataStore
    from executorch.exir.schema import BackendDelegateInlineData

    program = file.program
    data: list[bytes] = []
    for plan in program.execution_plan:
        for index, delegate in enumerate(plan.delegates):
            before = bytes(program.backend_delegate_data[delegate.processed.index].data)
            after = conversion.processed.get(f"{plan.name}/{index}", before)
            if after not in data:
                data.append(after)
            delegate.processed.index = data.index(after)
    program.backend_delegate_data = [BackendDelegateInlineData(data=content) for content in data]
    store = NamedDataStore()
    for key, content in named.items():
        store.add_named_data(key, content, alignment=delivery.ALIGNMENT)
    file.named_data = store.get_named_data_store_output() if named else None


def _write(file: Any, target: Path) -> None:
    from executorch.exir._serialize._program import serialize_pte_binary

    serialized = serialize_pte_binary(file, extract_delegate_segments=True)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".convert_") as scratch:
            staging = Path(scratch) / target.name
            with staging.open("wb") as sink:
                serialized.write_to_file(sink)
            staging.rename(target)
    except OSError as error:
        raise ToolError(f"{target} cannot be written: {error}") from error


def _keys(program: ProgramFile, delegates: Iterable[Delegate]) -> set[str]:
    """The named data that the delegates' payloads need."""
    keys: set[str] = set()
    for delegate in delegates:
        if payload.refers_to_stock(program, delegate):
            if stock.is_reference(delegate.processed):
                keys.add(payload.reference_key(delegate))
            continue
        processed: bytes = delegate.processed
        if payload.is_reference(delegate):
            keys.add(payload.reference_key(delegate))
            processed = program.named_data[payload.reference_key(delegate)]
        keys.update(file.content.key for file in blob.read_blob(processed).files if isinstance(file.content, blob.NamedData))
    return keys


# --- To blobs ---


def _to_blobs(conversion: _Conversion, delegates: Iterable[Delegate], found: Mapping[str, payload.Payload], form: str) -> None:
    by_key: dict[str, list[Delegate]] = collections.defaultdict(list)
    for delegate in delegates:
        if found[delegate.label].by_reference:
            by_key[payload.reference_key(delegate)].append(delegate)
        else:
            conversion.processed[delegate.label] = blob.to_bytes(_content(conversion, [delegate], found, form))
    for sharing in by_key.values():
        content = _content(conversion, sharing, found, form)
        key = f"coreml_blob_{blob.content_id(content).hex()}"
        conversion.named_data[key] = blob.to_bytes(content)
        for delegate in sharing:
            function = found[delegate.label].function
            conversion.processed[delegate.label] = (
                stock.reference_to_bytes(key, function)
                if form == "both"
                else blob.reference_to_bytes(blob.Reference(key, function))
            )


def _content(conversion: _Conversion, delegates: list[Delegate], found: Mapping[str, payload.Payload], form: str) -> blob.Blob:
    """The blob that some delegates call, for the runtimes of its form. One for both has its weights in itself."""
    one = found[delegates[0].label]
    content = _blob_of(conversion, delegates, found) if one.blob is None else one.blob
    if form == "both":
        if one.stock_obstacle:
            raise ToolError(
                f"the delegate {delegates[0].label} of {conversion.program.path} cannot be written for the stock runtime as well: {one.stock_obstacle}. "
                "Keep its form, or lower with take_over_mutable_buffer=False"
            )
        return dataclasses.replace(content, for_stock_runtime=True)
    files = tuple(_file(file, conversion.named_data) for file in content.files)
    return dataclasses.replace(content, files=files, for_stock_runtime=False)


def _blob_of(conversion: _Conversion, delegates: list[Delegate], found: Mapping[str, payload.Payload]) -> blob.Blob:
    """The blob of a stock directory, with a function for each of the delegates that call it."""
    one = found[delegates[0].label]
    what = f"the delegate {delegates[0].label} of {conversion.program.path}"
    if one.kind is blob.Kind.COMPILED:
        raise ToolError(
            f"{what} holds a model that Core ML has compiled, and a blob lists states, which only macOS can find in such a model: lower the model again"
        )
    with payload.unflattened(one.directory, what) as root:
        model = payload.stock_model(root, what)
        files = []
        for path in sorted(p for p in model.rglob("*") if p.is_file()):
            files.append(blob.File(path.relative_to(model).as_posix(), blob.InlineBytes(path.read_bytes())))
        files = [_without_missing_items(file, files) if file.path == _MANIFEST else file for file in files]
        spec = package_facts.load_specification(model, f"the package in {what}")
        debug_map = _debug_map(root / stock.MODEL_PATHS.DEBUG_INFO.value)
    functions: dict[str, blob.Function] = {}
    for delegate in delegates:
        function = _function(spec, delegate, found[delegate.label], what)
        functions.setdefault(function.name, function)
    return blob.Blob(
        kind=blob.Kind.PACKAGE,
        specification_version=spec.specificationVersion,
        files=tuple(files),
        functions=tuple(functions.values()),
        request=one.request,
        producer=f"{one.producer}, converted",
        debug_map=debug_map,
    )


def _without_missing_items(manifest: blob.File, files: list[blob.File]) -> blob.File:
    """The manifest without its items that no file belongs to: the stock exporter names the weights' folder when it is empty, a blob has no
    empty folders, and Core ML and coremltools refuse a package that lacks an item."""
    text = b"".join(manifest.content.chunks())
    try:
        document = json.loads(text)
        items = document["itemInfoEntries"]
        there = {
            identifier: item
            for identifier, item in items.items()
            if any(f"{file.path}/".startswith(f"Data/{item['path']}/") for file in files)
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return manifest
    if len(there) == len(items):
        return manifest
    document["itemInfoEntries"] = there
    return blob.File(manifest.path, blob.InlineBytes(json.dumps(document, indent=4).encode()))


def _file(file: blob.File, named_data: dict[str, bytes]) -> blob.File:
    """A file of the package; large weights go to the named data, under the key that the exporter would give them."""
    content = file.content
    if file.path != package.weight_path(Path(file.path).name) or content.size < delivery.NAMED_DATA_MINIMUM_BYTES:
        return file
    key = f"coreml_weights_{content.checksum.hex()}"
    named_data[key] = b"".join(content.chunks())
    return blob.File(file.path, blob.NamedData(key, content.size, content.checksum))


def _function(spec: Any, delegate: Delegate, found: payload.Payload, what: str) -> blob.Function:
    """A function of the package: names from the stock metadata, types from the program, ranges and states from the model."""
    names = (*found.input_names, *found.output_names)
    if len(names) != len(delegate.arguments):
        raise ToolError(
            f"{what} names {len(names)} inputs and outputs, but its call has {len(delegate.arguments)} arguments: export the model again"
        )
    name = found.function or mil_program.default_function(spec)
    names_there = [function.name for function in spec.description.functions]
    if names_there and name not in names_there:
        raise ToolError(f"{what} calls a function {name!r}, but the model has {', '.join(names_there)}: export the model again")
    description = mil_program.description(spec, name)
    features = {feature.name: feature for feature in (*description.input, *description.output)}
    tensors = [_tensor(n, value, features.get(n), what) for n, value in zip(names, delegate.arguments, strict=True)]
    return blob.Function(
        name=name,
        method=delegate.method,
        inputs=tuple(tensors[: len(found.input_names)]),
        outputs=tuple(tensors[len(found.input_names) :]),
        # The stock exporter makes every state float16 and drops its initial value: they start at zero.
        states=tuple(blob.State(_state(feature)) for feature in description.state),
    )


def _tensor(name: str, value: TensorValue, feature: Any, what: str) -> blob.Tensor:
    if value.scalar_type not in BY_SCALAR_TYPE:
        raise ToolError(f"{what} passes {name} as {value.scalar_type.lower()}, which a blob cannot describe")
    dtype = BY_SCALAR_TYPE[value.scalar_type].blob
    fixed = tuple(blob.Dimension.fixed(extent) for extent in value.sizes)
    if not value.is_dynamic:
        return blob.Tensor(name, dtype, fixed)
    # The sizes in the program are upper bounds.
    dimensions = tuple(blob.Dimension(0, extent) for extent in value.sizes)
    shapes: tuple[tuple[int, ...], ...] = ()
    array: Any = feature.type.multiArrayType if feature is not None else None
    flexibility = array.WhichOneof("ShapeFlexibility") if array is not None else None
    if flexibility == "shapeRange" and len(array.shapeRange.sizeRanges) == len(value.sizes):
        dimensions = tuple(blob.Dimension(r.lowerBound, max(r.upperBound, -1)) for r in array.shapeRange.sizeRanges)
    elif flexibility == "enumeratedShapes":
        shapes = tuple(tuple(shape.shape) for shape in array.enumeratedShapes.shapes)
        dimensions = tuple(blob.Dimension(min(extents), max(extents)) for extents in zip(*shapes, strict=True))
    return blob.Tensor(name, dtype, dimensions, shapes)


def _state(feature: Any) -> blob.Tensor:
    from coremltools.proto import FeatureTypes_pb2

    array = feature.type.stateType.arrayType
    dtype = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(array.dataType)
    return blob.Tensor(feature.name, blob.DataType[dtype], tuple(blob.Dimension.fixed(extent) for extent in array.shape))


def _debug_map(file: Path) -> bytes:
    """The stock debug information; empty when there is none that can be read: it is a convenience."""
    try:
        info = json.loads(file.read_text())
        if not info["debugSymbolToHandles"] or not info["debugSymbolToOperationPath"]:
            return b""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return b""
    return json.dumps(info, sort_keys=True, separators=(",", ":")).encode()


# --- To directories ---


def _to_directories(conversion: _Conversion, delegates: Iterable[Delegate], found: Mapping[str, payload.Payload]) -> None:
    keys: dict[bytes, str] = {}
    for delegate in delegates:
        one = found[delegate.label]
        assert one.blob is not None
        _check_directory(one.blob, f"the delegate {delegate.label} of {conversion.program.path}")
        if not one.by_reference:
            conversion.processed[delegate.label] = _directory(one.blob, [one.blob.function(one.function)], several=False)[0]
            continue
        identity = blob.content_id(one.blob)
        if identity not in keys:
            flattened, identifier = _directory(one.blob, list(one.blob.functions), several=True)
            keys[identity] = f"coreml_{identifier}"
            conversion.named_data[keys[identity]] = flattened
        conversion.processed[delegate.label] = stock.reference_to_bytes(keys[identity], one.function)


def _check_directory(content: blob.Blob, what: str) -> None:
    """ToolError for what a flattened directory cannot say."""
    for function in content.functions:
        initial = [state.tensor.name for state in function.states if state.initial_value_path]
        if initial:
            raise ToolError(
                f"{what} has states that start with values other than zero ({', '.join(initial)}), which the stock form cannot represent: keep the "
                "blob, or lower with take_over_mutable_buffer=False"
            )


def _directory(content: blob.Blob, functions: list[blob.Function], *, several: bool) -> tuple[bytes, str]:
    """The flattened directory of a blob, and its identifier."""
    paths = stock.MODEL_PATHS
    with tempfile.TemporaryDirectory(prefix="coreml_convert_") as scratch:
        root = Path(scratch) / "lowered_module"
        model = root / (paths.COMPILED_MODEL if content.kind is blob.Kind.COMPILED else paths.MODEL).value
        for file in content.files:
            target = model / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as sink:
                for chunk in file.content.chunks():
                    sink.write(chunk)
        identifier = stock_format.model_identifier(root)
        names = {f.name: stock.MethodMetadata([t.name for t in f.inputs], [t.name for t in f.outputs]) for f in functions}
        if several:
            stock_format.write_metadata(stock.MultifunctionModelMetadata(identifier, names), root)
        else:
            (only,) = names.values()
            stock_format.write_metadata(stock.ModelMetadata(only.inputNames, only.outputNames, identifier), root)
        info = _debug_info(content)
        if info:
            (root / paths.DEBUG_INFO.value).write_text(info)
        return stock_format.flatten(root), identifier


def _debug_info(content: blob.Blob) -> str:
    """The blob's debug map in the stock form, which those of version 1.0 do not have; empty when there is none that can be read."""
    try:
        info = json.loads(content.debug_map or b"{}")
        if "debugSymbolToHandles" in info:
            return content.debug_map.decode()
        return debug_info.to_json(info, dict(content.producer_versions))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
