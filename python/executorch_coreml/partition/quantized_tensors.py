"""Calls that make and read tensors of torch's quantized dtypes (`torch.quantize_per_tensor`, `dequantize`), as models of coremltools.optimize.torch and
coreai-opt have them around their activations.

ExecuTorch has no such tensors: it has integers, and the same calls with the parameters as arguments. A call whose parameters are constants becomes that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export.exported_program import ExportedProgram

from executorch_coreml.partition import buffers

aten, decomposed = torch.ops.aten, torch.ops.quantized_decomposed

_QUANTIZING = (aten.quantize_per_tensor.default, aten.quantize_per_tensor.tensor_qparams)
_INTEGERS = {torch.qint8: torch.int8, torch.quint8: torch.uint8}


_Parameters = tuple[float, int, int, int, torch.dtype]


def _parameters(node: torch.fx.Node, values: dict[str, torch.Tensor]) -> _Parameters | None:
    """Scale, zero point, bounds and dtype of a call that quantizes; None where they are not known, or the dtype has other than 8 bits."""

    def value(argument: Any) -> Any:
        return values.get(argument.name) if isinstance(argument, torch.fx.Node) else argument

    scale, zero_point, dtype = (value(argument) for argument in node.args[1:4])
    if scale is None or zero_point is None or dtype not in _INTEGERS:
        return None
    limits = torch.iinfo(_INTEGERS[dtype])
    return float(scale), int(zero_point), int(limits.min), int(limits.max), _INTEGERS[dtype]


def _constants(program: ExportedProgram) -> dict[str, torch.Tensor]:
    signature = program.graph_signature
    mutated = set(signature.buffers_to_mutate.values())
    names = {**signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants, **signature.inputs_to_parameters}
    return {
        placeholder: value
        for placeholder, name in names.items()
        if name not in mutated and isinstance(value := program.state_dict.get(name, program.constants.get(name)), torch.Tensor)
    }


def as_integers(program: ExportedProgram) -> ExportedProgram:
    """The ATen program with integers in the place of quantized tensors; itself where it has none."""
    if not any(node.target in _QUANTIZING for node in program.graph.nodes):
        return program
    program = program.run_decompositions({})  # The graph of the user's own program stays as it is.
    values = _constants(program)
    graph = program.graph_module.graph
    read: set[torch.fx.Node] = set()
    for node in [node for node in graph.nodes if node.target in _QUANTIZING]:
        parameters = _parameters(node, values)
        if parameters is None or any(user.target != aten.dequantize.self for user in node.users):
            continue
        read.update(source for source in node.all_input_nodes if source.name in values and source is not node.args[0])
        with graph.inserting_before(node):
            integers = graph.call_function(decomposed.quantize_per_tensor.default, (node.args[0], *parameters))
        integers.meta = {**node.meta, "val": node.meta["val"].new_empty(node.meta["val"].shape, dtype=parameters[-1])}
        for user in list(node.users):
            with graph.inserting_before(user):
                floats = graph.call_function(decomposed.dequantize_per_tensor.default, (integers, *parameters))
            floats.meta = dict(user.meta)
            user.replace_all_uses_with(floats)
            graph.erase_node(user)
        graph.erase_node(node)
    buffers.drop(program, {source.name for source in read if not source.users})
    return program
