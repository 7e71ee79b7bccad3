"""What a Core ML delegate of a .pte carries: our blob or the stock exporter's directory, whole or by reference into the named data."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from executorch_coreml import blob, executorchcoreml
from executorch_coreml.blob import stock
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.program_file import Delegate, ProgramFile

_MODEL_NAMES = (stock.MODEL_PATHS.MODEL.value, stock.MODEL_PATHS.COMPILED_MODEL.value)


@dataclasses.dataclass(frozen=True)
class Payload:
    """One delegate's model and how it is called."""

    # "blob", "blob for both runtimes" or "flattened directory"; " reference" behind it where the delegate refers to it by a key.
    format: str
    kind: blob.Kind
    # The function that the delegate runs; empty for the package's default.
    function: str
    # In the order of the call.
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    files: tuple[tuple[str, int], ...]
    size: int
    producer: str
    request: blob.Request
    content_id: str
    # Where the bytes are: of a blob its files, of a stock directory its bytes.
    _blob: blob.Blob | None = None
    _directory: bytes = b""

    @property
    def blob(self) -> blob.Blob | None:
        """The blob; None for a stock directory."""
        return self._blob

    @property
    def by_reference(self) -> bool:
        """Whether the delegate refers to its model, which others may use as well."""
        return self.format.endswith(" reference")

    @property
    def for_stock_runtime(self) -> bool:
        """Whether ExecuTorch's stock Core ML runtime reads it; this project's reads every payload."""
        return self._blob is None or self._blob.for_stock_runtime

    @property
    def stock_obstacle(self) -> str:
        """Why the stock runtime cannot be given the model; empty when it can, be it in another form."""
        return blob.stock_obstacle(self._blob) if self._blob is not None else ""

    @property
    def directory(self) -> bytes:
        """The flattened directory; empty for a blob."""
        return self._directory

    def debug_handles(self) -> dict[str, tuple[int, ...]]:
        """ExecuTorch's debug handles of the operations, by the name of each output, constants left out; empty when there are none, or no
        readable ones: they are a convenience."""
        try:
            if self._blob is not None:
                return _handles_by_output(json.loads(self._blob.debug_map or b"{}"))
            with unflattened(self._directory) as root:
                file = root / stock.MODEL_PATHS.DEBUG_INFO.value
                return _handles_by_output(json.loads(file.read_text()) if file.is_file() else {})
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}

    def write(self, folder: Path) -> Path:
        """Writes the model as the new folder target(folder), which is returned. ToolError when it exists, or cannot be written."""
        target = self.target(folder)
        if os.path.lexists(target):
            raise ToolError(f"{target} already exists: name another folder, or remove this one")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._write(target)
        except OSError as error:
            raise ToolError(f"{target} cannot be written: {error.strerror or error}") from error
        return target

    def target(self, folder: Path) -> Path:
        """`folder` with .mlpackage or .mlmodelc behind its name, by the model's kind."""
        return folder.with_name(folder.name + (".mlmodelc" if self.kind is blob.Kind.COMPILED else ".mlpackage"))

    def _write(self, target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".extract_") as scratch:
            staging = Path(scratch) / "model"
            if self._blob is not None:
                for file in self._blob.files:
                    path = staging / file.path
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as sink:
                        for chunk in file.content.chunks():
                            sink.write(chunk)
            else:
                with unflattened(self._directory) as root:
                    shutil.move(stock_model(root), staging)
            staging.rename(target)


def _handles_by_output(info: Any) -> dict[str, tuple[int, ...]]:
    """From debug_info.json, or from the map that blobs of version 1.0 have: the operations of each handle."""
    handles: dict[str, list[int]] = {}
    if "debugSymbolToHandles" in info:
        for symbol, of_symbol in info["debugSymbolToHandles"].items():
            output, _, operator = symbol.rpartition(":")
            if operator != "const":
                handles.setdefault(output, []).extend(int(handle) for handle in of_symbol)
    else:
        for handle, paths in info.items():
            for operation in (path[-1] for path in paths):
                if operation.get("Operator") != "const":
                    handles.setdefault(operation["Output"], []).append(int(handle))
    return {name: tuple(of_name) for name, of_name in handles.items()}


def refers_to_stock(program: ProgramFile, delegate: Delegate) -> bool:
    """Whether the delegate's payload is, or leads to, a flattened directory and no blob."""
    data = delegate.processed
    if stock.is_reference(data):
        data = program.named_data.get(reference_key(delegate), b"{")
    return stock.is_directory(data)


def is_reference(delegate: Delegate) -> bool:
    """Whether the delegate's bytes are a reference, of either form."""
    return stock.is_reference(delegate.processed) or isinstance(blob.read(delegate.processed), blob.Reference)


def reference_key(delegate: Delegate) -> str:
    """The key of the named data that a reference leads to. ToolError for one that cannot be read."""
    if stock.is_reference(delegate.processed):
        return _stock_reference_parts(delegate, f"the delegate {delegate.label}")[0]
    reference = blob.read(delegate.processed)
    assert isinstance(reference, blob.Reference)
    return reference.named_data_key


def open_payload(program: ProgramFile, delegate: Delegate) -> Payload:
    """Reads a delegate's payload, of whichever form. ToolError for a damaged one."""
    what = f"the delegate {delegate.label} of {program.path}"
    data = delegate.processed
    if refers_to_stock(program, delegate):
        if stock.is_reference(data):
            return _stock_reference(program, delegate, what)
        return _stock_directory(data, "", "flattened directory", delegate, what)
    try:
        content, function = blob.open_delegate_call(data, named_data=program.named_data.get)
    except (blob.CorruptBlobError, blob.UnsupportedVersionError) as error:
        raise ToolError(f"{what} has a payload that cannot be read: {error}") from error
    return of_blob(content, function)


def of_blob(content: blob.Blob, function_name: str) -> Payload:
    """The payload of a blob; with a function name, of a reference to it."""
    functions = {function.name: function for function in content.functions}
    function = functions.get(function_name) or (content.functions[0] if len(content.functions) == 1 else None)
    return Payload(
        format="blob" + (" for both runtimes" if content.for_stock_runtime else "") + (" reference" if function_name else ""),
        kind=content.kind,
        function=function_name or (function.name if function else ""),
        input_names=tuple(t.name for t in function.inputs) if function else (),
        output_names=tuple(t.name for t in function.outputs) if function else (),
        files=tuple((file.path, file.content.size) for file in content.files),
        size=sum(file.content.size for file in content.files),
        producer=" ".join([content.producer, *(f"{name} {version}" for name, version in content.producer_versions)]).strip(),
        request=content.request,
        content_id=blob.content_id(content).hex(),
        _blob=content,
    )


def _stock_reference(program: ProgramFile, delegate: Delegate, what: str) -> Payload:
    key, function = _stock_reference_parts(delegate, what)
    data = program.named_data.get(key)
    if data is None:
        raise ToolError(f"{what} names the named data {key!r}, which the program does not have")
    return _stock_directory(data, function, "flattened directory reference", delegate, what)


def _stock_reference_parts(delegate: Delegate, what: str) -> tuple[str, str]:
    """The key and the function's name."""
    try:
        return stock.read_reference(delegate.processed)
    except ValueError as error:
        raise ToolError(f"{what} is a reference that cannot be read: {error}") from error


def _stock_directory(data: bytes, function: str, form: str, delegate: Delegate, what: str) -> Payload:
    with unflattened(data, what) as root:
        model = stock_model(root, what)
        try:
            metadata = json.loads((root / stock.MODEL_PATHS.METADATA.value).read_text())
            names = metadata.get("methods", {}).get(function or delegate.method, metadata)
            inputs, outputs = tuple(names["inputNames"]), tuple(names["outputNames"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ToolError(f"{what} has no readable metadata.json: {type(error).__name__}: {error}") from error
        files = tuple((str(p.relative_to(model)), p.stat().st_size) for p in sorted(model.rglob("*")) if p.is_file())
    units = delegate.compile_specs.get("compute_units", b"").rstrip(b"\0").decode(errors="replace")
    return Payload(
        format=form,
        kind=blob.Kind.COMPILED if model.name.endswith(".mlmodelc") else blob.Kind.PACKAGE,
        function=function,
        input_names=inputs,
        output_names=outputs,
        files=files,
        size=sum(size for _, size in files),
        producer="executorch's own exporter",
        request=blob.Request(compute_units=units),
        content_id="",
        _directory=data,
    )


def stock_model(root: Path, what: str = "the directory") -> Path:
    for name in _MODEL_NAMES:
        if (root / name).is_dir():
            return root / name
    raise ToolError(f"{what} holds no model: it has none of {', '.join(_MODEL_NAMES)}")


@contextmanager
def unflattened(data: bytes, what: str = "the directory") -> Iterator[Path]:
    """The directory on disk, for as long as it is used."""
    with tempfile.TemporaryDirectory(prefix="coreml_payload_") as scratch:
        if not executorchcoreml.unflatten_directory_contents(data, scratch):
            raise ToolError(f"{what} is a flattened directory that cannot be read; the log says why")
        (root,) = Path(scratch).iterdir()
        yield root
