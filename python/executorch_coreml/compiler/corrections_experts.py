"""Mixtures of experts: the product of each row with the matrix of its group."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from executorch_coreml.compiler.correction_table import arguments, correction, number


@correction(
    "_grouped_mm",
    "transformers::grouped_mm_fallback",
    "transformers.grouped_mm_fallback",
    reason="coremltools has no conversion",
    where_missing=True,
)
def grouped_mm(context: Any, node: Any) -> None:
    """x: (rows, inner). matrices: (groups, inner, columns). ends: int32 (groups,), where the rows of each group end. Returns (rows, columns).

    Few rows fetch a matrix each. More rows are multiplied with all matrices, which are read once, and each keeps the product of its group.
    Rows behind the last end are 0.
    """
    x, matrices, ends = arguments(context, node, "input", "weight", "offs")
    groups, rows = matrices.shape[0], x.shape[0]
    if x.rank != 2 or matrices.rank != 3 or ends is None:
        raise NotImplementedError("the rows of one matrix must each be multiplied by one matrix")
    ends = mb.reshape(x=ends, shape=[groups, 1])
    if isinstance(rows, (int, np.integer)):
        places = np.arange(rows, dtype=np.int32)[None, :]
    else:
        extent = mb.squeeze(x=mb.slice_by_size(x=mb.shape(x=x), begin=[0], size=[1]), axes=[0])
        places = mb.expand_dims(x=mb.range_1d(start=np.int32(0), end=extent, step=np.int32(1)), axes=[0])
    # (groups, rows): how many of the groups end at a row or before it is the number of its own.
    is_behind = mb.cast(x=mb.less_equal(x=ends, y=places), dtype="int32")
    group = mb.reduce_sum(x=is_behind, axes=[0], keep_dims=False)
    if isinstance(rows, (int, np.integer)) and rows <= groups:
        is_in_none = mb.greater_equal(x=group, y=np.int32(groups))
        own = mb.gather(x=matrices, indices=mb.minimum(x=group, y=np.int32(groups - 1)), axis=0)
        products = mb.squeeze(x=mb.matmul(x=mb.expand_dims(x=x, axes=[1]), y=own), axes=[1])
        is_in_none = mb.expand_dims(x=is_in_none, axes=[1])
        context.add(mb.select(cond=is_in_none, a=_zeros_like(products), b=products, name=node.name))
        return
    numbers = np.arange(groups, dtype=np.int32)[:, None]
    is_own = mb.expand_dims(x=mb.equal(x=mb.expand_dims(x=group, axes=[0]), y=numbers), axes=[2])
    products = mb.matmul(x=mb.expand_dims(x=x, axes=[0]), y=matrices)
    # Selected, not multiplied: in a group that is not its own a row may give infinity.
    kept = mb.select(cond=is_own, a=products, b=_zeros_like(products))
    context.add(mb.reduce_sum(x=kept, axes=[0], keep_dims=False, name=node.name))


def _zeros_like(x: Var) -> Any:
    if all(isinstance(extent, (int, np.integer)) for extent in x.shape):
        return np.zeros(x.shape, types.nptype_from_builtin(x.dtype))
    return mb.fill(shape=mb.shape(x=x), value=number(0, x))
