"""Activations, functions of one value, arithmetic, comparisons, logic."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Var

from executorch_coreml.engine.networks import weights
from executorch_coreml.engine.networks.layer import MANY, Layer, extents, floats, mb, rank_of, translates, truths


def activate(params: Any, x: Var) -> Var:
    """An ActivationParams message. ValueError where it is none."""
    which = params.WhichOneof("NonlinearityType")
    if which is None:
        raise ValueError("there is no activation")
    function = getattr(params, which)

    def number(name: str) -> np.float32:
        return np.float32(getattr(function, name))

    if which == "linear":
        return mb.add(x=mb.mul(x=x, y=number("alpha")), y=number("beta"))
    if which == "leakyReLU":
        return mb.leaky_relu(x=x, alpha=number("alpha"))
    if which == "thresholdedReLU":
        return mb.thresholded_relu(x=x, alpha=number("alpha"))
    if which == "PReLU":
        alpha = _per_channel(function.alpha, x)
        return mb.sub(x=mb.relu(x=x), y=mb.mul(x=mb.relu(x=mb.mul(x=x, y=np.float32(-1))), y=alpha))
    if which == "scaledTanh":
        return mb.mul(x=mb.tanh(x=mb.mul(x=x, y=number("beta"))), y=number("alpha"))
    if which == "sigmoidHard":
        return mb.sigmoid_hard(x=x, alpha=number("alpha"), beta=number("beta"))
    if which == "ELU":
        return mb.elu(x=x, alpha=number("alpha"))
    if which == "parametricSoftplus":
        alpha, beta = _per_channel(function.alpha, x), _per_channel(function.beta, x)
        return mb.mul(x=mb.softplus(x=mb.mul(x=x, y=beta)), y=alpha)
    plain = {"ReLU": mb.relu, "tanh": mb.tanh, "sigmoid": mb.sigmoid, "softsign": mb.softsign, "softplus": mb.softplus}
    return plain[which](x=x)


def _per_channel(message: Any, x: Var) -> np.ndarray:
    """One number, or one for each channel of the axis -3."""
    count = len(message.floatValue) or len(message.float16Value) // 2 or len(message.rawValue)
    if count == 1:
        return weights.read(message, [1])
    rank_of(x, 3)
    return weights.read(message, [extents(x)[-3], 1, 1])


@translates("activation")
def _activation(layer: Layer) -> Var:
    return activate(layer.params, layer.x)


@translates("clampedReLU")
def _clamped_relu(layer: Layer) -> Var:
    # min(beta, x >= 0 ? x : alpha x)
    return mb.minimum(x=mb.leaky_relu(x=layer.x, alpha=np.float32(layer.params.alpha)), y=np.float32(layer.params.beta))


@translates("unary")
def _unary(layer: Layer) -> Var:
    params = layer.params
    x = mb.add(x=mb.mul(x=layer.x, y=np.float32(params.scale or 1)), y=np.float32(params.shift))
    epsilon = np.float32(params.epsilon or 1e-6)
    functions: list[Callable[[], Var]] = [
        lambda: mb.sqrt(x=x),
        lambda: mb.rsqrt(x=x, epsilon=epsilon),
        lambda: mb.inverse(x=x, epsilon=epsilon),
        lambda: mb.pow(x=x, y=np.float32(params.alpha)),
        lambda: mb.exp(x=x),
        lambda: mb.log(x=x),
        lambda: mb.abs(x=x),
        lambda: mb.maximum(x=x, y=np.float32(params.alpha)),
    ]
    if not 0 <= params.type < len(functions):
        raise ValueError(f"the unary function {params.type} is unknown")
    return functions[params.type]()


_FUNCTIONS: dict[str, Callable[..., Var]] = {
    "ceil": mb.ceil,
    "floor": mb.floor,
    "sign": mb.sign,
    "round": mb.round,
    "exp2": mb.exp2,
    "sin": mb.sin,
    "cos": mb.cos,
    "tan": mb.tan,
    "asin": mb.asin,
    "acos": mb.acos,
    "atan": mb.atan,
    "sinh": mb.sinh,
    "cosh": mb.cosh,
    "tanh": mb.tanh,
    "atanh": mb.atanh,
    "erf": mb.erf,
    "copy": mb.identity,
}


@translates(*_FUNCTIONS)
def _function(layer: Layer) -> Var:
    return _FUNCTIONS[layer.kind](x=layer.x)


@translates("asinh", "acosh")
def _inverse_hyperbolic(layer: Layer) -> Var:
    x = layer.x
    one = np.float32(1)
    if layer.kind == "acosh":
        # log(x + sqrt(x - 1) sqrt(x + 1)), which is NaN below 1.
        root = mb.mul(x=mb.sqrt(x=mb.sub(x=x, y=one)), y=mb.sqrt(x=mb.add(x=x, y=one)))
        return mb.log(x=mb.add(x=x, y=root))
    # By the magnitude, so that nothing cancels.
    size = mb.abs(x=x)
    root = mb.sqrt(x=mb.add(x=mb.mul(x=size, y=size), y=one))
    return mb.mul(x=mb.sign(x=x), y=mb.log(x=mb.add(x=size, y=root)))


@translates("gelu")
def _gelu(layer: Layer) -> Var:
    modes = ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    return mb.gelu(x=layer.x, mode=modes[layer.params.mode])


@translates("clip")
def _clip(layer: Layer) -> Var:
    low, high = np.float32(layer.params.minVal), np.float32(layer.params.maxVal)
    return mb.minimum(x=mb.maximum(x=layer.x, y=low), y=high)


# Of any number of values, which are broadcast.
_FOLDS = {
    "add": mb.add,
    "multiply": mb.mul,
    "max": mb.maximum,
    "min": mb.minimum,
    "average": mb.add,
    "addBroadcastable": mb.add,
    "multiplyBroadcastable": mb.mul,
    "maxBroadcastable": mb.maximum,
    "minBroadcastable": mb.minimum,
}


@translates(*_FOLDS, inputs=(1, MANY))
def _fold(layer: Layer) -> Var:
    fold = _FOLDS[layer.kind]
    if len(layer.inputs) == 1 and layer.kind in ("add", "multiply"):
        return fold(x=layer.x, y=np.float32(layer.params.alpha))
    y = functools.reduce(lambda a, b: fold(x=a, y=b), layer.inputs)
    return mb.real_div(x=y, y=np.float32(len(layer.inputs))) if layer.kind == "average" else y


_PAIRS = {
    "modBroadcastable": mb.mod,
    "powBroadcastable": mb.pow,
    "divideBroadcastable": mb.real_div,
    "floorDivBroadcastable": mb.floor_div,
    "subtractBroadcastable": mb.sub,
}


@translates(*_PAIRS, inputs=2)
def _pair(layer: Layer) -> Var:
    return _PAIRS[layer.kind](x=layer.x, y=layer.inputs[1])


_COMPARISONS = {
    "equal": mb.equal,
    "notEqual": mb.not_equal,
    "lessThan": mb.less,
    "lessEqual": mb.less_equal,
    "greaterThan": mb.greater,
    "greaterEqual": mb.greater_equal,
}


@translates(*_COMPARISONS, inputs=(1, 2))
def _comparison(layer: Layer) -> Var:
    other = layer.inputs[1] if len(layer.inputs) == 2 else np.float32(layer.params.alpha)
    return floats(_COMPARISONS[layer.kind](x=layer.x, y=other))


_LOGIC = {"logicalAnd": mb.logical_and, "logicalOr": mb.logical_or, "logicalXor": mb.logical_xor}


@translates(*_LOGIC, inputs=2)
def _logic(layer: Layer) -> Var:
    return floats(_LOGIC[layer.kind](x=truths(layer.x), y=truths(layer.inputs[1])))


@translates("logicalNot")
def _logical_not(layer: Layer) -> Var:
    return floats(mb.logical_not(x=truths(layer.x)))


@translates("whereBroadcastable", inputs=3)
def _where(layer: Layer) -> Var:
    condition, a, b = layer.inputs
    # select() broadcasts in its newer form only where all shapes are known; adding zeros of the condition's shape is no way for infinities.
    shape = np.broadcast_shapes(extents(condition), extents(a), extents(b))
    spread = [v if extents(v) == shape else _broadcast(v, shape) for v in (condition, a, b)]
    return mb.select(cond=truths(spread[0]), a=spread[1], b=spread[2])


def _broadcast(x: Var, shape: tuple[int, ...]) -> Var:
    """x repeated to a shape that it can be broadcast to."""
    whole = (1,) * (len(shape) - x.rank) + extents(x)
    if whole != extents(x):
        x = mb.reshape(x=x, shape=list(whole))
    return mb.tile(x=x, reps=[1 if have == want else want for have, want in zip(whole, shape, strict=True)])


broadcast = _broadcast


@translates("bias", "scale")
def _scale(layer: Layer) -> Var:
    params = layer.params
    rank_of(layer.x, 3)
    y = layer.x
    if layer.kind == "scale":
        y = mb.mul(x=y, y=_spread(layer, "scale", params.shapeScale))
        return mb.add(x=y, y=_spread(layer, "bias", params.shapeBias)) if params.hasBias else y
    return mb.add(x=y, y=_spread(layer, "bias", params.shape))


def _spread(layer: Layer, name: str, declared: Any) -> np.ndarray:
    """Weights of the shape [1], [C], [1, H, W] or [C, H, W], to be broadcast over the last three axes."""
    shape = [int(extent) for extent in declared] or [1]
    if len(shape) not in (1, 3):
        raise ValueError(f"the shape of {name} is {shape}")
    values = layer.weights(name, shape)
    return values.reshape(-1, 1, 1) if len(shape) == 1 else values
