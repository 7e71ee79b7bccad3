"""What the delegate is handed and hands back: the blob's description of a function, from the edge program and the converted model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from executorch_coreml import blob
from executorch_coreml.compiler.enumerated_shape_utils import EnumeratedShapes, user_inputs
from executorch_coreml.dtypes import BY_TORCH

# Bounds that coremltools and torch use for "none".
_LARGE = 2**31 - 1


def is_expression(extent: Any) -> bool:
    """Whether an extent is neither a number nor one symbol, such as 2*s0."""
    return not isinstance(extent, int) and not extent.node.expr.is_Symbol


def extent_range(extent: Any, ranges: Mapping[Any, Any]) -> tuple[int, int | None]:
    """The smallest and the largest number that an extent can be; None where nothing bounds it. `ranges` are those of the symbols."""
    if isinstance(extent, int):
        return extent, extent
    bounds = bound_sympy(extent.node.expr, dict(ranges))
    low = max(0, int(bounds.lower)) if math.isfinite(float(bounds.lower)) else 0
    high = float(bounds.upper)
    return low, int(high) if math.isfinite(high) and high < _LARGE else None


def model_ranges(program: ExportedProgram) -> dict[Any, ValueRanges[Any]]:
    """The range of each symbol in the model. torch.export specialises on 0 and 1: a lower bound of 2 means 1 as well (see conversion.py)."""
    return {
        symbol: ValueRanges(1, bounds.upper) if bounds.lower == 2 else bounds
        for symbol, bounds in program.range_constraints.items()
    }


def input_range(extent: Any, ranges: Mapping[Any, Any]) -> tuple[int, int | None]:
    """What the extent of an input may be. Expressions start at 1, since a model is handed no empty tensor that its program never makes."""
    low, high = extent_range(extent, ranges)
    return (max(1, low), high) if is_expression(extent) else (low, high)


def _tensor(
    name: str,
    fake: torch.Tensor,
    ranges: Mapping[Any, Any],
    range_of: Callable[[Any, Mapping[Any, Any]], tuple[int, int | None]],
    enumerated: EnumeratedShapes | None = None,
) -> blob.Tensor:
    shapes = enumerated.of(fake) if enumerated is not None else None
    if shapes:
        bounds = [(min(extents), max(extents)) for extents in zip(*shapes, strict=True)]
    else:
        bounds = [range_of(extent, ranges) for extent in fake.shape]
    dimensions = tuple(blob.Dimension(low, blob.UNBOUNDED if high is None else high) for low, high in bounds)
    return blob.Tensor(name, BY_TORCH[fake.dtype].blob, dimensions, shapes or ())


def _user_outputs(program: ExportedProgram) -> list[torch.Tensor]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [values[spec.arg.name] for spec in program.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]


def _check_count(what: str, names: Sequence[str], expected: int) -> None:
    if len(names) != expected:
        raise ValueError(
            f"The partition has {expected} {what}, but coremltools gave the model {len(names)}: {list(names)}. "
            "Leave the op that makes the difference outside with skip_ops_for_coreml_delegation."
        )


def describe_function(
    program: ExportedProgram,
    *,
    name: str,
    method: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    states: Sequence[blob.State],
    enumerated: EnumeratedShapes | None,
) -> blob.Function:
    """The blob's description: the model's names, ExecuTorch's dtypes and shapes, in the order of the delegate call.

    Raises ValueError when the model has not as many inputs or outputs as the partition.
    """
    inputs = [fake for _, fake in user_inputs(program)]
    outputs = _user_outputs(program)
    _check_count("inputs", input_names, len(inputs))
    _check_count("outputs", output_names, len(outputs))
    ranges = model_ranges(program)
    return blob.Function(
        name=name,
        method=method,
        inputs=tuple(_tensor(n, f, ranges, input_range, enumerated) for n, f in zip(input_names, inputs, strict=True)),
        # The shape of an enumerated model's output follows from the input's; its range does not say which.
        outputs=tuple(_tensor(n, f, ranges, extent_range) for n, f in zip(output_names, outputs, strict=True)),
        states=tuple(states),
    )
