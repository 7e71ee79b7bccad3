"""Calls along a dimension of a scalar, which torch treats as a tensor of one dimension with one element.

Core ML's operations want the dimension, and so do some of ExecuTorch's kernels, which fail when the program runs. Such a call is made of the tensor
that torch treats the scalar as.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

aten = torch.ops.aten

# Of a scalar they give scalars, or nothing that has another shape than of one element.
_ALONG_A_DIMENSION = frozenset(
    {
        *(aten.all.dim, aten.any.dim, aten.amax.default, aten.amin.default, aten.max.dim, aten.min.dim),
        *(aten.argmax.default, aten.argmin.default, aten.argsort.default, aten.argsort.stable, aten.sort.default, aten.sort.stable),
        *(aten.topk.default, aten.kthvalue.default, aten.median.dim, aten.flip.default, aten.roll.default),
        *(aten.cumsum.default, aten.cumprod.default, aten.logcumsumexp.default, aten.cummax.default, aten.cummin.default),
        *(aten.softmax.int, aten._softmax.default, aten.log_softmax.int, aten._log_softmax.default),
        *(aten.logsumexp.default, aten.mean.dim, aten.mean.default, aten.sum.dim_IntList, aten.prod.dim_int),
        *(aten.var.correction, aten.var.dim, aten.var_mean.correction, aten.std.correction, aten.std.dim, aten.std_mean.correction),
        *(aten.norm.Scalar, aten.norm.ScalarOpt_dim, aten.linalg_vector_norm.default),
        *(aten.index_select.default, aten.gather.default, aten.index_fill.int_Scalar, aten.index_fill.int_Tensor),
        *(aten.scatter.src, aten.scatter.value, aten.scatter_add.default, aten.scatter_reduce.two),
        *(aten.squeeze.dim, aten.squeeze.dims, aten.transpose.int),
    }
)


def op_along_a_dimension(node: torch.fx.Node) -> OpOverload | None:
    """The op of a call that is of this kind; None for any other call."""
    given = node.args[0] if node.args else None
    value = given.meta.get("val") if isinstance(given, torch.fx.Node) else None
    is_scalar = isinstance(value, torch.Tensor) and value.dim() == 0
    return node.target if is_scalar and node.target in _ALONG_A_DIMENSION else None


def with_a_dimension(op: OpOverload) -> Callable[..., Any]:
    """What takes apart the calls of an op that have a scalar as first argument."""

    def with_one(value: Any) -> Any:
        return value.reshape(1) if isinstance(value, torch.Tensor) and value.dim() == 0 else value

    def without(value: Any) -> Any:
        return value.reshape(()) if isinstance(value, torch.Tensor) and value.dim() == 1 else value

    def made(scalar: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if scalar.dim() != 0:
            return NotImplemented
        # The value that index_fill writes is a scalar in any case.
        args, kwargs = (args, kwargs) if op is aten.index_fill.int_Tensor else pytree.tree_map(with_one, (args, kwargs))
        return pytree.tree_map(without, op(with_one(scalar), *args, **kwargs))

    return made
