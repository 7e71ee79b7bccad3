"""Whether a finished model takes and gives what the exported program says: the kind of number, the rank, and the extents that are known.

The runtime converts between ExecuTorch's dtypes and the model's, and trusts that the two stand for each other. Each converted node is held to its
type (node_conversion.py), and then passes change the program: this is the check behind them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from coremltools.proto import MIL_pb2, Model_pb2
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import OutputKind

from executorch_coreml import mil_program
from executorch_coreml.compiler.enumerated_shape_utils import user_inputs

_T = MIL_pb2.DataType
_REALS = frozenset({_T.FLOAT16, _T.FLOAT32})
_INTEGERS = frozenset({_T.INT8, _T.UINT8, _T.INT16, _T.UINT16, _T.INT32})
# Core ML models have no bools at their borders: coremltools makes float32 of them, 0 and 1.
_BOOLS = _REALS | _INTEGERS | {_T.BOOL}


def _kinds(dtype: torch.dtype) -> frozenset[int]:
    if dtype == torch.bool:
        return _BOOLS
    return _REALS if dtype.is_floating_point else _INTEGERS


def _model_text(kind: MIL_pb2.TensorType) -> str:
    shape = ", ".join("?" if extent is None else str(extent) for extent in mil_program.extents(kind))
    return f"{mil_program.dtype_name(kind).lower()}[{shape}]"


def _program_text(tensor: torch.Tensor) -> str:
    shape = ", ".join(str(extent) if isinstance(extent, int) else "?" for extent in tensor.shape)
    return f"{str(tensor.dtype).removeprefix('torch.')}[{shape}]"


def _agrees(kind: MIL_pb2.TensorType, tensor: torch.Tensor) -> bool:
    extents = mil_program.extents(kind)
    # The model's inputs and outputs have at least one dimension.
    expected = list(tensor.shape) if tensor.dim() or not extents else [1]
    if kind.dataType not in _kinds(tensor.dtype) or len(extents) != len(expected):
        return False
    # A model may know more of an extent than the program, which lets it vary: enumerated shapes, and inputs that are sliced to a length.
    return all(not isinstance(e, int) or a is None or a == e for a, e in zip(extents, expected, strict=True))


def _outputs(program: ExportedProgram) -> list[tuple[str, torch.Tensor]]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [(s.arg.name, values[s.arg.name]) for s in program.graph_signature.output_specs if s.kind == OutputKind.USER_OUTPUT]


def differences(program: ExportedProgram, spec: Model_pb2.Model, function: str = "main") -> Iterator[str]:
    """What of a model's function is not as the exported program says, each in words."""
    made = spec.mlProgram.functions[function]
    block = mil_program.body(made)
    states = {state.name for state in mil_program.description(spec, function).state}
    inputs = [(value.name, value.type.tensorType) for value in made.inputs if value.name not in states]
    types = mil_program.value_types(made, block)
    outputs = [(name, types[name].tensorType) for name in block.outputs]
    for what, actual, expected in (("input", inputs, list(user_inputs(program))), ("output", outputs, _outputs(program))):
        yield from _different(what, actual, expected)


def _different(
    what: str, actual: Sequence[tuple[str, MIL_pb2.TensorType]], expected: Sequence[tuple[str, torch.Tensor]]
) -> Iterator[str]:
    if len(actual) != len(expected):
        yield f"the model has {len(actual)} {what}s, where PyTorch has {len(expected)}"
        return
    for index, ((name, kind), (node, tensor)) in enumerate(zip(actual, expected, strict=True)):
        if isinstance(tensor, torch.Tensor) and not _agrees(kind, tensor):
            yield f"{what} {index} ({name}) is {_model_text(kind)}, where PyTorch has {_program_text(tensor)} (node {node})"


def check(program: ExportedProgram, spec: Model_pb2.Model, function: str = "main") -> None:
    """Raises ValueError with the first difference, in one sentence."""
    for difference in differences(program, spec, function):
        raise ValueError(
            f"The Core ML model differs from the exported program: {difference}. Leave the operation outside with skip_ops_for_coreml_delegation, "
            "and please report it."
        )
