"""From a converted model to what ExecuTorch puts into the .pte: processed bytes, and weights as named data.

Weights of at least NAMED_DATA_MINIMUM_BYTES are not copied into the processed bytes. They stay on disk, under a key made of their
content, until the .pte is written, so equal weight files of several partitions and methods are stored once.
"""

from __future__ import annotations

import dataclasses
import io
import json
import mmap
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executorch.exir._serialize._cord import FileBackedData
from executorch.exir._serialize._named_data_store import NamedDataStore, NamedDataStoreOutput
from executorch.exir.backend.backend_details import PreprocessResult

from executorch_coreml import _dependencies as dependencies
from executorch_coreml import blob
from executorch_coreml.blob import stock
from executorch_coreml.compiler import package
from executorch_coreml.compiler.compile_specs import ModelType, Options
from executorch_coreml.compiler.conversion import ConvertedModel

NAMED_DATA_MINIMUM_BYTES = 64 << 10

# Where weights start in the .pte: what the blob's inline files are aligned to as well.
ALIGNMENT = 64

# A piece of a weight file in memory while the .pte is written.
_COPIED_BYTES = 256 << 10


class UnlinkedFile(FileBackedData):
    """File-backed data whose file has no name any more: the disk space goes with the last reference, however the process ends.

    Copies are the object itself, unlike those of its base class, the first of which to go deletes the file of all. Thread rule: reads are
    positional, so that several threads may read.
    """

    def __init__(self, path: Path, *, sha256: bytes) -> None:
        """Takes the file over and unlinks it."""
        self._file = path.open("rb")
        path.unlink()
        self._size = os.fstat(self._file.fileno()).st_size
        self._sha256 = sha256
        self._finalizer = None

    def __copy__(self) -> UnlinkedFile:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> UnlinkedFile:
        return self

    def prefix(self, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, 0)

    def to_bytes(self) -> bytes:
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return mapped[:]

    def write_to_file(self, outfile: io.BufferedIOBase) -> None:
        for start in range(0, self._size, _COPIED_BYTES):
            outfile.write(os.pread(self._file.fileno(), min(_COPIED_BYTES, self._size - start), start))

    def close(self) -> None:
        self._file.close()


@dataclasses.dataclass
class NamedDataWriter:
    """Collects the named data of one delegate call; with `inline_weights` there are no weights among it."""

    inline_weights: bool = False
    store: NamedDataStore = dataclasses.field(default_factory=NamedDataStore)

    def weight_file(self, path: Path) -> blob.File:
        """A weight file of the package: taken over when it is large, else borrowed where it is."""
        content = blob.FileOnDisk(str(path))
        in_package = package.weight_path(path.name)
        if self.inline_weights or content.size < NAMED_DATA_MINIMUM_BYTES:
            return blob.File(in_package, content)
        named = blob.NamedData(f"coreml_weights_{content.checksum.hex()}", content.size, content.checksum)
        self.store.add_named_data(named.key, UnlinkedFile(path, sha256=named.checksum), alignment=ALIGNMENT)
        return blob.File(in_package, named)

    def blob(self, content: blob.Blob) -> str:
        """A whole blob, for delegate calls that refer to it. Returns its key."""
        key = f"coreml_blob_{blob.content_id(content).hex()}"
        self.store.add_named_data(key, blob.to_bytes(content), alignment=ALIGNMENT)
        return key

    def output(self) -> NamedDataStoreOutput | None:
        return self.store.get_named_data_store_output() if self.store.buffers else None


def make_blob(
    converted: ConvertedModel,
    *,
    functions: Sequence[blob.Function],
    state_files: Sequence[blob.File],
    options: Options,
    named_data: NamedDataWriter,
) -> blob.Blob:
    """The blob of a converted model, whose large weights `named_data` takes over.

    Raises ValueError when a compiled model is asked for and this is not macOS.
    """
    specification_version = converted.spec.specificationVersion
    package.strip_build_metadata(converted.spec)
    if options.model_type == ModelType.COMPILED_MODEL:
        kind, files = blob.Kind.COMPILED, _compiled_files(converted, named_data)
    else:
        weights = [named_data.weight_file(path) for path in package.weight_files(converted.weights)]
        kind, files = blob.Kind.PACKAGE, package.package_files(converted.spec, weights)
    return blob.Blob(
        kind=kind,
        specification_version=specification_version,
        files=(*files, *state_files),
        functions=tuple(functions),
        request=blob.Request(
            compute_units=options.compute_unit.name.lower(),
            compute_precision=options.compute_precision.value,
            deployment_target=options.deployment_target.name if options.deployment_target else "",
        ),
        producer="executorch.backends.apple.coreml",
        producer_versions=tuple(sorted(dependencies.installed_versions().items())),
        debug_map=debug_map_json(converted),
    )


def refuse_to_compile_off_macos() -> None:
    """Raises ValueError anywhere but on macOS."""
    if sys.platform != "darwin":
        raise ValueError(
            "model_type COMPILED_MODEL needs Core ML's own compiler, which only macOS has. Use CoreMLBackend.MODEL_TYPE.MODEL: the device "
            "compiles the model when it is first loaded."
        )


def compile_model(converted: ConvertedModel) -> Path:
    """Compiles the package beside itself with Core ML. Returns the .mlmodelc.

    Raises ValueError anywhere but on macOS.
    """
    refuse_to_compile_off_macos()
    from coremltools.models.utils import compile_model as compile_with_coreml

    converted.write_spec()
    return Path(compile_with_coreml(str(converted.package), str(converted.package.with_suffix(".mlmodelc"))))


def _compiled_files(converted: ConvertedModel, named_data: NamedDataWriter) -> tuple[blob.File, ...]:
    root = compile_model(converted)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return tuple(blob.File(path.relative_to(root).as_posix(), blob.FileOnDisk(str(path))) for path in paths)


def debug_map_json(converted: ConvertedModel) -> bytes:
    """ExecuTorch debug handle -> operations, as canonical JSON; empty when there is none."""
    if converted.debug_map is None:
        return b""
    mapping = {str(handle): paths for handle, paths in converted.debug_map.items() if handle is not None}
    return json.dumps(mapping, sort_keys=True, separators=(",", ":")).encode() if mapping else b""


def debug_symbols(converted: ConvertedModel) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The operation path and ExecuTorch's debug handles of each debug symbol, `output:operator`."""
    return stock.symbols_of({handle: paths for handle, paths in (converted.debug_map or {}).items() if isinstance(handle, int)})


def debug_handle_map(converted: ConvertedModel) -> dict[str, tuple[int, ...]] | None:
    """Debug symbol -> ExecuTorch debug handles, as PreprocessResult carries it."""
    if converted.debug_map is None:
        return None
    return {symbol: tuple(handles) for symbol, handles in debug_symbols(converted)[1].items()}


def whole(content: blob.Blob, converted: ConvertedModel, named_data: NamedDataWriter) -> PreprocessResult:
    """The result of a partition whose processed bytes are its blob."""
    return PreprocessResult(
        processed_bytes=blob.to_bytes(content),
        debug_handle_map=debug_handle_map(converted),
        data_store_output=named_data.output(),
    )
