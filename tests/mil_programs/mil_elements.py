"""Rows of operations on elements, reductions, shapes and indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from mil_program import DTYPES, Ref, Unsuited
from mil_table import operation

# --- One argument, element by element ---


@operation(
    "acos",
    "asin",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "exp",
    "exp2",
    "floor",
    "round",
    "silu",
    "sin",
    "sinh",
    "softplus",
    "softsign",
    "sqrt",
    "tan",
    "tanh",
    "sigmoid",
)
def _real(d: Any) -> dict[str, Any]:
    return {"x": d.real()}


@operation("relu", "relu6")
def _relu(d: Any) -> dict[str, Any]:
    return {"x": d.real()}


@operation("abs", "sign", "square", "identity")
def _number(d: Any) -> dict[str, Any]:
    return {"x": d.number()}


@operation("logical_not")
def _logical_not(d: Any) -> dict[str, Any]:
    return {"x": d.value(("bool",))}


@operation("inverse", "rsqrt", "log")
def _with_epsilon(d: Any) -> dict[str, Any]:
    x = d.real()
    # The default is a number of x's dtype: 1e-12 is 0 in float16.
    return {"x": x} | ({"epsilon": d.scalar(x, 0, 0.1)} if d.dtype(x) == "fp16" or d.chance(0.6) else {})


@operation("clip", "clamped_relu", "linear_activation", "scaled_tanh", "sigmoid_hard")
def _two_parameters(d: Any) -> dict[str, Any]:
    x = d.real()
    return {"x": x, "alpha": d.scalar(x, -1, 0.5), "beta": d.scalar(x, 0.5, 2)}


@operation("elu", "leaky_relu", "threshold", "thresholded_relu")
def _one_parameter(d: Any) -> dict[str, Any]:
    x = d.real()
    return {"x": x, "alpha": d.scalar(x, 0, 2)}


@operation("gelu")
def _gelu(d: Any) -> dict[str, Any]:
    return {"x": d.real(), "mode": d.choice(("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"))}


@operation("prelu")
def _prelu(d: Any) -> dict[str, Any]:
    x = d.real((3, 5))
    return {"x": x, "alpha": d.plain((d.of(x).shape[1],))}


@operation("softplus_parametric")
def _softplus_parametric(d: Any) -> dict[str, Any]:
    x = d.real((3, 5))
    channels = d.of(x).shape[1]
    return {"x": x, "alpha": d.plain((channels,)), "beta": d.plain((channels,), 0.1, 3)}


@operation("cast")
def _cast(d: Any) -> dict[str, Any]:
    x = d.value(tuple(DTYPES))
    names = ["fp32", "int32", "bool"] + ([] if d.program.opset == "iOS15" else ["fp16"])
    if d.program.opset >= "iOS17":
        names += ["int8", "uint8", "int16", "uint16"]
    dtype = d.choice(names)
    if dtype not in ("fp16", "fp32", "bool"):
        limits, values = np.iinfo(DTYPES[dtype]), d.of(x).astype(np.float64)
        if not np.all(np.isfinite(values)) or np.any(np.trunc(values) < limits.min) or np.any(np.trunc(values) > limits.max):
            raise Unsuited("what lies outside an integer's range has no value there")
    return {"x": x, "dtype": dtype}


# --- Two arguments ---


@operation("add", "sub", "mul", "maximum", "minimum", "floor_div", "mod", "real_div")
def _arithmetic(d: Any) -> dict[str, Any]:
    x = d.number()
    return _either_order(d, x, d.broadcast(x))


def _either_order(d: Any, x: Any, y: Any) -> dict[str, Any]:
    return {"x": y, "y": x} if d.chance(0.3) else {"x": x, "y": y}


@operation("pow")
def _pow(d: Any) -> dict[str, Any]:
    x = d.real()
    return {
        "x": x,
        "y": d.choice((DTYPES[d.dtype(x)](2), DTYPES[d.dtype(x)](3), DTYPES[d.dtype(x)](-1), DTYPES[d.dtype(x)](0.5)))
        if d.chance(0.6)
        else d.like(x),
    }


@operation("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
def _comparison(d: Any) -> dict[str, Any]:
    x = d.number()
    return _either_order(d, x, x if d.chance(0.1) else d.broadcast(x))


@operation("logical_and", "logical_or", "logical_xor")
def _logical(d: Any) -> dict[str, Any]:
    x = d.value(("bool",))
    return {"x": x, "y": d.like(x)}


@operation("select")
def _select(d: Any) -> dict[str, Any]:
    a = d.number()
    return {"cond": d.value(("bool",), shape=d.of(a).shape), "a": a, "b": d.like(a)}


# --- Reductions ---


@operation("reduce_l1_norm", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum", "reduce_sum_square")
def _reduce(d: Any) -> dict[str, Any]:
    return _reduced(d, d.number())


@operation("reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp")
def _reduce_reals(d: Any) -> dict[str, Any]:
    return _reduced(d, d.real())


def _reduced(d: Any, x: Ref) -> dict[str, Any]:
    return {"x": x, "keep_dims": d.chance(0.5)} | ({"axes": d.axes(x)} if d.chance(0.9) else {})


@operation("reduce_argmax", "reduce_argmin")
def _reduce_arg(d: Any) -> dict[str, Any]:
    x = _without_nan(d, d.number())
    return {"x": x, "axis": d.axis(x), "keep_dims": d.chance(0.5)}


def _without_nan(d: Any, x: Ref) -> Ref:
    if np.any(np.isnan(d.of(x).astype(np.float64))):
        raise Unsuited("no order of NaN")
    return x


@operation("argsort")
def _argsort(d: Any) -> dict[str, Any]:
    # Equal elements may come in any order.
    x = _distinct(d, d.number())
    return {"x": x, "axis": d.axis(x), "ascending": d.chance(0.5)}


def _distinct(d: Any, x: Ref) -> Ref:
    _without_nan(d, x)
    if np.unique(d.of(x)).size != d.of(x).size:
        raise Unsuited("equal elements")
    return x


@operation("topk")
def _topk(d: Any) -> dict[str, Any]:
    x = _distinct(d, d.number())
    axis = d.axis(x)
    return {"x": x, "k": d.integer(1, d.of(x).shape[axis]), "axis": axis, "ascending": d.chance(0.5)}


@operation("cumsum")
def _cumsum(d: Any) -> dict[str, Any]:
    x = d.number()
    return {"x": x, "axis": d.axis(x), "exclusive": d.chance(0.5), "reverse": d.chance(0.5)}


@operation("softmax")
def _softmax(d: Any) -> dict[str, Any]:
    x = d.real()
    return {"x": x, "axis": d.axis(x)}


# --- Shapes ---


@operation("reshape")
def _reshape(d: Any) -> dict[str, Any]:
    x = d.value(tuple(DTYPES))
    left = list(d.of(x).shape)
    while len(left) > 1 and d.chance(0.6):
        at = d.integer(0, len(left) - 2)
        left[at : at + 2] = [left[at] * left[at + 1]]
    if len(left) < 5 and d.chance(0.5):
        left.insert(d.integer(0, len(left)), 1)
    if d.chance(0.3):
        left[d.integer(0, len(left) - 1)] = -1
    return {"x": x, "shape": left}


@operation("transpose")
def _transpose(d: Any) -> dict[str, Any]:
    x = d.value(tuple(DTYPES))
    return {"x": x, "perm": [int(axis) for axis in d.rng.permutation(d.rank(x))]}


@operation("expand_dims")
def _expand_dims(d: Any) -> dict[str, Any]:
    x = d.value(tuple(DTYPES), (1, 4))
    return {"x": x, "axes": [d.integer(-d.rank(x) - 1, d.rank(x))]}


@operation("squeeze")
def _squeeze(d: Any) -> dict[str, Any]:
    x = d.value(tuple(DTYPES), (2, 5))
    ones = [axis for axis, extent in enumerate(d.of(x).shape) if extent == 1]
    if not ones or len(ones) == d.rank(x):
        raise Unsuited("nothing to squeeze")
    return {"x": x} | ({"axes": [d.choice(ones)]} if d.chance(0.8) else {})


@operation("flatten2d")
def _flatten2d(d: Any) -> dict[str, Any]:
    x = d.number()
    return {"x": x, "axis": d.integer(0, d.rank(x))}


@operation("shape")
def _shape(d: Any) -> dict[str, Any]:
    return {"x": d.number()}


@operation("concat")
def _concat(d: Any) -> dict[str, Any]:
    x = d.number()
    axis = d.axis(x)
    values: list[Any] = [x]
    interleave = d.chance(0.2)
    for _ in range(d.integer(1, 2)):
        shape = list(d.of(x).shape)
        if not interleave:
            shape[axis] = d.integer(1, 4)
        values.append(d.like(x, shape))
    return {"values": values, "axis": axis, "interleave": interleave}


@operation("stack")
def _stack(d: Any) -> dict[str, Any]:
    x = d.number((1, 4))
    return {"values": [x, *[d.like(x) for _ in range(d.integer(0, 2))]], "axis": d.integer(-d.rank(x) - 1, d.rank(x))}


@operation("split")
def _split(d: Any) -> dict[str, Any]:
    x = d.number()
    axis = d.axis(x)
    extent = d.of(x).shape[axis]
    if extent < 2:
        raise Unsuited("one element")
    if extent % 2 == 0 and d.chance(0.5):
        return {"x": x, "num_splits": 2, "axis": axis}
    first = d.integer(1, extent - 1)
    return {"x": x, "split_sizes": [first, extent - first], "axis": axis}


@operation("tile")
def _tile(d: Any) -> dict[str, Any]:
    x = d.number()
    return {"x": x, "reps": [d.integer(1, 3) for _ in range(d.rank(x))]}


@operation("reverse")
def _reverse(d: Any) -> dict[str, Any]:
    x = d.number()
    return {"x": x} | ({"axes": d.axes(x)} if d.chance(0.8) else {})


@operation("reverse_sequence")
def _reverse_sequence(d: Any) -> dict[str, Any]:
    x = d.number((2, 5))
    batch, sequence = (int(axis) for axis in d.rng.permutation(d.rank(x))[:2])
    lengths = d.rng.integers(1, d.of(x).shape[sequence] + 1, d.of(x).shape[batch]).astype(np.int32)
    return {"x": x, "lengths": d.given(lengths), "seq_axis": sequence, "batch_axis": batch}


@operation("pad")
def _pad(d: Any) -> dict[str, Any]:
    x = d.real((2, 5))
    mode = d.choice(("constant", "reflect", "replicate"))
    count = d.rank(x) if mode == "constant" else min(2, d.rank(x))
    pads = []
    for axis in range(d.rank(x) - count, d.rank(x)):
        most = d.of(x).shape[axis] - 1 if mode == "reflect" else 3
        pads += [d.integer(0, min(3, most)), d.integer(0, min(3, most))]
    return {"x": x, "pad": np.array(pads, np.int32), "mode": mode} | (
        {"constant_val": d.scalar(x, -2, 2)} if mode == "constant" else {}
    )


@operation("slice_by_index")
def _slice_by_index(d: Any) -> dict[str, Any]:
    x = d.value(tuple(DTYPES))
    begin, end, stride, begin_mask, end_mask, squeeze_mask = [], [], [], [], [], []
    for extent in d.of(x).shape:
        first = d.integer(0, extent - 1)
        last = d.integer(first + 1, extent)
        squeezed = d.chance(0.15) and len(squeeze_mask) - sum(squeeze_mask) > 0
        begin.append(first - extent if d.chance(0.3) else first)
        end.append(last - extent if d.chance(0.3) and last < extent else last)
        stride.append(d.integer(1, 3))
        begin_mask.append(d.chance(0.2))
        end_mask.append(d.chance(0.2))
        squeeze_mask.append(squeezed)
    return {
        "x": x,
        "begin": begin,
        "end": end,
        "stride": stride,
        "begin_mask": begin_mask,
        "end_mask": end_mask,
        "squeeze_mask": squeeze_mask,
    }


@operation("slice_by_size")
def _slice_by_size(d: Any) -> dict[str, Any]:
    x = d.value(tuple(DTYPES))
    begin = [d.integer(0, extent - 1) for extent in d.of(x).shape]
    return {"x": x, "begin": begin, "size": [d.integer(1, extent - first) for extent, first in zip(d.of(x).shape, begin)]}


@operation("slice_update")
def _slice_update(d: Any) -> dict[str, Any]:
    x = d.number()
    begin = [d.integer(0, extent - 1) for extent in d.of(x).shape]
    end = [d.integer(first + 1, extent) for extent, first in zip(d.of(x).shape, begin)]
    return {"x": x, "update": d.like(x, [last - first for first, last in zip(begin, end)]), "begin": begin, "end": end}


@operation("sliding_windows")
def _sliding_windows(d: Any) -> dict[str, Any]:
    x = d.real((1, 4))
    axis = d.axis(x)
    return {"x": x, "axis": axis, "size": d.integer(1, d.of(x).shape[axis]), "stride": d.integer(1, 2)}


@operation("band_part")
def _band_part(d: Any) -> dict[str, Any]:
    return {"x": d.real((2, 5)), "lower": d.integer(-1, 3), "upper": d.integer(-1, 3)}


@operation("reshape_like")
def _reshape_like(d: Any) -> dict[str, Any]:
    x = d.number()
    other = d.like(x)
    if not isinstance(other, Ref):
        raise Unsuited("a constant")
    return {"x": x, "ref_tensors": [other], "begins": [0], "ends": [d.rank(x)], "end_masks": [False]}


@operation("fill")
def _fill(d: Any) -> dict[str, Any]:
    return {"shape": list(d.shape(d.integer(1, 4))), "value": d.array(d.choice((d.real_dtype, "int32", "bool")), ())[()]}


@operation("fill_like")
def _fill_like(d: Any) -> dict[str, Any]:
    return {"ref_tensor": d.number(), "value": d.array(d.choice((d.real_dtype, "int32", "bool")), ())[()]}


@operation("range_1d")
def _range_1d(d: Any) -> dict[str, Any]:
    start = d.integer(-5, 5)
    return {"start": np.int32(start), "end": np.int32(start + d.integer(1, 12)), "step": np.int32(d.integer(1, 3))}


@operation("one_hot")
def _one_hot(d: Any) -> dict[str, Any]:
    shape = d.shape(d.integer(1, 3))
    return {
        "indices": d.given(d.rng.integers(0, 5, shape).astype(np.int32)),
        "one_hot_vector_size": 5,
        "axis": d.integer(-1, len(shape)),
        "on_value": np.int32(3),
        "off_value": np.int32(-1),
    }


# --- Indices ---


@operation("gather")
def _gather(d: Any) -> dict[str, Any]:
    x = d.number()
    axis = d.axis(x)
    return {"x": x, "indices": d.indices(d.shape(d.integer(1, 2)), d.of(x).shape[axis]), "axis": axis}


@operation("gather_along_axis")
def _gather_along_axis(d: Any) -> dict[str, Any]:
    x = d.number()
    axis = d.axis(x)
    shape = list(d.of(x).shape)
    shape[axis] = d.integer(1, 5)
    return {"x": x, "indices": d.indices(shape, d.of(x).shape[axis]), "axis": axis}


@operation("gather_nd")
def _gather_nd(d: Any) -> dict[str, Any]:
    x = d.number()
    depth = d.integer(1, d.rank(x))
    limits = d.of(x).shape[:depth]
    array = np.stack([d.rng.integers(0, limit, 3) for limit in limits], -1).astype(np.int32)
    return {"x": x, "indices": d.given(array) if d.chance(0.5) else array}


def _mode(d: Any) -> str:
    # Of a NaN and a number either may be the larger.
    extrema = () if d.style == "special" else ("max", "min")
    return str(d.choice(("add", "update", "sub", "mul", *extrema) + (("div",) if d.real_dtype == "fp32" else ())))


def _each_once(d: Any, count: int, limit: int) -> np.ndarray:
    """Of several updates of one element it is not said which is the last."""
    if count > limit:
        raise Unsuited("fewer elements than updates")
    return np.asarray(d.rng.permutation(limit)[:count].astype(np.int32))


@operation("scatter")
def _scatter(d: Any) -> dict[str, Any]:
    data = d.real()
    axis = d.axis(data)
    limit = d.of(data).shape[axis]
    count = d.integer(1, limit)
    shape = list(d.of(data).shape)
    shape[axis] = count
    return {
        "data": data,
        "indices": d.given(_each_once(d, count, limit)),
        "updates": d.like(data, shape),
        "axis": axis,
        "mode": _mode(d),
    }


@operation("scatter_along_axis")
def _scatter_along_axis(d: Any) -> dict[str, Any]:
    data = d.real()
    axis = d.axis(data)
    indices = np.argsort(d.rng.random(d.of(data).shape), axis).astype(np.int32)
    return {"data": data, "indices": d.given(indices), "updates": d.like(data), "axis": axis, "mode": _mode(d)}


@operation("scatter_nd")
def _scatter_nd(d: Any) -> dict[str, Any]:
    data = d.real()
    count = d.integer(1, d.of(data).shape[0])
    indices = _each_once(d, count, d.of(data).shape[0])[:, None]
    return {"data": data, "indices": d.given(indices), "updates": d.like(data, [count, *d.of(data).shape[1:]]), "mode": _mode(d)}
