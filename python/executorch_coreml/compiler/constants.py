"""Constants of dtypes that Core ML computes nothing in: bfloat16 weights, tables of 8- and 16-bit integers.

A model casts them before it computes with them, which gives the same numbers from a wider constant. coremltools folds the cast.
"""

from __future__ import annotations

from collections import Counter

import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec

_WIDER = {
    torch.bfloat16: torch.float32,
    torch.int8: torch.int32,
    torch.uint8: torch.int32,
    torch.int16: torch.int32,
    torch.uint16: torch.int32,
}
# Namespaces of the ops that take low-precision constants as they are.
_QUANTIZATION = ("quantized_decomposed", "torchao", "quant")
_INT32 = torch.iinfo(torch.int32)


def _is_quantization(node: torch.fx.Node) -> bool:
    target = node.target._op if isinstance(node.target, EdgeOpOverload) else node.target
    return getattr(target, "namespace", "") in _QUANTIZATION


def widened(value: torch.Tensor, user: torch.fx.Node) -> torch.Tensor:
    """A constant as a call of `user` is given it."""
    wider = _WIDER.get(value.dtype)
    return value if wider is None or _is_quantization(user) else value.detach().to(wider)


def widen(program: ExportedProgram) -> None:
    """Replaces, in a program that is about to be converted, the constants that Core ML has no dtype for. The original's are not changed."""
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    mutated = set(program.graph_signature.buffers_to_mutate.values())
    state, constants = dict(program.state_dict), dict(program.constants)
    for spec in program.graph_signature.input_specs:
        if spec.kind not in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR) or spec.target in mutated:
            continue
        users = list(placeholders[spec.arg.name].users)
        for values in (state, constants):
            value = values.get(spec.target)
            if isinstance(value, torch.Tensor) and value.dtype in _WIDER and users and not any(map(_is_quantization, users)):
                values[spec.target] = widened(value, users[0])
    program._state_dict, program._constants = state, constants


def separate(program: ExportedProgram) -> None:
    """Gives every placeholder of a constant buffer a constant of its own.

    Where a buffer is read in a partition and elsewhere, ExecuTorch makes a placeholder for each reader, all with the name of the one buffer,
    and coremltools looks a buffer up once.
    """
    signature = program.graph_signature
    mutated = set(signature.buffers_to_mutate.values())
    readers = Counter(spec.target for spec in signature.input_specs if spec.kind == InputKind.BUFFER)
    values = dict(program.constants)
    specs = []
    for spec in signature.input_specs:
        if spec.kind == InputKind.BUFFER and spec.target not in mutated and readers[spec.target] > 1:
            value = program.state_dict.get(spec.target, program.constants.get(spec.target))
            spec = InputSpec(InputKind.CONSTANT_TENSOR, spec.arg, spec.arg.name)
            values[spec.target] = value
        specs.append(spec)
    signature.input_specs = specs
    program._constants = values


def beyond_int32(value: torch.Tensor) -> int | None:
    """An element that int32, which Core ML has instead of int64, does not hold; None where every one fits."""
    if value.dtype != torch.int64 or value.numel() == 0:
        return None
    return next((int(bound) for bound in torch.aminmax(value.detach()) if not _INT32.min <= int(bound) <= _INT32.max), None)


def literal_beyond_int32(node: torch.fx.Node) -> int | None:
    """The same of the numbers that a call is written with. The end of a slice may be anything."""
    if "slice" in str(node.target):
        return None
    found: list[int] = []

    def look(argument: object) -> None:
        if isinstance(argument, int) and not isinstance(argument, bool) and not _INT32.min <= argument <= _INT32.max:
            found.append(argument)
        elif isinstance(argument, (list, tuple)):
            for part in argument:
                look(part)

    value = node.meta.get("val")
    if isinstance(value, torch.Tensor) and value.dtype == torch.int64:
        look(node.args)
        look(tuple(node.kwargs.values()))
    return found[0] if found else None
