"""Gathering, scattering, sorting, and what finds elements."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Var

from executorch_coreml.engine.networks.layer import (
    Layer,
    axis_of,
    extents,
    floats,
    integers,
    known_integers,
    known_numbers,
    limited,
    mb,
    rank_of,
    translates,
)

_SCATTER_MODES = ("update", "add", "sub", "mul", "div", "max", "min")


def _mode(layer: Layer) -> str:
    if not 0 <= layer.params.mode < len(_SCATTER_MODES):
        raise ValueError(f"the mode {layer.params.mode} is unknown")
    return _SCATTER_MODES[layer.params.mode]


@translates("gather", inputs=2)
def _gather(layer: Layer) -> Var:
    return mb.gather(x=layer.x, indices=integers(layer.inputs[1]), axis=axis_of(layer.params.axis, layer.x.rank))


@translates("gatherND", inputs=2)
def _gather_nd(layer: Layer) -> Var:
    y = mb.gather_nd(x=layer.x, indices=integers(layer.inputs[1]))
    return y if y.rank else mb.expand_dims(x=y, axes=[0])


@translates("gatherAlongAxis", inputs=2)
def _gather_along_axis(layer: Layer) -> Var:
    return mb.gather_along_axis(x=layer.x, indices=integers(layer.inputs[1]), axis=axis_of(layer.params.axis, layer.x.rank))


@translates("scatter", inputs=3)
def _scatter(layer: Layer) -> Var:
    axis = axis_of(layer.params.axis, layer.x.rank)
    return mb.scatter(data=layer.x, indices=integers(layer.inputs[1]), updates=layer.inputs[2], axis=axis, mode=_mode(layer))


@translates("scatterND", inputs=3)
def _scatter_nd(layer: Layer) -> Var:
    return mb.scatter_nd(data=layer.x, indices=integers(layer.inputs[1]), updates=layer.inputs[2], mode=_mode(layer))


@translates("scatterAlongAxis", inputs=3)
def _scatter_along_axis(layer: Layer) -> Var:
    axis = axis_of(layer.params.axis, layer.x.rank)
    return mb.scatter_along_axis(
        data=layer.x, indices=integers(layer.inputs[1]), updates=layer.inputs[2], axis=axis, mode=_mode(layer)
    )


@translates("topK", inputs=(1, 2))
def _top_k(layer: Layer) -> list[Var]:
    params = layer.params
    axis = axis_of(params.axis, layer.x.rank)
    (k,) = known_integers(layer.inputs[1]) if len(layer.inputs) == 2 else [int(params.K)]
    if not 1 <= k <= extents(layer.x)[axis]:
        raise ValueError(f"the {k} greatest of {extents(layer.x)[axis]} elements")
    values, indices = mb.topk(x=layer.x, k=k, axis=axis, ascending=params.useBottomK)
    return [values, floats(indices)]


@translates("argMax", "argMin")
def _extreme(layer: Layer) -> Var:
    find = mb.reduce_argmax if layer.kind == "argMax" else mb.reduce_argmin
    y = floats(find(x=layer.x, axis=axis_of(layer.params.axis, layer.x.rank), keep_dims=not layer.params.removeDim))
    # A network has no values of rank 0.
    return y if y.rank else mb.expand_dims(x=y, axes=[0])


@translates("argSort")
def _arg_sort(layer: Layer) -> Var:
    return floats(mb.argsort(x=layer.x, axis=axis_of(layer.params.axis, layer.x.rank), ascending=not layer.params.descending))


@translates("oneHot", inputs=(1, 2))
def _one_hot(layer: Layer) -> Var:
    params = layer.params
    rank = rank_of(layer.x, 1, 4)
    (size,) = known_integers(layer.inputs[1]) if len(layer.inputs) == 2 else [int(params.oneHotVectorSize)]
    axis = axis_of(params.axis, rank + 1)
    shape = extents(layer.x)
    limited([*shape, size])
    # Compared with each index: what is none gives the value for "off" throughout.
    places = np.arange(size, dtype=np.float32).reshape([size if i == axis else 1 for i in range(rank + 1)])
    is_on = floats(mb.equal(x=mb.expand_dims(x=layer.x, axes=[axis]), y=places))
    return mb.add(x=mb.mul(x=is_on, y=np.float32(params.onValue - params.offValue)), y=np.float32(params.offValue))


@translates("whereNonZero")
def _where_non_zero(layer: Layer) -> Var:
    return floats(mb.non_zero(x=layer.x))


@translates("NonMaximumSuppression", inputs=(2, 5))
def _suppression(layer: Layer) -> list[Var]:
    params = layer.params
    numbers = [params.iouThreshold, params.scoreThreshold, params.maxBoxes]
    for place, x in enumerate(layer.inputs[2:]):
        numbers[place] = known_numbers(x)[0]
    boxes, scores = layer.inputs[:2]
    count = int(numbers[2])
    limited([*extents(boxes)[:1], count, extents(scores)[-1]])
    found = mb.non_maximum_suppression(
        boxes=boxes,
        scores=scores,
        iou_threshold=np.float32(numbers[0]),
        score_threshold=np.float32(numbers[1]),
        max_boxes=np.int32(count),
        per_class_suppression=params.perClassSuppression,
    )
    return [floats(y) for y in found]


_RANDOM = ("Normal", "Uniform", "Bernoulli")


@translates(*(f"random{name}{form}" for name in _RANDOM for form in ("Like", "Static", "Dynamic")), inputs=(0, 1))
def _random(layer: Layer) -> Var:
    """Numbers of the engine's own generator, of the layer's seed."""
    params = layer.params
    if layer.kind.endswith("Static"):
        shape = list(params.outputShape)
    else:
        shape = known_integers(layer.x) if layer.kind.endswith("Dynamic") else list(extents(layer.x))
    options = {"shape": limited(shape), "seed": np.int32(max(-1, min(params.seed, 2**31 - 1)))}
    if "Normal" in layer.kind:
        return mb.random_normal(mean=np.float32(params.mean), stddev=np.float32(params.stdDev), **options)
    if "Uniform" in layer.kind:
        return mb.random_uniform(low=np.float32(params.minVal), high=np.float32(params.maxVal), **options)
    return mb.random_bernoulli(prob=np.float32(params.prob), **options)
