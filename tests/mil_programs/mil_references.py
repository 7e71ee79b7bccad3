"""What operations of MIL give, in NumPy: those for which coremltools infers no value, or infers it wrongly.

Arguments have the names of the operation's; reals come as float32 and are computed with in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def _wide(x: Any) -> Array:
    x = np.asarray(x)
    return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x


def cast(x: Array, dtype: str) -> Array:
    """float16 stays wide: the mode decides about rounding."""
    if dtype == "bool":
        return np.asarray(x) != 0
    return np.asarray(x).astype({"fp16": np.float32, "fp32": np.float32}.get(dtype, dtype))


def silu(x: Array) -> Array:
    x = _wide(x)
    return np.where(x > 0, x / (1 + np.exp(-np.abs(x))), x * np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x: Array) -> Array:
    return np.logaddexp(0, _wide(x))


def softplus_parametric(x: Array, alpha: Array, beta: Array) -> Array:
    shape = [1, -1] + [1] * (x.ndim - 2)
    return _wide(alpha).reshape(shape) * np.logaddexp(0, _wide(beta).reshape(shape) * _wide(x))


def log(x: Array, epsilon: float = 1e-45) -> Array:
    return np.log(_wide(x) + float(np.float32(epsilon)))


def _plus(x: Array, epsilon: float) -> Array:
    """Nothing is added where epsilon is 0: -0 + 0 were 0."""
    return _wide(x) + float(np.float32(epsilon)) if epsilon else _wide(x)


def inverse(x: Array, epsilon: float = 1e-4) -> Array:
    return 1 / _plus(x, epsilon)


def rsqrt(x: Array, epsilon: float = 1e-12) -> Array:
    return 1 / np.sqrt(_plus(x, epsilon))


def concat(values: Sequence[Array], axis: int, interleave: bool = False) -> Array:
    """Interleaved: the first slice of each, then the second of each. coremltools infers the plain one."""
    if not interleave:
        return np.concatenate(values, int(axis))
    axis = int(axis) % values[0].ndim
    shape = list(values[0].shape)
    shape[axis] *= len(values)
    return np.stack(values, axis + 1).reshape(shape)


def elu(x: Array, alpha: float) -> Array:
    return np.where(_wide(x) > 0, _wide(x), float(alpha) * np.expm1(_wide(x)))


def gelu(x: Array, mode: str = "EXACT") -> Array:
    import math

    x = _wide(x)
    if mode == "EXACT":
        return x * 0.5 * np.vectorize(math.erfc, otypes=[np.float64])(-x / np.sqrt(2))
    if mode == "TANH_APPROXIMATION":
        return x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x / (1 + np.exp(-1.702 * x))


def real_div(x: Array, y: Array) -> Array:
    """Of integers towards zero; by zero 0, as docs/engine.md says."""
    if np.issubdtype(np.asarray(x).dtype, np.floating):
        return _wide(x) / _wide(y)
    x, y = np.broadcast_arrays(np.asarray(x, np.int64), np.asarray(y, np.int64))
    quotient = np.abs(x) // np.maximum(np.abs(y), 1) * np.sign(x) * np.sign(y)
    return quotient.astype(np.int32)


def _reduction(function: Callable[..., Array], *, before: Callable[[Array], Array] = lambda x: x) -> Callable[..., Array]:
    def reduce(x: Array, axes: Sequence[int] | None = None, keep_dims: bool = False) -> Array:
        x = before(_wide(x) if np.issubdtype(x.dtype, np.floating) else x.astype(np.int64))
        return np.asarray(function(x, axis=None if axes is None else tuple(int(axis) for axis in axes), keepdims=bool(keep_dims)))

    return reduce


def _by_max(x: Array, axis: Any, keepdims: bool) -> Array:
    x = x.astype(np.float64)
    largest = np.max(x, axis=axis, keepdims=True)
    shift = np.where(np.isinf(largest), 0, largest)
    result = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    if keepdims:
        return result
    return result.reshape(np.sum(x, axis=axis).shape)


def _mean(x: Array, **options: Any) -> Array:
    return np.mean(x, **options) if x.dtype == np.float64 else np.trunc(np.mean(x, **options)).astype(np.int32)


reduce_sum = _reduction(np.sum)
reduce_mean = _reduction(_mean)
reduce_prod = _reduction(np.prod)
reduce_max = _reduction(np.max)
reduce_min = _reduction(np.min)
reduce_l1_norm = _reduction(np.sum, before=np.abs)
reduce_l2_norm = _reduction(lambda x, **options: np.sqrt(np.sum(x, **options)), before=lambda x: x.astype(np.float64) ** 2)
reduce_log_sum = _reduction(lambda x, **options: np.log(np.sum(x, **options).astype(np.float64)))
reduce_log_sum_exp = _reduction(_by_max)
reduce_sum_square = _reduction(np.sum, before=lambda x: x * x)


def softmax(x: Array, axis: int = -1) -> Array:
    x = _wide(x)
    weights = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return weights / np.sum(weights, axis=axis, keepdims=True)


def band_part(x: Array, lower: int = -1, upper: int = -1) -> Array:
    rows, columns = np.arange(x.shape[-2])[:, None], np.arange(x.shape[-1])
    kept = ((int(lower) < 0) | (rows - columns <= int(lower))) & ((int(upper) < 0) | (columns - rows <= int(upper)))
    return np.where(kept, x, np.zeros((), x.dtype))


def thresholded_relu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(_wide(x) < float(alpha), 0.0, _wide(x))


def cumsum(x: Array, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Array:
    y = _wide(x)
    if reverse:
        y = np.flip(y, axis)
    total = np.cumsum(y, axis=axis)
    if exclusive:
        total = np.concatenate([np.zeros_like(np.take(total, [0], axis)), np.take(total, range(y.shape[axis] - 1), axis)], axis)
    return np.flip(total, axis) if reverse else total


def reverse_sequence(x: Array, lengths: Array, seq_axis: int = 0, batch_axis: int = 0) -> Array:
    result = np.moveaxis(x, (int(batch_axis), int(seq_axis)), (0, 1)).copy()
    for row, length in zip(result, lengths):
        row[: int(length)] = row[: int(length)][::-1].copy()
    return np.moveaxis(result, (0, 1), (int(batch_axis), int(seq_axis)))


def matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    x, y = _wide(x), _wide(y)
    x = np.swapaxes(x, -1, -2) if transpose_x and x.ndim > 1 else x
    y = np.swapaxes(y, -1, -2) if transpose_y and y.ndim > 1 else y
    return np.matmul(x, y)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    return _wide(x) @ _wide(weight).T + (0 if bias is None else _wide(bias))


def einsum(values: Sequence[Array], equation: str) -> Array:
    return np.einsum(equation, *[_wide(value) for value in values])


def _per_channel(vector: Any, rank: int) -> Array:
    return _wide(vector).reshape([1, -1] + [1] * (rank - 2))


def batch_norm(x: Array, mean: Array, variance: Array, gamma: Any = None, beta: Any = None, epsilon: float = 1e-5) -> Array:
    y = (_wide(x) - _per_channel(mean, x.ndim)) / np.sqrt(_per_channel(variance, x.ndim) + float(epsilon))
    return _affine(y, gamma, beta, x.ndim)


def _affine(y: Array, gamma: Any, beta: Any, rank: int) -> Array:
    y = y if gamma is None else y * _per_channel(gamma, rank)
    return y if beta is None else y + _per_channel(beta, rank)


def _normalized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    centered = x - x.mean(axes, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axes, keepdims=True) + float(epsilon))


def instance_norm(x: Array, gamma: Any = None, beta: Any = None, epsilon: float = 1e-5) -> Array:
    return _affine(_normalized(_wide(x), tuple(range(2, x.ndim)), epsilon), gamma, beta, x.ndim)


def layer_norm(x: Array, axes: Any = None, gamma: Any = None, beta: Any = None, epsilon: float = 1e-5) -> Array:
    over = tuple(sorted(int(axis) % x.ndim for axis in axes)) if axes is not None else tuple(range(x.ndim))
    y = _normalized(_wide(x), over, epsilon)
    shape = [x.shape[axis] if axis in over else 1 for axis in range(x.ndim)]
    y = y if gamma is None else y * _wide(gamma).reshape(shape)
    return y if beta is None else y + _wide(beta).reshape(shape)


def l2_norm(x: Array, epsilon: float = 1e-6) -> Array:
    return _wide(x) / np.sqrt((_wide(x) ** 2).sum((-3, -2, -1), keepdims=True) + float(epsilon))


def local_response_norm(x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    squares = _wide(x) ** 2
    sums = np.zeros_like(squares)
    for channel in range(x.shape[1]):
        first = max(0, channel - int(size) // 2)
        sums[:, channel] = squares[:, first : channel + (int(size) - 1) // 2 + 1].sum(1)
    return _wide(x) / (float(k) + float(alpha) / int(size) * sums) ** float(beta)


def _pads(
    pad_type: str, pad: Any, extents: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    result = []
    for i, (extent, size, stride, dilation) in enumerate(zip(extents, kernel, strides, dilations)):
        if pad_type == "custom":
            result.append((int(pad[2 * i]), int(pad[2 * i + 1])))
        elif pad_type == "valid":
            result.append((0, 0))
        else:
            total = max(0, (-(-extent // stride) - 1) * stride + (size - 1) * dilation + 1 - extent)
            small = total // 2
            result.append((small, total - small) if pad_type == "same" else (total - small, small))
    return result


def _ones(values: Any, count: int) -> list[int]:
    return [1] * count if values is None else [int(value) for value in values]


def conv(
    x: Array,
    weight: Array,
    bias: Any = None,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    dilations: Any = None,
    groups: int = 1,
) -> Array:
    x, weight = _wide(x), _wide(weight)
    count = x.ndim - 2
    steps, spread = _ones(strides, count), _ones(dilations, count)
    kernel = weight.shape[2:]
    pads = _pads(pad_type, pad, x.shape[2:], kernel, steps, spread)
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    extents = [(padded.shape[2 + i] - (kernel[i] - 1) * spread[i] - 1) // steps[i] + 1 for i in range(count)]
    result = np.zeros([x.shape[0], weight.shape[0], *extents])
    inputs, outputs = weight.shape[1], weight.shape[0] // int(groups)
    for group in range(int(groups)):
        part = padded[:, group * inputs : (group + 1) * inputs]
        block = weight[group * outputs : (group + 1) * outputs]
        for offset in itertools.product(*[range(size) for size in kernel]):
            window = tuple(slice(o * d, o * d + (e - 1) * s + 1, s) for o, d, e, s in zip(offset, spread, extents, steps))
            taken = part[(slice(None), slice(None), *window)]
            result[:, group * outputs : (group + 1) * outputs] += np.einsum(
                "nc...,oc->no...", taken, block[(slice(None), slice(None), *offset)]
            )
    return result if bias is None else result + _per_channel(bias, x.ndim)


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Any = None,
    pad: Any = None,
    output_shape: Any = None,
    pad_type: str = "valid",
    strides: Any = None,
    dilations: Any = None,
    groups: int = 1,
) -> Array:
    """Custom and no padding."""
    x, weight = _wide(x), _wide(weight)
    count = x.ndim - 2
    steps, spread = _ones(strides, count), _ones(dilations, count)
    kernel = weight.shape[2:]
    extents = [(x.shape[2 + i] - 1) * steps[i] + (kernel[i] - 1) * spread[i] + 1 for i in range(count)]
    outputs, inputs = weight.shape[1], weight.shape[0] // int(groups)
    result = np.zeros([x.shape[0], outputs * int(groups), *extents])
    for group in range(int(groups)):
        part = x[:, group * inputs : (group + 1) * inputs]
        block = weight[group * inputs : (group + 1) * inputs]
        for offset in itertools.product(*[range(size) for size in kernel]):
            window = tuple(slice(o * d, o * d + (e - 1) * s + 1, s) for o, d, e, s in zip(offset, spread, x.shape[2:], steps))
            target = result[(slice(None), slice(group * outputs, (group + 1) * outputs), *window)]
            target += np.einsum("nc...,co->no...", part, block[(slice(None), slice(None), *offset)])
    if pad_type == "custom":
        cut = tuple(slice(int(pad[2 * i]), extents[i] - int(pad[2 * i + 1])) for i in range(count))
        result = result[(slice(None), slice(None), *cut)]
    return result if bias is None else result + _per_channel(bias, x.ndim)


def _windows(x: Array, kernel: Any, strides: Any, pad_type: str, pad: Any, fill: float) -> list[tuple[tuple[int, ...], Array]]:
    """(position, the padded elements of its window) of each window."""
    count = x.ndim - 2
    sizes, steps = [int(size) for size in kernel], _ones(strides, count)
    pads = _pads(pad_type, pad, x.shape[2:], sizes, steps, [1] * count)
    padded = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    extents = [(padded.shape[2 + i] - sizes[i]) // steps[i] + 1 for i in range(count)]
    found = []
    for position in itertools.product(*[range(extent) for extent in extents]):
        window = tuple(slice(p * s, p * s + size) for p, s, size in zip(position, steps, sizes))
        found.append((position, padded[(slice(None), slice(None), *window)].reshape(*x.shape[:2], -1)))
    return found


def _pooled(x: Array, windows: list[tuple[tuple[int, ...], Array]], function: Callable[[Array], Array]) -> Array:
    extents = [max(position[i] for position, _ in windows) + 1 for i in range(x.ndim - 2)]
    result = np.zeros([*x.shape[:2], *extents])
    for position, window in windows:
        result[(slice(None), slice(None), *position)] = function(window)
    return result


def max_pool(
    x: Array, kernel_sizes: Any, strides: Any = None, pad_type: str = "valid", pad: Any = None, ceil_mode: bool = False
) -> Array:
    return _pooled(x, _windows(_wide(x), kernel_sizes, strides, pad_type, pad, -np.inf), lambda window: window.max(-1))


def avg_pool(
    x: Array,
    kernel_sizes: Any,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    ceil_mode: bool = False,
    exclude_padding_from_average: bool = False,
) -> Array:
    windows = _windows(_wide(x), kernel_sizes, strides, pad_type, pad, 0.0)
    if not exclude_padding_from_average:
        return _pooled(x, windows, lambda window: window.mean(-1))
    counts = _windows(np.ones_like(_wide(x)), kernel_sizes, strides, pad_type, pad, 0.0)
    return _pooled(x, windows, lambda window: window.sum(-1)) / _pooled(x, counts, lambda window: window.sum(-1))


def l2_pool(
    x: Array, kernel_sizes: Any, strides: Any = None, pad_type: str = "valid", pad: Any = None, ceil_mode: bool = False
) -> Array:
    return np.sqrt(_pooled(x, _windows(_wide(x) ** 2, kernel_sizes, strides, pad_type, pad, 0.0), lambda window: window.sum(-1)))


def crop(x: Array, crop_height: Any, crop_width: Any) -> Array:
    return x[..., crop_height[0] : x.shape[-2] - crop_height[1], crop_width[0] : x.shape[-1] - crop_width[1]]


def depth_to_space(x: Array, block_size: int) -> Array:
    n, c, h, w = x.shape
    b = int(block_size)
    return x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)


def space_to_depth(x: Array, block_size: int) -> Array:
    n, c, h, w = x.shape
    b = int(block_size)
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


def pixel_shuffle(x: Array, upscale_factor: int) -> Array:
    n, c, h, w = x.shape
    b = int(upscale_factor)
    return x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // (b * b), h * b, w * b)


def pixel_unshuffle(x: Array, downscale_factor: int) -> Array:
    n, c, h, w = x.shape
    b = int(downscale_factor)
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * b * b, h // b, w // b)


def space_to_batch(x: Array, block_shape: Any, paddings: Any) -> Array:
    a, b = (int(size) for size in block_shape)
    y = np.pad(x, [(0, 0), (0, 0), *[(int(p[0]), int(p[1])) for p in paddings]])
    n, c, h, w = y.shape
    return y.reshape(n, c, h // a, a, w // b, b).transpose(3, 5, 0, 1, 2, 4).reshape(n * a * b, c, h // a, w // b)


def batch_to_space(x: Array, block_shape: Any, crops: Any) -> Array:
    a, b = (int(size) for size in block_shape)
    n, c, h, w = x.shape
    y = x.reshape(a, b, n // (a * b), c, h, w).transpose(2, 3, 4, 0, 5, 1).reshape(n // (a * b), c, h * a, w * b)
    (top, bottom), (left, right) = crops
    return y[:, :, int(top) : y.shape[2] - int(bottom), int(left) : y.shape[3] - int(right)]


def gather_nd(x: Array, indices: Array, batch_dims: int = 0, validate_indices: bool = False) -> Array:
    if batch_dims == 0:
        return x[tuple(np.moveaxis(indices, -1, 0))]
    return np.stack([gather_nd(x[i], indices[i], int(batch_dims) - 1) for i in range(x.shape[0])])


def gather(x: Array, indices: Any, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False) -> Array:
    indices = np.asarray(indices)
    if batch_dims == 0:
        return np.take(x, indices, axis=int(axis))
    return np.stack([gather(x[i], indices[i], int(axis) % x.ndim - 1, int(batch_dims) - 1) for i in range(x.shape[0])])


def _combine(mode: str) -> Callable[[Array, Any, Array], None]:
    def update(data: Array, where: Any, values: Array) -> None:
        data[where] = values

    return {
        "update": update,
        "add": np.add.at,
        "sub": np.subtract.at,
        "mul": np.multiply.at,
        "div": np.divide.at,
        "max": np.maximum.at,
        "min": np.minimum.at,
    }[mode]


def scatter(data: Array, indices: Array, updates: Array, axis: int = 0, mode: str = "add", validate_indices: bool = False) -> Array:
    result = _wide(data).copy()
    _combine(mode)(result, (slice(None),) * (int(axis) % data.ndim) + (indices,), _wide(updates))
    return result


def scatter_along_axis(
    data: Array, indices: Array, updates: Array, axis: int = 0, mode: str = "add", validate_indices: bool = False
) -> Array:
    result = _wide(data).copy()
    where = list(np.indices(indices.shape))
    where[int(axis) % data.ndim] = indices
    _combine(mode)(result, tuple(where), _wide(updates))
    return result


def scatter_nd(data: Array, indices: Array, updates: Array, mode: str = "add", validate_indices: bool = False) -> Array:
    result = _wide(data).copy()
    _combine(mode)(result, tuple(np.moveaxis(indices, -1, 0)), _wide(updates))
    return result


def sliding_windows(x: Array, axis: int, size: int, stride: int = 1) -> Array:
    axis, size = int(axis) % x.ndim, int(size)
    starts = range(0, x.shape[axis] - size + 1, int(stride))
    return np.stack([np.take(x, range(start, start + size), axis) for start in starts], axis)


def one_hot(indices: Array, one_hot_vector_size: int, axis: int = -1, on_value: Any = 1, off_value: Any = 0) -> Array:
    axis = int(axis) % (indices.ndim + 1)
    size = int(one_hot_vector_size)
    counted = np.arange(size).reshape([-1] + [1] * (indices.ndim - axis))
    return np.where(np.expand_dims(indices, axis) == counted, on_value, off_value)


def reshape_like(x: Array, ref_tensors: Sequence[Array], begins: Any, ends: Any, end_masks: Any) -> Array:
    shape: list[int] = []
    for value, begin, end, masked in zip(ref_tensors, begins, ends, end_masks):
        shape += value.shape[int(begin) :] if masked else value.shape[int(begin) : int(end)]
    return x.reshape(shape)


def _linear_along(x: Array, points: Array, axis: int) -> Array:
    low = np.floor(points).astype(int)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    weight = (points - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.take(x, low, axis) * (1 - weight) + np.take(x, high, axis) * weight


def _points(mode: str, size: int, out: int) -> Array:
    i = np.arange(out, dtype=np.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if out == 1:
            return np.array([(size - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0])
        made = i * (size - 1) / (out - 1)
    elif mode == "DEFAULT":
        made = i * size / out
    elif mode == "OFFSET_CORNERS":
        made = (i + 0.5) * max(1, size - 1) / out
    else:
        made = (i + 0.5) * size / out - 0.5
    return np.clip(made, 0, size - 1)


def resize_bilinear(x: Array, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT") -> Array:
    y = _linear_along(_wide(x), _points(sampling_mode, x.shape[-2], int(target_size_height)), x.ndim - 2)
    return _linear_along(y, _points(sampling_mode, x.shape[-1], int(target_size_width)), x.ndim - 1)


def resize_nearest_neighbor(x: Array, target_size_height: int, target_size_width: int) -> Array:
    """What lies nearest to the middle of each result."""
    rows = (2 * np.arange(int(target_size_height)) + 1) * x.shape[-2] // (2 * int(target_size_height))
    columns = (2 * np.arange(int(target_size_width)) + 1) * x.shape[-1] // (2 * int(target_size_width))
    return np.take(np.take(x, rows, -2), columns, -1)


def upsample_nearest_neighbor(x: Array, scale_factor_height: Any = 1, scale_factor_width: Any = 1) -> Array:
    """Whole factors."""
    return np.repeat(np.repeat(x, int(scale_factor_height), -2), int(scale_factor_width), -1)


def dequantize(input: Array, scale: Any, zero_point: Any = None, axis: Any = None) -> Array:
    shape = [1] * input.ndim
    if axis is not None:
        shape[int(axis)] = -1
    offset = 0.0 if zero_point is None else _as_real(zero_point, shape)
    return (input.astype(np.float64) - offset) * _as_real(scale, shape)


def quantize(input: Array, scale: Any, output_dtype: str, zero_point: Any = None, axis: Any = None) -> Array:
    shape = [1] * input.ndim
    if axis is not None:
        shape[int(axis)] = -1
    offset = 0.0 if zero_point is None else _as_real(zero_point, shape)
    limits = np.iinfo(output_dtype)
    return np.clip(np.rint(input.astype(np.float64) / _as_real(scale, shape)) + offset, limits.min, limits.max).astype(output_dtype)


def _as_real(value: Any, shape: list[int]) -> Array:
    value = np.asarray(value, np.float64)
    return value if value.ndim == 0 else value.reshape(shape)


def _activation(name: str) -> Callable[[Array], Array]:
    return {"tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "relu": lambda x: np.maximum(x, 0)}[name]


def rnn(
    x: Array,
    initial_h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Any = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> list[Array]:
    h, results = _wide(initial_h), []
    steps = _wide(x) if direction == "forward" else _wide(x)[::-1]
    for step in steps:
        h = _activation(activation)(step @ _wide(weight_ih).T + h @ _wide(weight_hh).T + (0 if bias is None else _wide(bias)))
        results.append(h)
    return [np.stack(results) if output_sequence else h[None], h]


def lstm(
    x: Array,
    initial_h: Array,
    initial_c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Any = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
) -> list[Array]:
    """The gates' order is input, forget, output, cell."""
    h, c, results = _wide(initial_h), _wide(initial_c), []
    gate, cell, out = (_activation(name) for name in (recurrent_activation, cell_activation, activation))
    steps = _wide(x) if direction == "forward" else _wide(x)[::-1]
    for step in steps:
        sums = step @ _wide(weight_ih).T + h @ _wide(weight_hh).T + (0 if bias is None else _wide(bias))
        i, f, o, z = np.split(sums, 4, axis=-1)
        c = gate(f) * c + gate(i) * cell(z)
        h = gate(o) * out(c)
        results.append(h)
    return [np.stack(results) if output_sequence else h[None], h, c]


def gru(
    x: Array,
    initial_h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Any = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,
    input_bias: Any = None,
) -> list[Array]:
    """The gates' order is reset, output, update."""
    h, results = _wide(initial_h), []
    gate, out = _activation(recurrent_activation), _activation(activation)
    size = h.shape[-1]
    hidden = np.zeros(3 * size) if bias is None else _wide(bias)
    given = np.zeros(3 * size) if input_bias is None else _wide(input_bias)
    r_weight, n_weight, z_weight = np.split(_wide(weight_hh), 3)
    r_bias, n_bias, z_bias = np.split(hidden, 3)
    for step in _wide(x) if direction == "forward" else _wide(x)[::-1]:
        given_r, given_n, given_z = np.split(step @ _wide(weight_ih).T + given, 3, axis=-1)
        r = gate(given_r + h @ r_weight.T + r_bias)
        z = gate(given_z + h @ z_weight.T + z_bias)
        inner = r * (h @ n_weight.T + n_bias) if reset_after else (r * h) @ n_weight.T + n_bias
        n = out(given_n + inner)
        h = (1 - z) * n + z * h
        results.append(h)
    return [np.stack(results) if output_sequence else h[None], h]


def scaled_dot_product_attention(query: Array, key: Array, value: Array, attn_mask: Any = None) -> Array:
    scores = _wide(query) @ np.swapaxes(_wide(key), -1, -2) / np.sqrt(query.shape[-1])
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == np.bool_ else scores + _wide(attn_mask)
    return softmax(scores) @ _wide(value)
