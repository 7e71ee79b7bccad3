"""ATen ops that ExecuTorch refuses in every program, taken apart to ops that it has and Core ML has.

They are no Core ATen ops, and torch has no decomposition of them, or one to such an op again: without this, `to_edge_transform_and_lower` ends
with a SpecViolationError before the partitioner is asked. Of some ExecuTorch has no kernel, or a wrong one.
What they become is like any other call of the program, inside Core ML or outside.
A function returns NotImplemented for a call of which it has no such form, which stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram

from executorch_coreml.compiler import node_conversion
from executorch_coreml.partition import (
    complex_numbers,
    composites,
    pooling,
    refused_functions,
    refused_matrices,
    refused_numbers,
    refused_orders,
    refused_places,
    scalars,
    torch_decompositions,
)
from executorch_coreml.partition.node_view import graph_modules

aten = torch.ops.aten
# Of which exir uses only some.
_TORCHS = torch._decomp.decomposition_table

_TABLE: dict[OpOverload, Callable[..., Any]] = {
    aten.cumprod.default: refused_orders.cumprod,
    aten.logcumsumexp.default: refused_orders.logcumsumexp,
    aten.cummax.default: refused_orders.cummax,
    aten.cummin.default: refused_orders.cummin,
    aten.bucketize.Tensor: refused_orders.bucketize,
    aten.bucketize.Scalar: refused_orders.bucketize_number,
    aten.searchsorted.Tensor: refused_orders.searchsorted,
    aten.searchsorted.Scalar: refused_orders.searchsorted_number,
    aten.kthvalue.default: refused_orders.kthvalue,
    aten.median.dim: refused_orders.median,
    aten.median.default: refused_orders.median_of_all,
    aten.var_mean.correction: refused_matrices.var_mean,
    aten.std_mean.correction: refused_matrices.std_mean,
    aten.var_mean.dim: lambda x, dim, unbiased=True, keepdim=False: refused_matrices.var_mean(
        x, dim, correction=int(unbiased), keepdim=keepdim
    ),
    aten.std_mean.dim: lambda x, dim, unbiased=True, keepdim=False: refused_matrices.std_mean(
        x, dim, correction=int(unbiased), keepdim=keepdim
    ),
    aten.var_mean.default: lambda x, unbiased=True: refused_matrices.var_mean(x, correction=int(unbiased)),
    aten.std_mean.default: lambda x, unbiased=True: refused_matrices.std_mean(x, correction=int(unbiased)),
    aten.ldexp.Tensor: refused_numbers.ldexp,
    aten.dist.default: refused_matrices.dist,
    aten.linalg_inv.default: refused_matrices.inverse,
    aten.inverse.default: refused_matrices.inverse,
    aten.linalg_det.default: refused_matrices.determinant,
    aten.det.default: refused_matrices.determinant,
    aten.linalg_solve.default: refused_matrices.solution,
    aten.exp2.default: refused_numbers.exp2,
    aten.signbit.default: refused_numbers.signbit,
    aten.copysign.Tensor: refused_numbers.copysign,
    aten.copysign.Scalar: refused_numbers.copysign_number,
    aten.hypot.default: refused_numbers.hypot,
    aten.fmax.default: refused_numbers.fmax,
    aten.fmin.default: refused_numbers.fmin,
    aten.round.decimals: refused_numbers.round_decimals,
    aten.remainder.Scalar_Tensor: refused_numbers.remainder_of_number,
    aten.__lshift__.Scalar: refused_numbers.shifted_left,
    aten.__lshift__.Tensor: refused_numbers.shifted_left,
    aten.bitwise_left_shift.Tensor: refused_numbers.shifted_left,
    aten.bitwise_left_shift.Tensor_Scalar: refused_numbers.shifted_left,
    aten.__rshift__.Scalar: refused_numbers.shifted_right,
    aten.__rshift__.Tensor: refused_numbers.shifted_right,
    aten.bitwise_right_shift.Tensor: refused_numbers.shifted_right,
    aten.bitwise_right_shift.Tensor_Scalar: refused_numbers.shifted_right,
    aten.bitwise_and.Scalar_Tensor: lambda number, x: torch.bitwise_and(x, number),
    aten.bitwise_or.Scalar_Tensor: lambda number, x: torch.bitwise_or(x, number),
    aten.bitwise_xor.Scalar_Tensor: lambda number, x: torch.bitwise_xor(x, number),
    aten.gcd.default: refused_numbers.gcd,
    aten.lcm.default: refused_numbers.lcm,
    aten.erfinv.default: refused_functions.erfinv,
    aten.erfc.default: refused_functions.erfc,
    aten.lgamma.default: refused_functions.lgamma,
    aten.digamma.default: refused_functions.digamma,
    aten.polygamma.default: refused_functions.polygamma,
    aten.i0.default: refused_functions.i0,
    aten.special_i0e.default: refused_functions.i0e,
    aten.special_i1.default: refused_functions.i1,
    aten.special_i1e.default: refused_functions.i1e,
    aten.linalg_slogdet.default: refused_matrices.sign_and_log_determinant,
    aten.slogdet.default: refused_matrices.sign_and_log_determinant,
    aten.logdet.default: refused_matrices.log_determinant,
    aten.linalg_cholesky_ex.default: refused_matrices.cholesky_ex,
    aten.linalg_cholesky.default: lambda a, *, upper=False: refused_matrices.cholesky(a, upper),
    aten.cholesky.default: refused_matrices.cholesky,
    aten.cholesky_solve.default: refused_matrices.cholesky_solve,
    aten.cholesky_inverse.default: refused_matrices.cholesky_inverse,
    aten._native_batch_norm_legit_functional.default: _TORCHS[aten._native_batch_norm_legit_functional.default],
    aten.addbmm.default: refused_matrices.addbmm,
    aten.addmv.default: refused_matrices.addmv,
    aten._trilinear.default: refused_matrices.trilinear,
    # What is written whole before it is read, as losses do.
    aten.empty_like.default: lambda x, *, dtype=None, **options: torch.zeros(x.shape, dtype=dtype or x.dtype),
    aten.empty_permuted.default: lambda size, order, *, dtype=None, **options: torch.zeros(size, dtype=dtype),
    aten.new_empty_strided.default: lambda x, size, stride, *, dtype=None, **options: torch.zeros(size, dtype=dtype or x.dtype),
    aten.put.default: refused_places.put,
    aten.masked_select.default: refused_places.masked_select,
    aten.nonzero.default: refused_places.nonzero,
    aten._is_all_true.default: torch.all,
    aten._is_any_true.default: torch.any,
    aten.as_strided_scatter.default: refused_places.as_strided_scatter,
    aten.diagonal_scatter.default: refused_places.diagonal_scatter,
    aten.tril_indices.default: refused_places.tril_indices,
    aten.triu_indices.default: refused_places.triu_indices,
    aten.repeat_interleave.Tensor: refused_places.repeats,
    aten.scatter.reduce: refused_places.scatter_reduced,
    aten.scatter.value_reduce: refused_places.scatter_reduced_number,
    aten.index_reduce.default: refused_places.index_reduced,
    aten.adaptive_max_pool2d.default: refused_places.adaptive_max_pool,
    aten.adaptive_max_pool3d.default: refused_places.adaptive_max_pool,
    aten._adaptive_avg_pool3d.default: refused_places.adaptive_avg_pool3d,
    aten._embedding_bag.default: refused_places.embedding_bags,
    aten._embedding_bag_forward_only.default: refused_places.embedding_bags,
    aten.exponential.default: refused_numbers.exponential,
    aten.uniform.default: refused_numbers.uniform,
    aten.normal_functional.default: refused_numbers.normal,
    aten.log_normal.default: refused_numbers.log_normal,
    aten.cauchy.default: refused_numbers.cauchy,
    aten.geometric.default: refused_numbers.geometric,
    aten.normal.Tensor_Tensor: lambda mean, std, *, generator=None: refused_numbers.normal(mean + std * 0, mean, std),
    aten.normal.Tensor_float: lambda mean, std=1.0, *, generator=None: refused_numbers.normal(mean, mean, std),
    aten.normal.float_Tensor: lambda mean, std, *, generator=None: refused_numbers.normal(std, mean, std),
    aten.multinomial.default: refused_numbers.multinomial,
    aten.randint.default: lambda high, size, **options: refused_numbers.integers(0, high, size, **options),
    aten.randint.low: refused_numbers.integers,
    aten.randint_like.default: lambda x, high, **options: refused_numbers.integers(0, high, x.shape, dtype=x.dtype),
    aten.randint_like.low_dtype: lambda x, low, high, **options: refused_numbers.integers(low, high, x.shape, dtype=x.dtype),
    aten.bernoulli.p: lambda x, p=0.5, *, generator=None: (torch.rand(x.shape) < p).to(x.dtype),
    aten.rand_like.default: refused_numbers.random_like(torch.rand),
    aten.randn_like.default: refused_numbers.random_like(torch.randn),
    aten.nanmedian.dim: refused_orders.nanmedian,
    aten.nanmedian.default: refused_orders.nanmedian_of_all,
    aten.mode.default: refused_orders.mode,
    aten.histc.default: refused_orders.histc,
    aten.sort.stable: refused_orders.stable_sort,
}


# What functionalization makes of a view that is written to.
_SCATTERS = {aten.diagonal.default: aten.diagonal_scatter.default, aten.as_strided.default: aten.as_strided_scatter.default}
# What an op that writes without a name of its own for it becomes.
_FUNCTIONAL = {
    aten.normal_.default: aten.normal_functional.default,
    aten._native_batch_norm_legit.default: aten._native_batch_norm_legit_functional.default,
    aten.fill_diagonal_.default: aten.as_strided_scatter.default,
}


def _functional(op: OpOverload) -> OpOverload:
    """The op that functionalization makes of one that writes to its argument."""
    if op in _FUNCTIONAL:
        return _FUNCTIONAL[op]
    name, overload = op._schema.name.removeprefix("aten::"), op._overloadname
    if not op._schema.is_mutable or op.namespace != "aten" or not name.endswith("_") or not hasattr(aten, name[:-1]):
        return op
    packet = getattr(aten, name[:-1])
    return getattr(packet, overload) if overload in packet.overloads() else op


def _calls(program: ExportedProgram) -> list[torch.fx.Node]:
    nodes = (node for module in graph_modules(program) for node in module.graph.nodes)
    return [node for node in nodes if isinstance(node.target, OpOverload)]


def _takes_statistics(node: torch.fx.Node) -> bool:
    """Whether a normalization writes its running statistics, as it does in training mode."""
    return node.target in (aten.batch_norm.default, aten.instance_norm.default) and bool(node.args[5]) and node.args[3] is not None


def _is_taken_apart_by_torch(node: torch.fx.Node) -> bool:
    """Whether ExecuTorch has a call taken apart in any case, since Core ML does not take it whole."""
    op = node.target
    return (
        isinstance(op, OpOverload)
        and op in torch_decompositions.decomposable()
        and not torch_decompositions.is_view(op)
        and node_conversion.converter_of(node_conversion.kind_of(op)) is None
    )


def _needed(program: ExportedProgram) -> dict[OpOverload, Callable[..., Any]]:
    """What takes apart the calls of these ops, and the calls of others that consist of such."""
    table: dict[OpOverload, Callable[..., Any]] = {}
    # One call of each form tells of the others.
    for node in {torch_decompositions.form_of(node): node for node in _calls(program)}.values():
        op: Any = node.target
        made = {_functional(op), _SCATTERS.get(op, op)} & _TABLE.keys()
        table.update((op, _TABLE[op]) for op in made)
        if made:
            continue
        if composites.is_composite(op) and (_takes_statistics(node) or not _TABLE.keys().isdisjoint(composites.ops_of(node))):
            table[op] = composites.decomposition(op)
        elif _is_taken_apart_by_torch(node) and torch_decompositions.seen_parts_of(node, _TABLE):
            table[op] = torch_decompositions.functions()[op]
    return table


def taken_apart(program: ExportedProgram) -> ExportedProgram:
    """The ATen program without calls of these ops, along a dimension of a scalar, and of pooling in forms of its own, and without complex numbers.

    Itself where it has none.
    """
    calls = _calls(program)
    along = {op: scalars.with_a_dimension(op) for op in map(scalars.op_along_a_dimension, calls) if op is not None}
    pooled = {op: pooling.in_core_mls_form(op) for op in map(pooling.op_in_another_form, calls) if op is not None}
    if along or pooled:
        program = program.run_decompositions(along | pooled)
    before: set[OpOverload] = set()
    while (table := _needed(program)) and table.keys() != before:  # Else what is left has no form here.
        program, before = program.run_decompositions(table), set(table)
    return complex_numbers.in_real_numbers(program)
