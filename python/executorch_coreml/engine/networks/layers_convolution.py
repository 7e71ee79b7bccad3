"""Convolutions, pooling, resizing and padding of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from coremltools.converters.mil.mil import Var

from executorch_coreml.engine.networks.layer import (
    Layer,
    extents,
    integers,
    limited,
    mb,
    rank_of,
    reshaped,
    translates,
    with_rank_4,
)


def _pair(values: Sequence[int], default: int, what: str) -> tuple[int, int]:
    """[H, W] of a repeated field."""
    pair = tuple(int(value) for value in values) or (default, default)
    if len(pair) != 2 or min(pair) < 1 or max(pair) >= 1 << 24:
        raise ValueError(f"the {what} is {list(pair)}")
    return pair[0], pair[1]


def _same(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], is_top_left: bool) -> list[int]:
    """Amounts [before, after, ...] with which an axis has ceil(size / stride) results."""
    pads = []
    for size, k, s in zip(sizes, kernel, stride, strict=True):
        total = max(0, (-(-size // s) - 1) * s + k - size)
        pads += [total - total // 2, total // 2] if is_top_left else [total // 2, total - total // 2]
    return pads


def _amounts(border: object) -> list[int]:
    """[top, bottom, left, right] of BorderAmounts."""
    edges = list(border.borderAmounts)  # type: ignore[attr-defined]
    if len(edges) not in (0, 2):
        raise ValueError(f"there are border amounts for {len(edges)} axes")
    amounts = [int(size) for edge in edges for size in (edge.startEdgeSize, edge.endEdgeSize)] or [0, 0, 0, 0]
    if max(amounts) >= 1 << 24:
        raise ValueError(f"the border amounts are {amounts}")
    return amounts


@translates("convolution", inputs=(1, 2))
def _convolution(layer: Layer) -> Var:
    params = layer.params
    kernel, stride = _pair(params.kernelSize, 3, "kernel"), _pair(params.stride, 1, "stride")
    groups, channels = max(1, params.nGroups), params.outputChannels
    bias = layer.weights("bias", [channels]) if params.hasBias else None
    rank_of(layer.x, 4)
    if params.isDeconvolution:
        if channels % groups:
            raise ValueError(f"{channels} channels cannot be divided into {groups} groups")
        weight = layer.weights(
            "weights", (params.kernelChannels, channels // groups, *kernel), channel_axis=1 if groups == 1 else 0
        )
        return with_rank_4(layer.x, lambda x: _deconvolution(layer, x, weight, bias, stride, groups))
    dilation = _pair(params.dilationFactor, 1, "dilation")
    weight = layer.inputs[1] if len(layer.inputs) == 2 else layer.weights("weights", (channels, params.kernelChannels, *kernel))

    def convolve(x: Var) -> Var:
        shape = extents(x)
        if shape[1] != weight.shape[1] * groups:
            raise ValueError(f"the kernels have {weight.shape[1]} channels in {groups} groups, the value {shape[1]}")
        if params.WhichOneof("ConvolutionPaddingType") == "same":
            effective = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
            pad = _same(shape[2:], effective, stride, params.same.asymmetryMode == 1)
        else:
            pad = _amounts(params.valid.paddingAmounts)
        options = {} if bias is None else {"bias": bias}
        return mb.conv(x=x, weight=weight, strides=stride, pad_type="custom", pad=pad, dilations=dilation, groups=groups, **options)

    return with_rank_4(layer.x, convolve)


def _deconvolution(layer: Layer, x: Var, weight: np.ndarray, bias: np.ndarray | None, stride: tuple[int, int], groups: int) -> Var:
    """All that the kernels reach, of which what the padding says is cut off; the bias comes last, so that it is everywhere."""
    params = layer.params
    sizes = extents(x)[2:]
    whole = [(size - 1) * s + k for size, s, k in zip(sizes, stride, weight.shape[2:], strict=True)]
    y = mb.conv_transpose(x=x, weight=weight, strides=stride, pad_type="valid", groups=groups)
    if params.outputShape or params.WhichOneof("ConvolutionPaddingType") == "same":
        wanted = (
            list(_pair(params.outputShape, 1, "output shape"))
            if params.outputShape
            else [n * s for n, s in zip(sizes, stride, strict=True)]
        )
        surplus = [w - out for w, out in zip(whole, wanted, strict=True)]
        is_top_left = params.same.asymmetryMode == 1
        before = [max(0, n - n // 2 if is_top_left else n // 2) for n in surplus]
    else:
        pads = _amounts(params.valid.paddingAmounts)
        before = pads[0::2]
        wanted = [w - a - b for w, a, b in zip(whole, pads[0::2], pads[1::2], strict=True)]
    limited(wanted)
    missing = [max(0, b + n - w) for b, n, w in zip(before, wanted, whole, strict=True)]
    if any(missing):
        y = mb.pad(x=y, pad=[0, 0, 0, 0, 0, missing[0], 0, missing[1]], mode="constant", constant_val=np.float32(0))
    y = _cut(y, before, wanted)
    return y if bias is None else mb.add(x=y, y=bias.reshape(1, -1, 1, 1))


def _cut(x: Var, before: Sequence[int], sizes: Sequence[int]) -> Var:
    """x[..., before : before + size] of the last two axes."""
    shape = extents(x)
    if any(b < 0 or n < 1 or b + n > extent for b, n, extent in zip(before, sizes, shape[-2:], strict=True)):
        raise ValueError(f"{list(sizes)} from {list(before)} on is not a part of {list(shape[-2:])}")
    if tuple(sizes) == shape[-2:]:
        return x
    lead = len(shape) - 2
    return mb.slice_by_size(x=x, begin=[0] * lead + list(before), size=[*shape[:-2], *sizes])


@translates("convolution3d")
def _convolution3d(layer: Layer) -> Var:
    params = layer.params
    rank_of(layer.x, 5)
    axes = ("Depth", "Height", "Width")
    kernel = [getattr(params, f"kernel{axis}") for axis in axes]
    stride = [getattr(params, f"stride{axis}") or 1 for axis in axes]
    dilation = [getattr(params, f"dilation{axis}") or 1 for axis in axes]
    if min(*kernel, *stride, *dilation) < 1:
        raise ValueError("a kernel, stride or dilation is below 1")
    groups, channels = max(1, params.nGroups), params.outputChannels
    options = {"bias": layer.weights("bias", [channels])} if params.hasBias else {}
    custom = [getattr(params, f"customPadding{side}") for side in ("Front", "Back", "Top", "Bottom", "Left", "Right")]
    if min(custom) < 0:
        raise ValueError(f"the padding is {custom}")
    if params.isDeconvolution:
        weight = layer.weights("weights", (params.inputChannels, channels // groups, *kernel), channel_axis=1)
        if params.outputShape or params.paddingType == 2:
            raise ValueError("deconvolutions of three dimensions with an output shape or the padding SAME cannot be translated")
        pad = custom if params.paddingType == 0 else [0] * 6
        return mb.conv_transpose(x=layer.x, weight=weight, strides=stride, pad_type="custom", pad=pad, groups=groups, **options)
    weight = layer.weights("weights", (channels, params.inputChannels // groups, *kernel))
    effective = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pad = [custom, [0] * 6, _same(extents(layer.x)[2:], effective, stride, False)][params.paddingType]
    return mb.conv(
        x=layer.x, weight=weight, strides=stride, pad_type="custom", pad=pad, dilations=dilation, groups=groups, **options
    )


@translates("pooling")
def _pooling(layer: Layer) -> Var:
    rank_of(layer.x, 3)
    return with_rank_4(layer.x, lambda x: _pool(layer, x))


def _pool(layer: Layer, x: Var) -> Var:
    params = layer.params
    sizes = extents(x)[2:]
    kernel: tuple[int, ...] = _pair(params.kernelSize, 3, "kernel")
    stride: tuple[int, ...] = _pair(params.stride, 1, "stride")
    padding = params.WhichOneof("PoolingPaddingType")
    # How far windows reach into the padding and count there, per axis before and after.
    counted: list[int] | None = None
    if params.globalPooling:
        kernel, stride, pad = sizes, (1, 1), [0, 0, 0, 0]
    elif padding == "same":
        pad = _same(sizes, kernel, stride, params.same.asymmetryMode == 1)
    elif padding == "includeLastPixel":
        amounts = [int(amount) for amount in params.includeLastPixel.paddingAmounts] or [0, 0]
        if len(amounts) != 2 or max(amounts) >= 1 << 24:
            raise ValueError(f"the padding is {amounts}")
        pad, counted = [], [amounts[0], amounts[0], amounts[1], amounts[1]]
        for size, k, s, p in zip(sizes, kernel, stride, amounts, strict=True):
            results = math.ceil((size + 2 * p - k) / s) + 1
            if any(amounts) and (results - 1) * s >= size + p:
                results -= 1
            pad += [p, max(0, (results - 1) * s + k - size - p)]
    else:
        pad = _amounts(params.valid.paddingAmounts)
    if any(size + pad[2 * i] + pad[2 * i + 1] < kernel[i] for i, size in enumerate(sizes)):
        raise ValueError(f"windows of {list(kernel)} are larger than the padded value")
    window = {"kernel_sizes": kernel, "strides": stride, "pad_type": "custom", "pad": pad}
    if params.type == 0:
        return mb.max_pool(x=x, **window)
    area = np.float32(kernel[0] * kernel[1])
    if params.type == 2:
        squares = mb.avg_pool(x=mb.mul(x=x, y=x), exclude_padding_from_average=False, **window)
        return mb.sqrt(x=mb.mul(x=squares, y=area))
    if params.type != 1:
        raise ValueError(f"the pooling has the unknown type {params.type}")
    if params.avgPoolExcludePadding or not any(pad):
        return mb.avg_pool(x=x, exclude_padding_from_average=True, **window)
    average = mb.avg_pool(x=x, exclude_padding_from_average=False, **window)
    if counted is None or counted == pad:
        return average
    # Windows beyond the declared padding are divided by what of them lies within it.
    counts = []
    for i, (size, k, s) in enumerate(zip(sizes, kernel, stride, strict=True)):
        begins = np.arange(extents(average)[2 + i]) * s - pad[2 * i]
        counts.append(np.minimum(begins + k, size + counted[2 * i + 1]) - begins)
    return mb.mul(x=average, y=(area / np.outer(*counts)).astype(np.float32)[None, None])


@translates("pooling3d")
def _pooling3d(layer: Layer) -> Var:
    params = layer.params
    rank_of(layer.x, 5)
    axes = ("Depth", "Height", "Width")
    kernel = [getattr(params, f"kernel{axis}") for axis in axes]
    stride = [getattr(params, f"stride{axis}") for axis in axes]
    custom = [getattr(params, f"customPadding{side}") for side in ("Front", "Back", "Top", "Bottom", "Left", "Right")]
    if min(*kernel, *stride) < 1 or min(custom) < 0:
        raise ValueError("a kernel or stride is below 1, or a padding below 0")
    pad = [custom, [0] * 6, _same(extents(layer.x)[2:], kernel, stride, False)][params.paddingType]
    window = {"kernel_sizes": kernel, "strides": stride, "pad_type": "custom", "pad": pad}
    if params.type == 0:
        return mb.max_pool(x=layer.x, **window)
    return mb.avg_pool(x=layer.x, exclude_padding_from_average=params.countExcludePadding, **window)


@translates("globalPooling3d")
def _global_pooling3d(layer: Layer) -> Var:
    rank_of(layer.x, 5)
    reduce = mb.reduce_max if layer.params.type == 0 else mb.reduce_mean
    return reduce(x=layer.x, axes=[-3, -2, -1], keep_dims=True)


def _sampled(x: Var, points: Sequence[np.ndarray]) -> Var:
    """x of rank 4 at real coordinates of its rows and columns, linearly: a matrix from each side."""
    matrices = []
    for size, at in zip(extents(x)[2:], points, strict=True):
        at = np.clip(at, 0, size - 1)
        low = np.minimum(np.floor(at).astype(np.int64), size - 1)
        high = np.minimum(low + 1, size - 1)
        share = (at - low).astype(np.float64)
        matrix = np.zeros((at.size, size))
        np.add.at(matrix, (np.arange(at.size), low), 1 - share)
        np.add.at(matrix, (np.arange(at.size), high), share)
        matrices.append(matrix.astype(np.float32))
    y = mb.matmul(x=matrices[0][None, None], y=x)
    return mb.matmul(x=y, y=matrices[1].T[None, None])


@translates("upsample")
def _upsample(layer: Layer) -> Var:
    params = layer.params
    rank_of(layer.x, 3)
    fractions = list(params.fractionalScalingFactor) or [float(f) for f in params.scalingFactor] or [1.0, 1.0]
    if len(fractions) != 2 or not all(0 < f < 1 << 16 for f in fractions):
        raise ValueError(f"the scaling factors are {fractions}")

    def upsample(x: Var) -> Var:
        shape = extents(x)
        sizes = [math.floor(size * f) for size, f in zip(shape[2:], fractions, strict=True)]
        limited([*shape[:2], *sizes])
        if params.mode == 0:
            for axis, (size, factor) in enumerate(zip(sizes, fractions, strict=True)):
                at = np.minimum(np.floor(np.arange(size) / factor), shape[2 + axis] - 1).astype(np.int32)
                x = mb.gather(x=x, indices=at, axis=2 + axis)
            return x
        points = []
        for size, out in zip(shape[2:], sizes, strict=True):
            index = np.arange(out, dtype=np.float64)
            if params.linearUpsampleMode == 0:
                points.append(index * ((size - size / out) / max(1, out - 1)))
            elif params.linearUpsampleMode == 1:
                points.append(index * ((size - 1) / max(1, out - 1)))
            else:
                points.append((index + 0.5) * (size / out) - 0.5)
        return _sampled(x, points)

    return with_rank_4(layer.x, upsample)


def _grid(mode: int, size: float, count: int) -> np.ndarray:
    """`count` points of [0, size - 1], by a SamplingMode."""
    if mode == 1 and count == 1:
        return np.full(1, (size - 1) / 2)
    if mode in (0, 1):
        return np.linspace(0, size - 1, count)
    if mode == 2:
        return np.minimum(size - 1, np.linspace(0, size - size / count, count))
    spacing = max(1, size - 1) / count
    return np.minimum(size - 1, (np.arange(count) + 0.5) * spacing)


@translates("resizeBilinear")
def _resize_bilinear(layer: Layer) -> Var:
    rank_of(layer.x, 3)
    sizes = _pair(layer.params.targetSize, 1, "target size")
    mode = layer.params.mode.samplingMethod

    def resize(x: Var) -> Var:
        shape = extents(x)
        limited([*shape[:2], *sizes])
        return _sampled(x, [_grid(mode, size, out) for size, out in zip(shape[2:], sizes, strict=True)])

    return with_rank_4(layer.x, resize)


@translates("cropResize", inputs=2)
def _crop_resize(layer: Layer) -> Var:
    params = layer.params
    x, boxes = layer.inputs
    height, width = _pair(params.targetSize, 1, "target size")
    shape, box_shape = extents(x), extents(boxes)
    if x.rank != 5 or shape[0] != 1 or len(box_shape) != 5 or box_shape[1:] not in ((1, 4, 1, 1), (1, 5, 1, 1)):
        raise ValueError(f"a value {list(shape)} and boxes {list(box_shape)} are not [1, B, C, H, W] and [N, 1, 4 or 5, 1, 1]")
    count = box_shape[0]
    limited([count, *shape[1:3], height, width])
    # A box that names its batch is cut out of all, and that one taken.
    batch = None
    if box_shape[2] == 5:
        batch, boxes = mb.split(x=boxes, split_sizes=[1, 4], axis=2)
    modes = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS")
    coordinates = ("CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST")
    y = mb.crop_resize(
        x=reshaped(x, shape[1:]),
        roi=boxes,
        target_height=height,
        target_width=width,
        normalized_coordinates=params.normalizedCoordinates,
        spatial_scale=np.float32(params.spatialScale or 1),
        box_coordinate_mode=coordinates[params.boxIndicesMode.boxMode],
        sampling_mode=modes[params.mode.samplingMethod],
    )
    if batch is None:
        return y
    places = mb.concat(values=[np.arange(count, dtype=np.int32)[:, None], integers(reshaped(batch, (count, 1)))], axis=1)
    return reshaped(mb.gather_nd(x=y, indices=places), (count, 1, shape[2], height, width))


@translates("padding")
def _padding(layer: Layer) -> Var:
    params = layer.params
    rank_of(layer.x, 2)
    amounts = _amounts(params.paddingAmounts)
    which = params.WhichOneof("PaddingType")
    shape = extents(layer.x)
    limited([*shape[:-2], shape[-2] + sum(amounts[:2]), shape[-1] + sum(amounts[2:])])
    if which == "reflection" and any(max(amounts[2 * i : 2 * i + 2]) >= shape[i - 2] for i in range(2)):
        raise ValueError(f"{amounts} is more than the reflection of {list(shape[-2:])} allows")
    mode = {"reflection": "reflect", "replication": "replicate"}.get(which or "", "constant")
    value = np.float32(params.constant.value if mode == "constant" else 0)
    return mb.pad(x=layer.x, pad=amounts, mode=mode, constant_val=value)


@translates("crop", inputs=(1, 2))
def _crop(layer: Layer) -> Var:
    params = layer.params
    rank_of(layer.x, 2)
    sizes = extents(layer.x)[-2:]
    if len(layer.inputs) == 2:
        offset = [int(value) for value in params.offset] or [0, 0]
        if len(offset) != 2:
            raise ValueError(f"the offset is {offset}")
        return _cut(layer.x, offset, extents(layer.inputs[1])[-2:])
    amounts = _amounts(params.cropAmounts)
    return _cut(layer.x, amounts[0::2], [size - a - b for size, a, b in zip(sizes, amounts[0::2], amounts[1::2], strict=True)])
