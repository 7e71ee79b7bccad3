"""Writes the stock exporter's payload (blob/stock.py).

For apps that link the stock runtime. Its metadata has names only, so ExecuTorch's dtypes and a state's initial value cannot be carried.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import coremltools as ct
from executorch.exir.backend.backend_details import PreprocessResult
from torch.export.exported_program import ExportedProgram

from executorch_coreml import blob
from executorch_coreml.blob.stock import MODEL_PATHS, ModelMetadata, MultifunctionModelMetadata
from executorch_coreml.compiler import debug_info, delivery, package
from executorch_coreml.compiler.compile_options import ModelType, Options
from executorch_coreml.compiler.conversion import ConvertedModel
from executorch_coreml.compiler.states import initial_value, mutated_buffers


def refuse_initial_values(program: ExportedProgram) -> None:
    """Raises ValueError when a mutable buffer starts with a value other than zero, which this format cannot carry."""
    names = [name for name, value in mutated_buffers(program).items() if initial_value(name, value) is not None]
    if names:
        raise ValueError(
            f"The mutable buffers {names} start with values other than zero, and blob_format='inmemoryfs' cannot carry them: the stock runtime "
            "would start from zero. Use blob_format='coreml_blob', or CoreMLPartitioner(take_over_mutable_buffer=False)."
        )


def model_identifier(root: Path) -> str:
    """The same for the same content, unlike the stock exporter's; a runtime that caches by it then caches right."""
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(blob.FileOnDisk(str(path)).checksum)
    return f"executorch_{digest.hexdigest()}"


def _write_model(converted: ConvertedModel, model_type: ModelType, root: Path) -> None:
    """The canonical package, or the compiled model, below `root`."""
    package.strip_build_metadata(converted.spec)
    if model_type == ModelType.COMPILED_MODEL:
        shutil.move(str(delivery.compile_model(converted)), str(root / MODEL_PATHS.COMPILED_MODEL.value))
        return
    model = root / MODEL_PATHS.MODEL.value
    weights = package.weight_files(converted.weights)
    for file in package.package_files(converted.spec, ()):
        target = model / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as sink:
            for chunk in file.content.chunks():
                sink.write(chunk)
    for path in weights:
        target = model / package.weight_path(path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(str(path), str(target))
    (model / "Manifest.json").write_bytes(package.manifest(has_weights=bool(weights)))


def flatten(root: Path) -> bytes:
    """The flattened directory."""
    from executorch_coreml import executorchcoreml

    flattened = executorchcoreml.flatten_directory_contents(str(root.resolve()))
    if not flattened:
        raise ValueError(f"flattening the model in {root} returned nothing; see the log of executorchcoreml")
    return bytes(flattened)


def write_metadata(metadata: ModelMetadata | MultifunctionModelMetadata, root: Path) -> None:
    (root / MODEL_PATHS.METADATA.value).write_text(json.dumps(dataclasses.asdict(metadata)))


def write_directory(converted: ConvertedModel, model_type: ModelType, folder: Path) -> tuple[Path, str]:
    """Lays the model out as the stock exporter does, without metadata. Returns the folder and the model's identifier."""
    root = folder / "lowered_module"
    root.mkdir()
    _write_model(converted, model_type, root)
    return root, model_identifier(root)


def pack(converted: ConvertedModel, function: blob.Function, options: Options, folder: Path) -> PreprocessResult:
    """The result of a partition in the stock format."""
    root, identifier = write_directory(converted, options.model_type, folder)
    write_metadata(ModelMetadata([t.name for t in function.inputs], [t.name for t in function.outputs], identifier), root)
    info = debug_info.of_model(converted)
    if info:
        (root / MODEL_PATHS.DEBUG_INFO.value).write_text(info)
    return PreprocessResult(
        processed_bytes=flatten(root),
        debug_handle_map=delivery.debug_handle_map(converted),
    )


def pack_model(mlmodel: ct.models.MLModel, model_type: ModelType, folder: Path) -> PreprocessResult:
    """Packs a model that was converted elsewhere; names come from its own description."""
    path = folder / "given.mlpackage"
    mlmodel.save(str(path))
    converted = ConvertedModel(spec=mlmodel.get_spec(), package=path, debug_map=None)
    description = converted.spec.description
    root, identifier = write_directory(converted, model_type, folder)
    write_metadata(ModelMetadata([f.name for f in description.input], [f.name for f in description.output], identifier), root)
    return PreprocessResult(processed_bytes=flatten(root))
