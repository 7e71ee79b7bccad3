"""Operations of torchvision that are no part of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var
from coremltools.converters.mil.mil.types.symbolic import any_symbolic

from executorch_coreml.compiler.correction_table import arguments, constant, correction, number

# Elements of the products of one dimension with all boxes, beyond which boxes are better left to a kernel that reads four neighbours only.
_MOST_ELEMENTS = 2**26


def _column(boxes: Var, index: int) -> Var:
    """[boxes, 1, 1, 1]."""
    taken = mb.gather(x=boxes, indices=np.int32(index), axis=1)
    return mb.reshape(x=taken, shape=[boxes.shape[0], 1, 1, 1])


def _weights(first: Var, last: Var, *, extent: int, bins: int, samples: int, aligned: bool) -> Var:
    """What each element of a dimension counts in each bin of each box: [boxes, bins, extent], the mean of the tents of the bin's samples.

    first, last: where the boxes begin and end, [boxes, 1, 1, 1]. A sample more than one element outside counts as 0, one nearer as the edge.
    """
    width = mb.sub(x=last, y=first)
    if not aligned:
        width = mb.maximum(x=width, y=number(1, width))
    # The place of each sample as a share of the box.
    shares = (np.arange(bins)[:, None] + (np.arange(samples) + 0.5) / samples) / bins
    places = mb.add(x=first, y=mb.mul(x=width, y=shares.reshape(1, bins, samples, 1).astype(np.float32)))
    is_near = mb.logical_and(x=mb.greater_equal(x=places, y=np.float32(-1)), y=mb.less_equal(x=places, y=np.float32(extent)))
    inside = mb.minimum(x=mb.maximum(x=places, y=np.float32(0)), y=np.float32(extent - 1))
    elements = np.arange(extent, dtype=np.float32).reshape(1, 1, 1, extent)
    tents = mb.relu(x=mb.sub(x=np.float32(1), y=mb.abs(x=mb.sub(x=inside, y=elements))))
    tents = mb.mul(x=tents, y=mb.cast(x=is_near, dtype="fp32"))
    return mb.reduce_mean(x=tents, axes=[2], keep_dims=False)


@correction("torchvision::roi_align", "torchvision.roi_align", reason="coremltools has no conversion", where_missing=True)
def roi_align(context: Any, node: Any) -> None:
    """roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned) of one image.

    Samples lie on a grid, so that interpolation is separable: rows and columns of the image are weighted by one matrix each, per box.
    """
    names = ("input", "rois", "spatial_scale", "pooled_height", "pooled_width", "sampling_ratio", "aligned")
    x, boxes, *rest = arguments(context, node, *names)
    scale, height, width, samples, aligned = (constant(value, None) for value in rest)
    if any_symbolic(x.shape) or any_symbolic(boxes.shape) or x.shape[0] != 1:
        raise NotImplementedError("a fixed number of regions can be taken, from one image of fixed extents")
    if samples <= 0:
        raise NotImplementedError("sampling_ratio must be passed, because the number of samples depends on the boxes otherwise")
    if boxes.shape[0] * x.shape[1] * height * x.shape[3] > _MOST_ELEMENTS:
        raise NotImplementedError("there are too many boxes for an image of this size")
    offset = np.float32(0.5 if aligned else 0.0)

    def edge(index: int) -> Var:
        return mb.sub(x=mb.mul(x=_column(boxes, index), y=np.float32(scale)), y=offset)

    rows = _weights(edge(2), edge(4), extent=x.shape[2], bins=height, samples=samples, aligned=bool(aligned))
    columns = _weights(edge(1), edge(3), extent=x.shape[3], bins=width, samples=samples, aligned=bool(aligned))
    of_rows = mb.matmul(x=mb.expand_dims(x=rows, axes=[1]), y=x)
    context.add(mb.matmul(x=of_rows, y=mb.expand_dims(x=columns, axes=[1]), transpose_y=True, name=node.name))


def _sampled(rows: Var, places: tuple[Var, Var], *, height: int, width: int) -> Var:
    """rows: [channels, height * width]. places: vertical and horizontal, [samples]. Returns [channels, samples], 0 for elements outside."""
    lower = [mb.floor(x=place) for place in places]
    total: Var | None = None
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight: Var | None = None
        numbers = []
        for place, low, step, extent in zip(places, lower, corner, (height, width), strict=True):
            at = mb.add(x=low, y=np.float32(step))
            share = mb.sub(x=np.float32(1), y=mb.abs(x=mb.sub(x=place, y=at)))
            inside = mb.logical_and(x=mb.greater_equal(x=at, y=np.float32(0)), y=mb.less_equal(x=at, y=np.float32(extent - 1)))
            share = mb.mul(x=share, y=mb.cast(x=inside, dtype="fp32"))
            weight = share if weight is None else mb.mul(x=weight, y=share)
            bounded = mb.minimum(x=mb.maximum(x=at, y=np.float32(0)), y=np.float32(extent - 1))
            numbers.append(mb.cast(x=bounded, dtype="int32"))
        index = mb.add(x=mb.mul(x=numbers[0], y=np.int32(width)), y=numbers[1])
        part = mb.mul(x=mb.gather(x=rows, indices=index, axis=1), y=weight)
        total = part if total is None else mb.add(x=total, y=part)
    return total


@correction("torchvision::deform_conv2d", "torchvision.deform_conv2d", reason="coremltools has no conversion", where_missing=True)
def deform_conv2d(context: Any, node: Any) -> None:
    """deform_conv2d(input, weight, offset, mask, bias, strides, paddings, dilations, groups, offset groups, use_mask) of one image.

    Each tap of the kernel reads the image at places of its own, between four elements; then it is a product of matrices.
    """
    names = ("input", "weight", "offset", "mask", "bias", "stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w")
    given = arguments(context, node, *names, "groups", "offset_groups", "use_mask")
    x, weight, offset, mask, bias = given[:5]
    *geometry, groups, offset_groups, use_mask = (int(constant(value, 0)) for value in given[5:])
    if any(any_symbolic(var.shape) for var in (x, weight, offset)) or x.shape[0] != 1:
        raise NotImplementedError("only one image of fixed extents can be convolved with offsets")
    _, channels, height, width = x.shape
    outputs, _, *kernel = weight.shape
    taps, after = int(np.prod(kernel)), offset.shape[2:]
    samples = taps * int(np.prod(after))
    grids = []
    for axis in (0, 1):
        stride, padding, dilation = geometry[axis], geometry[2 + axis], geometry[4 + axis]
        taps_of = np.arange(kernel[axis]) * dilation - padding
        grid = np.arange(after[axis]) * stride
        taps_of = taps_of.reshape([-1, 1, 1, 1] if axis == 0 else [1, -1, 1, 1])
        grid = grid.reshape([1, 1, -1, 1] if axis == 0 else [1, 1, 1, -1])
        grids.append(np.broadcast_to(taps_of + grid, (*kernel, *after)).reshape(-1).astype(np.float32))
    offset = mb.reshape(x=offset, shape=[offset_groups, taps, 2, samples // taps])
    columns = []
    for group in range(offset_groups):
        own = mb.gather(x=offset, indices=np.int32(group), axis=0)
        places = tuple(
            mb.add(x=mb.reshape(x=mb.gather(x=own, indices=np.int32(axis), axis=1), shape=[samples]), y=grids[axis])
            for axis in (0, 1)
        )
        rows = mb.slice_by_index(
            x=mb.reshape(x=x, shape=[offset_groups, channels // offset_groups, height * width]),
            begin=[group, 0, 0],
            end=[0, 0, 0],
            squeeze_mask=[True, False, False],
            end_mask=[False, True, True],
        )
        column = _sampled(rows, (places[0], places[1]), height=height, width=width)
        if use_mask:
            factor = mb.gather(x=mb.reshape(x=mask, shape=[offset_groups, samples]), indices=np.int32(group), axis=0)
            column = mb.mul(x=column, y=factor)
        columns.append(column)
    column = columns[0] if len(columns) == 1 else mb.concat(values=columns, axis=0)
    column = mb.reshape(x=column, shape=[groups, channels // groups * taps, samples // taps])
    kernels = mb.reshape(x=weight, shape=[groups, outputs // groups, channels // groups * taps])
    result = mb.reshape(x=mb.matmul(x=kernels, y=column), shape=[1, outputs, *after])
    context.add(mb.add(x=result, y=mb.reshape(x=bias, shape=[1, outputs, 1, 1]), name=node.name))
