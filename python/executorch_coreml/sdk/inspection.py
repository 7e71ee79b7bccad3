"""Facts about a file as plain values, for printing and for JSON."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from executorch_coreml import blob
from executorch_coreml.sdk import files, package_facts, payload, program_file
from executorch_coreml.sdk.errors import ToolError


def inspect(path: Path) -> dict[str, Any]:
    """What a .pte, a blob or a .mlpackage holds. "what" says which it is. ToolError for anything else."""
    if path.is_dir():
        return {"what": "package", **dataclasses.asdict(package_facts.read_package(path))}
    files.check_file(path)
    with path.open("rb") as file:
        beginning = file.read(16)
    if program_file.is_program(beginning):
        return _program(path)
    try:
        content = blob.read(path.read_bytes())
    except (blob.CorruptBlobError, blob.UnsupportedVersionError) as error:
        raise ToolError(f"{path} is neither a .pte, a .mlpackage nor a blob; read as a blob: {error}") from error
    if isinstance(content, blob.Reference):
        return {"what": "reference", "path": str(path), "named_data_key": content.named_data_key, "function": content.function_name}
    return {"what": "blob", "path": str(path), **_payload(payload.of_blob(content, ""))}


def _program(path: Path) -> dict[str, Any]:
    program = program_file.open_program(path)
    methods = []
    for method in program.methods:
        delegates = []
        for delegate in method.delegates:
            facts: dict[str, Any] = {"backend": delegate.backend, "processed_bytes": len(delegate.processed)}
            if delegate.backend == program_file.BACKEND_NAME:
                facts.update(_payload(payload.open_payload(program, delegate)))
                facts["compile_specs"] = {key: value.decode(errors="replace") for key, value in delegate.compile_specs.items()}
            delegates.append(facts)
        methods.append(
            {
                "name": method.name,
                "inputs": [_tensor(tensor) for tensor in method.inputs],
                "outputs": [_tensor(tensor) for tensor in method.outputs],
                "delegates": delegates,
                "operators": dict(method.operators),
            }
        )
    return {
        "what": "program",
        "path": str(path),
        "size": program.size,
        "methods": methods,
        "named_data": {key: len(value) for key, value in sorted(program.named_data.items())},
    }


def _tensor(tensor: program_file.TensorValue) -> str:
    return f"{tensor.scalar_type.lower()}[{', '.join(map(str, tensor.sizes))}]" + (" at most" if tensor.is_dynamic else "")


def _payload(found: payload.Payload) -> dict[str, Any]:
    return {
        "format": found.format,
        "kind": found.kind.name.lower(),
        "runtimes": ["coreml_delegate", "stock"] if found.for_stock_runtime else ["coreml_delegate"],
        "not_stock_because": "" if found.for_stock_runtime else found.stock_obstacle or "it was lowered for this runtime alone",
        "function": found.function,
        "inputs": list(found.input_names),
        "outputs": list(found.output_names),
        "files": dict(found.files),
        "size": found.size,
        "content_id": found.content_id,
        "producer": found.producer,
        "compute_units": found.request.compute_units,
        "compute_precision": found.request.compute_precision,
        "deployment_target": found.request.deployment_target,
    }
