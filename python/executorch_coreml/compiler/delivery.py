"""From a converted model to what ExecuTorch puts into the .pte: processed bytes, and weights as named data.

While partitions are lowered, weights of at least NAMED_DATA_MINIMUM_BYTES stay on disk, under a key made of their content. When all are,
`deliver` decides where they go: into the processed bytes, where both runtimes find them, or, those that several partitions and methods use
and those of a program for this project's runtime alone, into the program's named data, where equal ones are stored once.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import mmap
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from executorch.exir._serialize._cord import FileBackedData
from executorch.exir._serialize._named_data_store import NamedDataStore
from executorch.exir.backend.backend_details import PreprocessResult

from executorch_coreml import _dependencies as dependencies
from executorch_coreml import blob
from executorch_coreml.blob import stock
from executorch_coreml.compiler import debug_info, package
from executorch_coreml.compiler.compile_options import BlobFormat, ModelType, Options
from executorch_coreml.compiler.conversion import ConvertedModel

logger = logging.getLogger("executorch.backends.apple.coreml.compiler.coreml_preprocess")

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

    # What blob.Content asks for.

    @property
    def size(self) -> int:
        return self._size

    @property
    def checksum(self) -> bytes:
        return self._sha256

    def chunks(self) -> Iterator[bytes | memoryview]:
        for start in range(0, self._size, _COPIED_BYTES):
            yield os.pread(self._file.fileno(), min(_COPIED_BYTES, self._size - start), start)

    def mapped(self) -> Iterator[bytes | memoryview]:
        if self._size:
            yield memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))

    # What FileBackedData has.

    def prefix(self, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, 0)

    def to_bytes(self) -> bytes:
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return mapped[:]

    def write_to_file(self, outfile: io.BufferedIOBase) -> None:
        for chunk in self.chunks():
            outfile.write(chunk)

    def close(self) -> None:
        self._file.close()


@dataclasses.dataclass
class Weights:
    """The large weight files of one blob, each taken over from the package, by their keys."""

    files: dict[str, UnlinkedFile] = dataclasses.field(default_factory=dict)

    def take(self, path: Path) -> blob.File:
        """A weight file of the package: taken over when it is large, else borrowed where it is."""
        content = blob.FileOnDisk(str(path))
        in_package = package.weight_path(path.name)
        if content.size < NAMED_DATA_MINIMUM_BYTES:
            return blob.File(in_package, blob.InlineBytes(path.read_bytes()))
        named = blob.NamedData(f"coreml_weights_{content.checksum.hex()}", content.size, content.checksum)
        self.files[named.key] = UnlinkedFile(path, sha256=named.checksum)
        return blob.File(in_package, named)


@dataclasses.dataclass
class Packed:
    """A blob of which is still open where its large weights go and which runtimes read it.

    methods: those that call it. handles: by method, debug_handle_map() of the model that it was converted to. by_reference: the delegate calls
    refer to the blob, which is named data; else it is their processed bytes.
    """

    content: blob.Blob
    weights: Weights
    options: Options
    methods: tuple[str, ...]
    handles: Mapping[str, dict[str, tuple[int, ...]] | None]
    by_reference: bool = False

    def inlined(self) -> blob.Blob:
        """The blob with its weights in it."""
        files = tuple(
            blob.File(file.path, self.weights.files[file.content.key]) if isinstance(file.content, blob.NamedData) else file
            for file in self.content.files
        )
        return dataclasses.replace(self.content, files=files)


def deliver(packed: Sequence[Packed], *, separate: bool = False) -> list[dict[str, PreprocessResult]]:
    """The results of everything that one lowering packed, by method.

    With `separate` all weights are in their blobs, and shared with nobody. Logs, in one line, why not every app can load the program.
    """
    uses = Counter(key for one in packed for key in one.weights.files)
    shared = frozenset() if separate else frozenset(key for key, count in uses.items() if count > 1)
    reasons: dict[str, None] = {}
    results = []
    for one in packed:
        reason = _why_not_both(one, shared) if one.options.blob_format == BlobFormat.BOTH else ""
        if reason:
            reasons[reason] = None
        both = one.options.blob_format == BlobFormat.BOTH and not reason
        if both or separate:
            results.append(_result(one, dataclasses.replace(one.inlined(), for_stock_runtime=both), {}))
        else:
            results.append(_result(one, one.content, one.weights.files))
    if reasons:
        logger.warning(
            "The program needs this project's runtime and does not load in apps that link ExecuTorch's stock Core ML runtime: %s.",
            "; ".join(reasons),
        )
    return results


def _why_not_both(one: Packed, shared: frozenset[str]) -> str:
    """Why the stock runtime cannot be given a blob, and which option makes one that it can; empty when it can."""
    states = sorted({s.tensor.name for function in one.content.functions for s in function.states if s.initial_value_path})
    if states:
        return (
            f"the states {', '.join(states)} start with values other than zero "
            "(CoreMLPartitioner(take_over_mutable_buffer=False) keeps mutable buffers outside Core ML)"
        )
    if sharing := [function.method for function in one.content.functions if function.states][1:]:
        return (
            f"its methods share states with {', '.join(sharing)}, which the stock runtime keeps apart "
            "(CoreMLPartitioner(take_over_mutable_buffer=False) keeps mutable buffers outside Core ML)"
        )
    if not shared.isdisjoint(one.weights.files):
        return (
            "partitions share weight files (MULTIMETHOD_WEIGHT_SHARING_STRATEGY.DISABLED gives each its own; POSITIONAL shares in a "
            "form that both runtimes read, with the deployment target iOS 18)"
        )
    return ""


def _result(one: Packed, content: blob.Blob, named: dict[str, UnlinkedFile]) -> dict[str, PreprocessResult]:
    store = NamedDataStore()
    for key, file in named.items():
        store.add_named_data(key, file, alignment=ALIGNMENT)
    if not one.by_reference:
        processed = dict.fromkeys(one.methods, blob.to_bytes(content))
    else:
        key = f"coreml_blob_{blob.content_id(content).hex()}"
        store.add_named_data(key, _on_disk(content), alignment=ALIGNMENT)
        processed = {
            method: stock.reference_to_bytes(key, method)
            if content.for_stock_runtime
            else blob.reference_to_bytes(blob.Reference(key, method))
            for method in one.methods
        }
    return {
        method: PreprocessResult(
            processed_bytes=data,
            debug_handle_map=one.handles[method],
            data_store_output=store.get_named_data_store_output() if store.buffers else None,
        )
        for method, data in processed.items()
    }


def _on_disk(content: blob.Blob) -> UnlinkedFile:
    """A whole blob, which is not held in memory."""
    descriptor, name = tempfile.mkstemp(prefix="coreml_delegate_")
    path = Path(name)
    try:
        with open(descriptor, "wb") as sink:
            blob.write(content, sink)
        return UnlinkedFile(path, sha256=blob.FileOnDisk(name).checksum)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def make_blob(
    converted: ConvertedModel,
    *,
    functions: Sequence[blob.Function],
    state_files: Sequence[blob.File],
    options: Options,
    weights: Weights,
) -> blob.Blob:
    """The blob of a converted model, whose large weights `weights` takes over.

    Nothing of it is in the converted model's folder any more. Raises ValueError when a compiled model is asked for and this is not macOS.
    """
    specification_version = converted.spec.specificationVersion
    package.strip_build_metadata(converted.spec)
    if options.model_type == ModelType.COMPILED_MODEL:
        kind, files = blob.Kind.COMPILED, _compiled_files(converted)
    else:
        taken = [weights.take(path) for path in package.weight_files(converted.weights)]
        kind, files = blob.Kind.PACKAGE, package.package_files(converted.spec, taken)
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
        debug_map=debug_info.of_model(converted).encode(),
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


def _compiled_files(converted: ConvertedModel) -> tuple[blob.File, ...]:
    root = compile_model(converted)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return tuple(
        blob.File(path.relative_to(root).as_posix(), UnlinkedFile(path, sha256=blob.FileOnDisk(str(path)).checksum))
        for path in paths
    )


def debug_handle_map(converted: ConvertedModel) -> dict[str, tuple[int, ...]] | None:
    """Debug symbol, `output:operator`, -> ExecuTorch debug handles, as PreprocessResult carries it."""
    if converted.debug_map is None:
        return None
    known = {handle: paths for handle, paths in converted.debug_map.items() if isinstance(handle, int)}
    return {symbol: tuple(handles) for symbol, handles in stock.symbols_of(known)[1].items()}
