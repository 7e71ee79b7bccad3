"""A program's operations beside what PyTorch computes for the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml import node_facts
from executorch_coreml.sdk import blame_mapping, program_file, verify_package, verify_reference
from executorch_coreml.sdk import compare as comparing
from executorch_coreml.sdk import verify as verifying
from executorch_coreml.sdk.report import values
from executorch_coreml.sdk.verify_rounding import as_array


def load(given: Any) -> verify_reference.Reference | None:
    """The reference, or None where there is none. ToolError for what cannot be read."""
    return verify_reference.load(given) if given is not None else None


def inputs(
    model: verify_reference.Reference | None, path: Path, method: str, given: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What is given, else the reference's example inputs by the names that running.prepare() knows them by."""
    examples = model.example_inputs() if model is not None and not given else None
    if model is None or not examples:
        return dict(given)
    if path.is_dir():
        with verify_package.open_packages(path, method) as (package,):
            own = package.input_names
        theirs = model.input_names()
        names: Sequence[str] = theirs if set(theirs) == set(own) else own
    else:
        found = [m for m in program_file.open_program(path).methods if m.name == method]
        names = [str(index) for index in range(len(found[0].inputs))] if found else []
    return dict(zip(names, examples, strict=False))


def compare(
    model: verify_reference.Reference,
    path: Path,
    packages: Sequence[verify_package.Package],
    operations: Sequence[dict[str, Any]],
    inside: values.Inside,
    given: Mapping[str, np.ndarray],
    settings: Any,
) -> tuple[dict[str, Any], list[str]]:
    """What verify() says of the outputs; where the reference is a model, the operations' errors against it, and their lines in it."""
    result = verifying.verify(
        path,
        model,
        dict(given),
        method=settings.method,
        seed=settings.seed,
        threads=settings.threads,
        numeric_modes=("float32", "float16") if any(package.is_float16 for package in packages) else ("float32",),
    )
    remarks = list(result.remarks)
    if model.program is None:
        return result.to_json(), remarks
    edge = verifying.captured(model, packages)
    by_name = {(o["package"], o["name"]): o for o in operations}
    mode = inside.float16 if inside.float16 else inside.float32
    against = f"{'float16' if inside.float16 else 'float32'} mode against PyTorch"
    nodes = {}
    for place, package in enumerate(packages):
        for node, operation in blame_mapping.map_package(edge, package).operations.items():
            nodes[node] = (place, operation.name)
    exact = edge.run([given[name] for name in given], lambda node: node in nodes)
    compared = 0
    for node, key in nodes.items():
        described = by_name[key]
        line = node_facts.source_line(node)
        described["source"] = str(line) if line else None
        described["module"] = node_facts.module_path(node)
        described["edge_op"] = node_facts.computing_op(node)
        actual = mode.get(key[0], {}).get(key[1])
        expected = as_array(exact[node]) if node in exact else None
        if actual is None or expected is None or actual.shape != expected.shape or expected.dtype.kind != "f":
            continue
        described["error"] = values.error(comparing.compare(actual, expected), against)
        compared += 1
    for described in operations:
        # One kind of error in a report: operations without a counterpart in PyTorch have none.
        if described["error"] and described["error"]["against"] != against:
            described["error"] = None
    remarks.append(f"{compared} of {len(operations)} operations have a counterpart in the PyTorch model; the others have no error.")
    return result.to_json(), remarks
