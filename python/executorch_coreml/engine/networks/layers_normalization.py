"""Normalization, softmax, and reductions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from coremltools.converters.mil.mil import Var

from executorch_coreml.engine.networks.layer import (
    Layer,
    axis_of,
    extents,
    floats,
    known_integers,
    mb,
    rank_of,
    reshaped,
    translates,
)


@translates("batchnorm")
def _batchnorm(layer: Layer) -> Var:
    params = layer.params
    rank = rank_of(layer.x, 3)
    channels, epsilon = int(params.channels), np.float32(params.epsilon or 1e-5)
    if extents(layer.x)[-3] != channels:
        raise ValueError(f"there are {extents(layer.x)[-3]} channels, not {channels}")
    gamma, beta = (layer.weights(name, [channels, 1, 1]) for name in ("gamma", "beta"))
    x = layer.x
    if not params.computeMeanVar:
        mean, variance = (layer.weights(name, [channels, 1, 1]).astype(np.float64) for name in ("mean", "variance"))
        factor = gamma / np.sqrt(variance + epsilon)
        return mb.add(x=mb.mul(x=x, y=factor.astype(np.float32)), y=(beta - mean * factor).astype(np.float32))
    axes = [rank - 2, rank - 1] if params.instanceNormalization else [axis for axis in range(rank) if axis != rank - 3]
    return mb.add(x=mb.mul(x=_standardized(x, axes, epsilon), y=gamma), y=beta)


def _standardized(x: Var, axes: list[int], epsilon: np.floating) -> Var:
    """(x - mean) / sqrt(variance + epsilon)"""
    centered = mb.sub(x=x, y=mb.reduce_mean(x=x, axes=axes, keep_dims=True))
    variance = mb.reduce_mean(x=mb.mul(x=centered, y=centered), axes=axes, keep_dims=True)
    return mb.mul(x=centered, y=mb.rsqrt(x=variance, epsilon=np.float32(epsilon)))


@translates("mvn")
def _mean_variance(layer: Layer) -> Var:
    params = layer.params
    rank_of(layer.x, 3)
    axes = [-3, -2, -1] if params.acrossChannels else [-2, -1]
    if params.normalizeVariance:
        return _standardized(layer.x, axes, np.float32(params.epsilon or 1e-6))
    return mb.sub(x=layer.x, y=mb.reduce_mean(x=layer.x, axes=axes, keep_dims=True))


@translates("l2normalize")
def _l2_normalize(layer: Layer) -> Var:
    rank_of(layer.x, 3)
    sums = mb.reduce_sum_square(x=layer.x, axes=[-3, -2, -1], keep_dims=True)
    return mb.mul(x=layer.x, y=mb.rsqrt(x=sums, epsilon=np.float32(layer.params.epsilon or 1e-6)))


@translates("lrn")
def _local_response(layer: Layer) -> Var:
    """x / (k + alpha / size * sum of squares of `size` channels around) ** beta, the sums by a band matrix."""
    params = layer.params
    shape = extents(layer.x)
    rank_of(layer.x, 3)
    size = int(params.localSize)
    if size < 1:
        raise ValueError(f"the window has {size} channels")
    channels = np.arange(shape[-3])
    distance = channels[None, :] - channels[:, None]
    before = (size - 1) // 2
    band = ((distance >= -before) & (distance < size - before)).astype(np.float32)
    squares = reshaped(mb.mul(x=layer.x, y=layer.x), (*shape[:-2], shape[-2] * shape[-1]))
    sums = reshaped(mb.matmul(x=band.reshape((1,) * (len(shape) - 3) + band.shape), y=squares), shape)
    scaled = mb.add(x=mb.mul(x=sums, y=np.float32(params.alpha / size)), y=np.float32(params.k or 1))
    return mb.mul(x=layer.x, y=mb.pow(x=scaled, y=np.float32(-params.beta)))


@translates("softmax")
def _softmax(layer: Layer) -> Var:
    rank_of(layer.x, 3)
    return mb.softmax(x=layer.x, axis=-3)


@translates("softmaxND")
def _softmax_nd(layer: Layer) -> Var:
    return mb.softmax(x=layer.x, axis=axis_of(layer.params.axis, layer.x.rank))


@translates("layerNormalization")
def _layer_norm(layer: Layer) -> Var:
    shape = extents(layer.x)
    normalized = [int(extent) for extent in layer.params.normalizedShape]
    if not normalized or list(shape[-len(normalized) :]) != normalized:
        raise ValueError(f"{normalized} is not what {list(shape)} ends with")
    gamma, beta = (layer.weights(name, normalized) for name in ("gamma", "beta"))
    axes = list(range(len(shape) - len(normalized), len(shape)))
    return mb.add(x=mb.mul(x=_standardized(layer.x, axes, np.float32(layer.params.eps)), y=gamma), y=beta)


def _log_sum(x: Var, axes: list[int], keep_dims: bool, epsilon: float = 0) -> Var:
    """The sum of the logarithms, as the format has it."""
    return mb.reduce_sum(x=mb.log(x=x, epsilon=np.float32(epsilon)), axes=axes, keep_dims=keep_dims)


_REDUCTIONS: dict[str, Callable[[Var, list[int], bool], Var]] = {
    "reduceSum": lambda x, axes, keep: mb.reduce_sum(x=x, axes=axes, keep_dims=keep),
    "reduceMean": lambda x, axes, keep: mb.reduce_mean(x=x, axes=axes, keep_dims=keep),
    "reduceProd": lambda x, axes, keep: mb.reduce_prod(x=x, axes=axes, keep_dims=keep),
    "reduceLogSum": _log_sum,
    "reduceSumSquare": lambda x, axes, keep: mb.reduce_sum_square(x=x, axes=axes, keep_dims=keep),
    "reduceL1": lambda x, axes, keep: mb.reduce_l1_norm(x=x, axes=axes, keep_dims=keep),
    "reduceL2": lambda x, axes, keep: mb.reduce_l2_norm(x=x, axes=axes, keep_dims=keep),
    "reduceMax": lambda x, axes, keep: mb.reduce_max(x=x, axes=axes, keep_dims=keep),
    "reduceMin": lambda x, axes, keep: mb.reduce_min(x=x, axes=axes, keep_dims=keep),
    "reduceLogSumExp": lambda x, axes, keep: mb.reduce_log_sum_exp(x=x, axes=axes, keep_dims=keep),
}


@translates(*_REDUCTIONS)
def _reduce_nd(layer: Layer) -> Var:
    params = layer.params
    rank = layer.x.rank
    axes = [*range(rank)] if params.reduceAll or not params.axes else sorted({axis_of(axis, rank) for axis in params.axes})
    y = _REDUCTIONS[layer.kind](layer.x, axes, params.keepDims)
    # A network has no values of rank 0.
    return y if y.rank else mb.expand_dims(x=y, axes=[0])


_OLD_REDUCTIONS = (
    "reduceSum", "reduceMean", "reduceProd", "", "reduceSumSquare", "reduceL1", "reduceL2", "reduceMax", "reduceMin"
)  # fmt: skip


@translates("reduce")
def _reduce(layer: Layer) -> Var:
    params = layer.params
    chosen = ([-3, -2, -1], [-2, -1], [-3], [-2], [-1])
    if not 0 <= params.axis < len(chosen) or not 0 <= params.mode <= len(_OLD_REDUCTIONS):
        raise ValueError("the reduction has an unknown axis or mode")
    axes = [axis_of(axis, layer.x.rank) for axis in chosen[params.axis]]
    if params.mode == len(_OLD_REDUCTIONS):
        if len(axes) != 1:
            raise ValueError("the greatest element is looked for along one axis")
        return floats(mb.reduce_argmax(x=layer.x, axis=axes[0], keep_dims=True))
    if params.mode == 3:
        return _log_sum(layer.x, axes, True, params.epsilon or 1e-6)
    return _REDUCTIONS[_OLD_REDUCTIONS[params.mode]](layer.x, axes, True)


@translates("dot", inputs=2)
def _dot(layer: Layer) -> Var:
    a, b = layer.inputs
    rank_of(a, 3)
    product = mb.reduce_sum(x=mb.mul(x=a, y=b), axes=[-3], keep_dims=True)
    if not layer.params.cosineSimilarity:
        return product
    norms = [mb.reduce_l2_norm(x=x, axes=[-3], keep_dims=True) for x in (a, b)]
    return mb.real_div(x=product, y=mb.mul(x=norms[0], y=norms[1]))


@translates("cumSum", inputs=(1, 2))
def _cumulative_sum(layer: Layer) -> Var:
    params = layer.params
    axis = params.axis
    if len(layer.inputs) == 2:
        (axis,) = known_integers(layer.inputs[1])
    return mb.cumsum(x=layer.x, axis=axis_of(axis, layer.x.rank), exclusive=params.excludeFinalSum, reverse=params.reverse)


@translates("matrixBandPart", "lowerTriangular", "upperTriangular")
def _band(layer: Layer) -> Var:
    params = layer.params
    shape = extents(layer.x)
    rank_of(layer.x, 2)
    distance = np.arange(shape[-1])[None, :] - np.arange(shape[-2])[:, None]
    if layer.kind == "matrixBandPart":
        inside = ((params.numLower < 0) | (-distance <= params.numLower)) & ((params.numUpper < 0) | (distance <= params.numUpper))
    elif layer.kind == "lowerTriangular":
        inside = distance <= params.k
    else:
        inside = distance >= params.k
    # Chosen, not multiplied: an infinity outside becomes 0.
    whole = np.broadcast_to(inside, shape) if math.prod(shape) < 1 << 26 else None
    if whole is None:
        return mb.mul(x=layer.x, y=inside.astype(np.float32))
    return mb.select(cond=np.ascontiguousarray(whole), a=layer.x, b=np.zeros(shape, np.float32))
