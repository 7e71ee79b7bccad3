"""Rows of products, pools, normalizations, recurrent layers, images and quantized values, and the composites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mil_program import DTYPES, Ref, Unsuited, mb
from mil_table import COMPOSITES, Row, operation

# --- Products ---


def _finite(d: Any, x: Ref) -> Ref:
    """Whether an infinity times a weight of 0 counts is not said."""
    if not np.all(np.isfinite(d.of(x))):
        raise Unsuited("not finite")
    return x


@operation("matmul")
def _matmul(d: Any) -> dict[str, Any]:
    x = d.real((2, 4))
    rows, inner = d.of(x).shape[-2:]
    transpose_x, transpose_y = d.chance(0.3), d.chance(0.3)
    inner = rows if transpose_x else inner
    columns = d.integer(1, 5)
    shape = [*d.of(x).shape[:-2], *((columns, inner) if transpose_y else (inner, columns))]
    y = d.plain(shape, dtype=d.dtype(x)) if d.chance(0.4) else d.value((d.dtype(x),), shape=shape)
    return {"x": x, "y": y, "transpose_x": transpose_x, "transpose_y": transpose_y}


@operation("linear")
def _linear(d: Any) -> dict[str, Any]:
    x = d.real((2, 3))
    columns = d.integer(1, 6)
    weight = d.plain((columns, d.of(x).shape[-1]), dtype=d.dtype(x))
    return {"x": x, "weight": weight} | ({"bias": d.plain((columns,), dtype=d.dtype(x))} if d.chance(0.6) else {})


@operation("einsum")
def _einsum(d: Any) -> dict[str, Any]:
    x = d.real((4, 4))
    batch, _, height, width = d.of(x).shape
    return {"values": (x, d.value((d.dtype(x),), shape=(batch, width, height, 3))), "equation": "bnhw,bwhu->bnhu"}


@operation("conv")
def _conv(d: Any) -> dict[str, Any]:
    x = d.real((3, 5), fresh=0.6)
    count = d.rank(x) - 2
    channels = d.of(x).shape[1]
    groups = d.choice((1, channels)) if d.chance(0.3) else 1
    kernel = [d.integer(1, min(3, extent)) for extent in d.of(x).shape[2:]]
    dilations = [1 if size * 2 > extent else d.integer(1, 2) for size, extent in zip(kernel, d.of(x).shape[2:])]
    outputs = groups * d.integer(1, 4)
    arguments = {
        "x": x,
        "weight": d.plain((outputs, channels // groups, *kernel), dtype=d.dtype(x)),
        "strides": [d.integer(1, 2)] * count,
        "groups": groups,
    }
    if groups == 1 or d.chance(0.5):
        arguments["dilations"] = dilations
    if d.chance(0.6):
        arguments["bias"] = d.plain((outputs,), dtype=d.dtype(x))
    return arguments | _padding(d, kernel)


def _padding(d: Any, kernel: Sequence[int]) -> dict[str, Any]:
    kind = d.choice(("valid", "same", "custom") + (("same_lower",) if d.program.opset >= "iOS16" else ()))
    if kind != "custom":
        return {"pad_type": kind}
    return {"pad_type": kind, "pad": [d.integer(0, size - 1) for size in kernel for _ in range(2)]}


@operation("conv_transpose")
def _conv_transpose(d: Any) -> dict[str, Any]:
    x = d.real((3, 4), fresh=0.6)
    count = d.rank(x) - 2
    kernel = [d.integer(1, 3) for _ in range(count)]
    arguments = {
        "x": x,
        "weight": d.plain((d.of(x).shape[1], d.integer(1, 4), *kernel), dtype=d.dtype(x)),
        "strides": [d.integer(1, 2)] * count,
    }
    if d.chance(0.4):
        return arguments | {"pad_type": "custom", "pad": [d.integer(0, (size - 1) // 2) for size in kernel for _ in range(2)]}
    return arguments | {"pad_type": "valid"}


@operation("max_pool", "l2_pool")
def _pool(d: Any) -> dict[str, Any]:
    # A window of minus infinities: docs/engine.md.
    x = _finite(d, d.real((3, 5), fresh=0.6))
    kernel = [d.integer(1, min(3, extent)) for extent in d.of(x).shape[2:]]
    return {"x": x, "kernel_sizes": kernel, "strides": [d.integer(1, 2) for _ in kernel]} | _pool_padding(d, kernel)


def _pool_padding(d: Any, kernel: Sequence[int]) -> dict[str, Any]:
    made = _padding(d, kernel)
    if made["pad_type"] == "custom":
        made["pad"] = [d.integer(0, size // 2) for size in kernel for _ in range(2)]
    return made


@operation("avg_pool")
def _avg_pool(d: Any) -> dict[str, Any]:
    return _pool(d) | {"exclude_padding_from_average": d.chance(0.5)}


@operation("batch_norm")
def _batch_norm(d: Any) -> dict[str, Any]:
    x = d.real((3, 5))
    channels = (d.of(x).shape[1],)
    dtype = d.dtype(x)
    arguments = {
        "x": x,
        "mean": d.plain(channels, dtype=dtype),
        "variance": d.plain(channels, 0.1, 2, dtype),
        "epsilon": DTYPES[dtype](1e-3),
    }
    return arguments | ({"gamma": d.plain(channels, dtype=dtype), "beta": d.plain(channels, dtype=dtype)} if d.chance(0.6) else {})


@operation("instance_norm")
def _instance_norm(d: Any) -> dict[str, Any]:
    x = d.real((3, 4))
    channels, dtype = (d.of(x).shape[1],), d.dtype(x)
    return {"x": x, "epsilon": DTYPES[dtype](1e-2)} | (
        {"gamma": d.plain(channels, dtype=dtype), "beta": d.plain(channels, dtype=dtype)} if d.chance(0.6) else {}
    )


@operation("layer_norm")
def _layer_norm(d: Any) -> dict[str, Any]:
    x = d.real((2, 5))
    dtype = d.dtype(x)
    axes = list(range(-d.integer(1, min(2, d.rank(x))), 0)) if d.chance(0.7) else [d.integer(0, d.rank(x) - 1)]
    shape = [d.of(x).shape[axis] for axis in axes]
    return {"x": x, "axes": axes, "epsilon": DTYPES[dtype](1e-2)} | (
        {"gamma": d.plain(shape, dtype=dtype), "beta": d.plain(shape, dtype=dtype)} if d.chance(0.6) else {}
    )


@operation("l2_norm")
def _l2_norm(d: Any) -> dict[str, Any]:
    x = d.real((3, 5))
    return {"x": x, "epsilon": DTYPES[d.dtype(x)](1e-2)}


@operation("local_response_norm")
def _local_response_norm(d: Any) -> dict[str, Any]:
    x = d.real((3, 5))
    return {"x": x, "size": d.integer(1, 5), "alpha": d.scalar(x, 0.1, 1), "k": d.scalar(x, 0.5, 2)}


@operation("scaled_dot_product_attention")
def _attention(d: Any) -> dict[str, Any]:
    query = d.real((3, 4))
    *batch, _, width = d.of(query).shape
    length = d.integer(1, 5)
    key = d.value((d.dtype(query),), shape=(*batch, length, width))
    value = d.value((d.dtype(query),), shape=(*batch, length, width))
    arguments = {"query": query, "key": key, "value": value}
    if d.chance(0.5):
        arguments["attn_mask"] = d.value((d.dtype(query),), shape=(d.of(query).shape[-2], length))
    return arguments


def _recurrent(d: Any, gates: int) -> dict[str, Any]:
    steps, batch, features, size = d.integer(1, 4), d.integer(1, 3), d.integer(1, 4), d.integer(1, 4)
    x = d.real(shape=(steps, batch, features))
    dtype = d.dtype(x)
    arguments = {
        "x": x,
        "initial_h": d.value((dtype,), shape=(batch, size)),
        "weight_ih": d.plain((gates * size, features), dtype=dtype),
        "weight_hh": d.plain((gates * size, size), dtype=dtype),
        "direction": d.choice(("forward", "reverse")),
        "output_sequence": d.chance(0.5),
    }
    return arguments | ({"bias": d.plain((gates * size,), dtype=dtype)} if d.chance(0.6) else {})


@operation("rnn")
def _rnn(d: Any) -> dict[str, Any]:
    return _recurrent(d, 1) | {"activation": d.choice(("tanh", "relu", "sigmoid"))}


@operation("lstm")
def _lstm(d: Any) -> dict[str, Any]:
    arguments = _recurrent(d, 4)
    return arguments | {"initial_c": d.value((d.dtype(arguments["x"]),), shape=d.of(arguments["initial_h"]).shape)}


@operation("gru")
def _gru(d: Any) -> dict[str, Any]:
    arguments = _recurrent(d, 3)
    return arguments | ({"reset_after": d.chance(0.5)} if d.program.opset >= "iOS17" else {})


# --- Images and blocks ---


@operation("crop")
def _crop(d: Any) -> dict[str, Any]:
    x = d.real((4, 4))
    crops = []
    for extent in d.of(x).shape[2:]:
        first = d.integer(0, extent - 1)
        crops.append([first, d.integer(0, extent - first - 1)])
    return {"x": x, "crop_height": crops[0], "crop_width": crops[1]}


def _blocks(d: Any, channels: int, spatial: int) -> Ref:
    return d.real(shape=(d.integer(1, 2), channels * d.integer(1, 2), spatial * d.integer(1, 3), spatial * d.integer(1, 3)))


@operation("depth_to_space")
def _depth_to_space(d: Any) -> dict[str, Any]:
    return {"x": _blocks(d, 4, 1), "block_size": 2}


@operation("pixel_shuffle")
def _pixel_shuffle(d: Any) -> dict[str, Any]:
    return {"x": _blocks(d, 4, 1), "upscale_factor": 2}


@operation("space_to_depth")
def _space_to_depth(d: Any) -> dict[str, Any]:
    return {"x": _blocks(d, 1, 2), "block_size": 2}


@operation("pixel_unshuffle")
def _pixel_unshuffle(d: Any) -> dict[str, Any]:
    return {"x": _blocks(d, 1, 2), "downscale_factor": np.uint32(2)}


@operation("space_to_batch")
def _space_to_batch(d: Any) -> dict[str, Any]:
    x = d.real((4, 4))
    pads = [[0, -extent % 2] for extent in d.of(x).shape[2:]]
    return {"x": x, "block_shape": [2, 2], "paddings": pads}


@operation("batch_to_space")
def _batch_to_space(d: Any) -> dict[str, Any]:
    x = d.real(shape=(4 * d.integer(1, 2), d.integer(1, 3), d.integer(1, 4), d.integer(1, 4)))
    return {"x": x, "block_shape": [2, 2], "crops": [[d.integer(0, 1), 0], [0, d.integer(0, 1)]]}


@operation("resize_bilinear")
def _resize_bilinear(d: Any) -> dict[str, Any]:
    modes = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS") + (
        ("UNALIGN_CORNERS",) if d.program.opset >= "iOS16" else ()
    )
    x = _finite(d, d.real((3, 5)))
    return {"x": x, "target_size_height": d.integer(1, 9), "target_size_width": d.integer(1, 9), "sampling_mode": d.choice(modes)}


@operation("resize_nearest_neighbor")
def _resize_nearest_neighbor(d: Any) -> dict[str, Any]:
    return {"x": d.real((3, 5)), "target_size_height": d.integer(1, 9), "target_size_width": d.integer(1, 9)}


@operation("upsample_nearest_neighbor")
def _upsample_nearest_neighbor(d: Any) -> dict[str, Any]:
    return {"x": d.real((3, 5)), "scale_factor_height": d.integer(1, 3), "scale_factor_width": d.integer(1, 3)}


# --- Quantized values ---


def _quantization(d: Any, x: Ref) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    extents: tuple[int, ...] = ()
    if d.chance(0.5):
        axis = d.integer(0, d.rank(x) - 1)
        extents, arguments["axis"] = (d.of(x).shape[axis],), axis
    scale = d.plain(extents, 0.01, 0.5)
    arguments["scale"] = scale if extents else scale[()]
    return arguments


@operation("quantize")
def _quantize(d: Any) -> dict[str, Any]:
    x = d.real()
    if not np.all(np.isfinite(d.of(x))):
        raise Unsuited("no integer of NaN")
    dtype = str(d.choice(("int8", "uint8")))
    arguments = _quantization(d, x) | {"input": x, "output_dtype": dtype}
    if d.chance(0.5):
        arguments["zero_point"] = d.array(dtype, np.shape(arguments["scale"]))[()]
    return arguments


@operation("dequantize")
def _dequantize(d: Any) -> dict[str, Any]:
    x = d.value(("int8", "uint8"))
    arguments = _quantization(d, x) | {"input": x}
    if d.chance(0.5):
        arguments["zero_point"] = d.array(d.dtype(x), np.shape(arguments["scale"]))[()]
    return arguments


# --- Composites ---


def _build_cond(pred: Any, a: Any, b: Any) -> Any:
    return mb.cond(
        pred=mb.squeeze(x=pred, axes=[0]), _true_fn=lambda: mb.add(x=mb.relu(x=a), y=b), _false_fn=lambda: mb.sub(x=a, y=b)
    )


def _draw_cond(d: Any) -> dict[str, Any]:
    a = d.real()
    return {"pred": d.value(("bool",), shape=(1,)), "a": a, "b": d.value((d.dtype(a),), shape=d.of(a).shape)}


def _cond(pred: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum(a, 0) + b if pred[0] else a - b


COMPOSITES["cond"] = Row(_draw_cond, _cond, of=("cond",), build=_build_cond)


def _build_loop(count: Any, x: Any, step: Any) -> Any:
    zero = mb.mul(x=count, y=np.int32(0))
    made = mb.while_loop(
        _cond=lambda i, total: mb.squeeze(x=mb.less(x=i, y=count), axes=[0]),
        _body=lambda i, total: (mb.add(x=i, y=np.int32(1)), mb.add(x=total, y=step)),
        loop_vars=(zero, x),
    )
    return made


def _draw_loop(d: Any) -> dict[str, Any]:
    x = d.real()
    return {"count": d.given(np.array([d.integer(0, 4)], np.int32)), "x": x, "step": d.value((d.dtype(x),), shape=d.of(x).shape)}


def _loop(count: np.ndarray, x: np.ndarray, step: np.ndarray) -> list[np.ndarray]:
    total = x
    for _ in range(int(count[0])):
        total = total + step
    return [count, total]


COMPOSITES["while_loop"] = Row(_draw_loop, _loop, of=("while_loop",), build=_build_loop)


def _build_list(x: Any, y: Any) -> Any:
    """A list of three elements: x, y, x + y."""
    dtype = {"fp16": "fp16", "fp32": "fp32", "int32": "int32"}[_dtype_name(x)]
    made = mb.make_list(init_length=3, dynamic_length=False, elem_shape=tuple(x.shape), dtype=dtype)
    made = mb.list_write(ls=made, index=0, value=x)
    both = mb.stack(values=[y, mb.add(x=x, y=y)], axis=0)
    made = mb.list_scatter(ls=made, indices=[1, 2], value=both)
    length = mb.expand_dims(x=mb.list_length(ls=made), axes=[0])
    return mb.list_gather(ls=made, indices=[2, 0]), mb.list_read(ls=made, index=1), length


def _dtype_name(variable: Any) -> str:
    from mil_program import types

    return str(types.builtin_to_string(variable.dtype))


def _draw_list(d: Any) -> dict[str, Any]:
    x = d.number((1, 4))
    return {"x": x, "y": d.value((d.dtype(x),), shape=d.of(x).shape)}


def _list(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    return [np.stack([x + y, x]), y, np.array([3], np.int32)]


COMPOSITES["list"] = Row(
    _draw_list, _list, of=("make_list", "list_write", "list_scatter", "list_length", "list_gather", "list_read"), build=_build_list
)
