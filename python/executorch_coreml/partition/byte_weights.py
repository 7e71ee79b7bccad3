"""Weights of one byte per element, which a program casts to floats before it multiplies by them, as torchao's int8 and float8 weights do.

ExecuTorch has no floats of 8 bits, and would leave a product by a cast weight outside, where it is a matrix of float32. Here the cast becomes the op that
says what such a weight is:

    mm(x, to_float(w: int8, transposed)) * scale    ->  mm(x, torchao.dequantize_affine(w, scale), transposed)
    to_float(w: float8, transposed)                 ->  quant.dequantize_codebook(w's bits, the 256 values of the dtype), transposed

The first also keeps the product within float16, which sums of 127 x leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

# The import registers torchao's ops.
from torchao.prototype.quantization.codebook_coreml import CodebookWeightOnlyConfig  # noqa: F401

aten = torch.ops.aten

# The dtypes of 8-bit floats, and a power of two next to the largest value of each. Tables are in units of it: the scales that torchao divides weights by
# are too small for float16.
_UNITS = {torch.float8_e4m3fn: 256.0, torch.float8_e5m2: 32768.0}
_BYTES = (torch.int8, *_UNITS)
_TRANSPOSITIONS = (aten.t.default, aten.numpy_T.default)
_PRODUCTS = (aten.mm.default, aten.matmul.default)


def _has_bytes(program: ExportedProgram) -> bool:
    """Whether a parameter is, or is made of (as torchao's tensors are), such a weight."""
    return any(getattr(value, "qdata", value).dtype in _BYTES for value in program.state_dict.values())


def _casts(program: ExportedProgram) -> Iterator[tuple[torch.fx.Node, torch.fx.Node, bool]]:
    """The calls that cast a weight of bytes to floats: call, placeholder, and whether the weight is transposed between."""
    parameters = program.graph_signature.inputs_to_parameters
    for node in list(program.graph.nodes):
        if node.target != aten._to_copy.default or not node.meta["val"].is_floating_point():
            continue
        source = node.args[0]
        is_transposed = source.target in _TRANSPOSITIONS
        source = source.args[0] if is_transposed else source
        if (
            source.op == "placeholder"
            and source.name in parameters
            and source.meta["val"].dtype in _BYTES
            and source.meta["val"].dim() == 2
        ):
            yield node, source, is_transposed


def _scale_behind(cast: torch.fx.Node, rows: int) -> tuple[torch.fx.Node, torch.fx.Node, torch.fx.Node] | None:
    """The product that alone reads a cast weight, the call that alone reads that and scales its columns, and the placeholder of the scales."""
    product = next(iter(cast.users)) if len(cast.users) == 1 else None
    if product is None or product.target not in _PRODUCTS or product.args[1] is not cast or len(product.users) != 1:
        return None
    scaling = next(iter(product.users))
    if scaling.target != aten.mul.Tensor or product not in scaling.args or not isinstance(scaling.args[1], torch.fx.Node):
        return None
    scale = scaling.args[1] if scaling.args[0] is product else scaling.args[0]
    while isinstance(scale, torch.fx.Node) and scale.target in (aten.view.default, aten.squeeze.dim, aten.t.default):
        scale = scale.args[0]
    if not isinstance(scale, torch.fx.Node) or scale.op != "placeholder" or tuple(scale.meta["val"].shape) != (rows, 1):
        return None
    return product, scaling, scale


def _call(graph: torch.fx.Graph, before: torch.fx.Node, target: torch._ops.OpOverload, *arguments: Any) -> torch.fx.Node:
    with graph.inserting_before(before):
        node = graph.call_function(target, arguments)
    values = torch.fx.node.map_arg(arguments, lambda source: source.meta["val"])
    node.meta = {**before.meta, "val": target(*values)}
    return node


def _values_of(dtype: torch.dtype) -> torch.Tensor:
    """[1, 1, 256, 1]: what each byte stands for; 0 where that is no number, which no weight has."""
    values = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    return torch.where(values.isfinite(), values, 0).reshape(1, 1, 256, 1)


def _add_constant(program: ExportedProgram, value: torch.Tensor, like: torch.fx.Node) -> torch.fx.Node:
    """The placeholder of a new constant, before the program's own inputs."""
    graph, signature = program.graph_module.graph, program.graph_signature
    kept = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
    index = sum(spec.kind in kept for spec in signature.input_specs)
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(placeholders[index] if index < len(placeholders) else placeholders[-1].next):
        node = graph.placeholder(f"c_{like.name}_values")
    node.meta["val"] = like.meta["val"].new_empty(value.shape, dtype=value.dtype)
    signature.input_specs.insert(index, InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(node.name), node.name))
    program._constants = {**program.constants, node.name: value}
    return node


def named(program: ExportedProgram) -> ExportedProgram:
    """The ATen program with such weights as those ops; itself where it has none."""
    if not _has_bytes(program):
        return program
    program = program.run_decompositions({})  # With the parts of torchao's tensors as parameters.
    graph = program.graph_module.graph
    parameters = program.graph_signature.inputs_to_parameters
    tables: dict[torch.fx.Node, torch.fx.Node] = {}
    weights = {weight: weight.meta["val"].dtype for _, weight, _ in _casts(program)}
    for cast, weight, is_transposed in _casts(program):
        rows, columns = weight.meta["val"].shape
        if weight.meta["val"].dtype == torch.int8:
            found = _scale_behind(cast, rows) if is_transposed else None
            if found is None:
                continue
            product, scaling, scale = found
            floats = _call(
                graph,
                product,
                torch.ops.torchao.dequantize_affine.default,
                weight,
                [1, columns],
                scale,
                None,
                torch.int8,
                -128,
                127,
            )
            product.update_arg(1, _call(graph, product, aten.t.default, floats))
            scaling.replace_all_uses_with(product)
            graph.erase_node(scaling)
            continue
        if weight not in tables:
            name, dtype = parameters[weight.name], weight.meta["val"].dtype
            value = program.state_dict[name]
            if not value.float().isfinite().all():
                continue
            tables[weight] = _add_constant(program, _values_of(dtype) / _UNITS[dtype], weight)
            bits = torch.nn.Parameter(value.detach().view(torch.uint8).to(torch.int32), requires_grad=False)
            program._state_dict = {**program.state_dict, name: bits}
            weight.meta["val"] = weight.meta["val"].new_empty((rows, columns), dtype=torch.int32)
        floats = _call(graph, cast, torch.ops.quant.dequantize_codebook.default, weight, tables[weight], 8, [-1, -1], torch.float32)
        floats = _call(graph, cast, aten.t.default, floats) if is_transposed else floats
        unit = _UNITS[weights[weight]]
        multiplied = next(iter(cast.users)) if len(cast.users) == 1 else None
        if multiplied is not None and multiplied.target == aten.mul.Tensor and multiplied.args[0] is cast:
            multiplied.update_arg(1, _call(graph, multiplied, aten.mul.Tensor, multiplied.args[1], unit))
        else:
            floats = _call(graph, cast, aten.mul.Tensor, floats, unit)
        cast.replace_all_uses_with(floats)
    for node in list(graph.nodes):
        if node.target == aten._assert_tensor_metadata.default and not node.users:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program
