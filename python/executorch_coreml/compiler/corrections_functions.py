"""Corrections of functions of numbers: activations, reductions and normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend._utils import pymil_broadcast_tensors
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.types.symbolic import any_symbolic

from executorch_coreml.compiler.correction_table import (
    CT,
    OnDevices,
    arguments,
    as_float,
    axes_of,
    cast,
    constant,
    correction,
    integers_of,
    number,
    result_type,
)


@correction(
    "prelu",
    "_prelu_kernel",
    reason="coremltools applies the slopes of channels to the wrong dimension below rank 4",
    reference=CT + "2781",
)
def prelu(context: Any, node: Any) -> None:
    x, slope = arguments(context, node, "self", "weight")
    if x.rank == 4 and slope.val is not None:
        channels = x.shape[1]
        context.add(mb.prelu(x=x, alpha=np.broadcast_to(np.ravel(slope.val), (channels,)).copy(), name=node.name))
        return
    shape = [1] * x.rank
    if x.rank >= 2:
        shape[1] = -1
    product = mb.mul(x=x, y=mb.reshape(x=slope, shape=shape))
    context.add(mb.select(cond=mb.greater(x=x, y=number(0, x)), a=x, b=product, name=node.name))


@correction("all", "all.dim", "all.dims", "any", "any.dim", "any.dims", reason="coremltools cuts off the fractions of floats")
def all_or_any(context: Any, node: Any) -> None:
    x, dim, keep = arguments(context, node, "self", "dim", "keepdim")
    if x.rank == 0:
        x = mb.expand_dims(x=x, axes=[0])
    if not types.is_bool(x.dtype):
        x = mb.not_equal(x=x, y=number(0, x))
    reduce = mb.reduce_min if node.kind.startswith("all") else mb.reduce_max
    reduced = reduce(x=mb.cast(x=x, dtype="int32"), axes=axes_of(dim, x.rank), keep_dims=bool(constant(keep, False)))
    context.add(mb.cast(x=reduced, dtype="bool", name=node.name))


def _variance(x: Var, axes: list[int], correction_: float, keep: bool) -> Var:
    """The mean square of what is left without the mean, times n / (n - correction); NaN or infinite for n <= correction, as in torch."""
    centred = mb.sub(x=x, y=mb.reduce_mean(x=x, axes=axes, keep_dims=True))
    variance = mb.reduce_mean(x=mb.mul(x=centred, y=centred), axes=axes, keep_dims=keep)
    if correction_ == 0:
        return variance
    extents = [x.shape[axis] for axis in axes]
    if any_symbolic(extents):
        shape = mb.gather(x=mb.shape(x=x), indices=np.array(axes, np.int32), axis=0)
        count = cast(mb.reduce_prod(x=shape, keep_dims=False), types.builtin_to_string(variance.dtype))
        left = mb.maximum(x=mb.sub(x=count, y=number(correction_, count)), y=number(0, count))
        return mb.mul(x=variance, y=mb.real_div(x=count, y=left))
    with np.errstate(divide="ignore"):
        factor = np.float64(np.prod(extents)) / max(np.prod(extents) - correction_, 0)
    return mb.mul(x=variance, y=number(factor, variance))


@correction(
    "var.correction",
    "std.correction",
    reason="coremltools uses another correction than torch if no correction or no dimension is passed",
)
def variance(context: Any, node: Any) -> None:
    x, dim, correction_, keep = arguments(context, node, "self", "dim", "correction", "keepdim")
    result = _variance(x, axes_of(dim, x.rank), constant(correction_, 1), bool(constant(keep, False)))
    context.add(mb.sqrt(x=result, name=node.name) if node.kind.startswith("std") else mb.identity(x=result, name=node.name))


@correction("cumsum", reason="coremltools refuses negative dimensions, and ignores the requested dtype of the sum")
def cumsum(context: Any, node: Any) -> None:
    x, dim, _ = arguments(context, node, "self", "dim", "dtype")
    # Counts, such as a histogram's, come as floats: float16 has not all of them.
    integers = integers_of(x) if result_type(node) == "int32" else None
    context.add(
        mb.cumsum(
            x=cast(x if integers is None else integers, result_type(node)), axis=int(constant(dim, 0)) % x.rank, name=node.name
        )
    )


@correction("gelu", reason="coremltools does not read approximate, a keyword argument")
def gelu(context: Any, node: Any) -> None:
    x, approximate = arguments(context, node, "self", "approximate")
    mode = "TANH_APPROXIMATION" if constant(approximate, "none") == "tanh" else "EXACT"
    context.add(mb.gelu(x=x, mode=mode, name=node.name))


@correction("trunc", reason="coremltools has no conversion")
def trunc(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    context.add(mb.select(cond=mb.less(x=x, y=number(0, x)), a=mb.ceil(x=x), b=mb.floor(x=x), name=node.name))


@correction("rms_norm", reason="coremltools scales the argument by the largest magnitude, and then adds epsilon without scaling it")
def rms_norm(context: Any, node: Any) -> None:
    """Scaled, too, since squares leave float16's range early; so is epsilon, which also bounds the scale from below."""
    x, shape, weight, epsilon = arguments(context, node, "input", "normalized_shape", "weight", "eps")
    root = float(np.sqrt(constant(epsilon, torch.finfo(node.meta["val"].dtype).eps)))
    axes = list(range(-len(shape.val if isinstance(shape, Var) else shape), 0))
    largest = mb.reduce_max(x=mb.abs(x=x), axes=axes, keep_dims=True)
    scale = mb.maximum(x=largest, y=number(max(root, 2.0**-12), x))
    scaled, epsilon_root = mb.real_div(x=x, y=scale), mb.real_div(x=number(root, x), y=scale)
    square = mb.reduce_mean(x=mb.mul(x=scaled, y=scaled), axes=axes, keep_dims=True)
    square = mb.add(x=square, y=mb.mul(x=epsilon_root, y=epsilon_root))
    result = mb.mul(x=scaled, y=mb.rsqrt(x=square, epsilon=number(0, x)))
    if weight is not None:
        result = mb.mul(x=result, y=weight)
    context.add(mb.identity(x=result, name=node.name))


@correction("prod", "prod.dim_int", reason="coremltools has no conversion")
def prod(context: Any, node: Any) -> None:
    x, *rest = ops._get_inputs(context, node)
    dim = constant(rest[0], None) if rest and node.kind == "prod.dim_int" else None
    keep = bool(constant(rest[1], False)) if len(rest) > 1 and node.kind == "prod.dim_int" else False
    context.add(mb.reduce_prod(x=cast(x, result_type(node)), axes=axes_of(dim, x.rank), keep_dims=keep, name=node.name))


@correction(
    *(
        name
        for name in [
            *("acos", "asin", "atan", "atanh", "cos", "cosh", "erf", "exp", "sigmoid", "sin", "sinh"),
            *("sqrt", "tan", "tanh"),
        ]
    ),
    reason="coremltools does not convert integers to floats, and MIL's functions do not accept integers",
)
def float_function(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    if types.is_float(x.dtype):
        getattr(ops, node.kind)(context, node)
        return
    context.add(getattr(mb, node.kind)(x=as_float(x), name=node.name))


@correction(
    "log_softmax", "_log_softmax", reason="coremltools takes the logarithm of the softmax, which is 0 far below the largest"
)
def log_softmax(context: Any, node: Any) -> None:
    x, dim = arguments(context, node, "self", "dim")
    x, axes = cast(x, result_type(node)), [int(constant(dim, 0)) % x.rank]
    below = mb.sub(x=x, y=mb.reduce_max(x=x, axes=axes, keep_dims=True))
    total = mb.reduce_sum(x=mb.exp(x=below), axes=axes, keep_dims=True)
    context.add(mb.sub(x=below, y=mb.log(x=total, epsilon=number(0, x)), name=node.name))


@correction(
    "instance_norm", reason="coremltools normalizes by the statistics of the input, even where torch uses the running statistics"
)
def instance_norm(context: Any, node: Any) -> None:
    names = ("input", "weight", "bias", "running_mean", "running_var", "use_input_stats", "momentum", "eps")
    x, weight, bias, mean, variance, of_input, _, epsilon = arguments(context, node, *names)
    if constant(of_input, True):
        ops.instance_norm(context, node)
        return

    def of_channels(var: Var) -> Var:
        return mb.reshape(x=var, shape=[1, -1, *[1] * (x.rank - 2)])

    deviation = mb.sqrt(x=mb.add(x=variance, y=number(constant(epsilon, 1e-5), variance)))
    x = mb.real_div(x=mb.sub(x=x, y=of_channels(mean)), y=of_channels(deviation))
    x = x if weight is None else mb.mul(x=x, y=of_channels(weight))
    x = x if bias is None else mb.add(x=x, y=of_channels(bias))
    context.add(mb.identity(x=x, name=node.name))


# Vectors are scaled by their largest magnitude, but not by less than this: its inverse is finite in float16.
_SMALLEST_SCALE = 2.0**-14


@correction(
    "cosine_similarity", reason="coremltools bounds the product of squares by the square of epsilon, which float16 rounds up"
)
def cosine_similarity(context: Any, node: Any) -> None:
    x, y, dim, epsilon = arguments(context, node, "x1", "x2", "dim", "eps")
    rank = node.meta["val"].dim() + 1
    if x.shape != y.shape:
        if any_symbolic(x.shape) or any_symbolic(y.shape):
            raise NotImplementedError("vectors of different flexible extents cannot be broadcast against each other")
        x, y = pymil_broadcast_tensors([x, y])
    axes = [int(constant(dim, 1)) % rank]

    def scaled(var: Var) -> tuple[Var, Var]:
        """The vectors, none of whose squares leaves float16, and their lengths, epsilon at least."""
        scale = mb.reduce_max(x=mb.abs(x=var), axes=axes, keep_dims=True)
        scale = mb.maximum(x=scale, y=number(_SMALLEST_SCALE, var))
        var = mb.real_div(x=var, y=scale)
        length = mb.sqrt(x=mb.reduce_sum(x=mb.mul(x=var, y=var), axes=axes, keep_dims=True))
        least = mb.real_div(
            x=number(constant(epsilon, 1e-8) / _SMALLEST_SCALE, var), y=mb.mul(x=scale, y=number(1 / _SMALLEST_SCALE, var))
        )
        return var, mb.maximum(x=length, y=least)

    (x, length_x), (y, length_y) = scaled(x), scaled(y)
    product = mb.mul(x=mb.real_div(x=x, y=length_x), y=mb.real_div(x=y, y=length_y))
    context.add(mb.reduce_sum(x=product, axes=axes, keep_dims=False, name=node.name))


@correction(
    "scaled_dot_product_attention",
    reason="the softmax of a row whose keys are all masked is NaN, where torch's attention is 0",
)
def attention(context: Any, node: Any) -> None:
    mask = arguments(context, node, "query", "key", "value", "attn_mask")[3]
    ops.scaled_dot_product_attention(context, node)
    if mask is None:
        return
    if types.is_bool(mask.dtype):
        sees = mb.reduce_max(x=mb.cast(x=mask, dtype="int32"), axes=[-1], keep_dims=True)
        sees = mb.greater(x=sees, y=np.int32(0))
    else:
        sees = mb.reduce_max(x=mask, axes=[-1], keep_dims=True)
        sees = mb.not_equal(x=sees, y=number(-np.inf, sees))
    if sees.val is not None and np.all(sees.val):
        return
    result = context[node.name]
    nothing = mb.mul(
        x=mb.cast(x=mb.not_equal(x=result, y=result), dtype=types.builtin_to_string(result.dtype)), y=number(0, result)
    )
    context.add(mb.select(cond=sees, a=result, b=nothing), torch_name=node.name, override=True)


@correction(
    "softplus",
    "mish",
    reason="the Neural Engine computes log(1 + exp(x)), which from x = 10.4 on is 0",
    reference=CT + "2687",
    on_devices=OnDevices.FLOAT16,
)
def softplus(context: Any, node: Any) -> None:
    """The larger of x and 0, and log(1 + exp(-|x|)) by the inverse hyperbolic tangent: nothing that is large, and nothing lost beside 1."""
    x, beta = arguments(context, node, "self", "beta")
    factor = float(constant(beta, 1.0))
    scaled = x if factor == 1 else mb.mul(x=x, y=number(factor, x))
    small = mb.exp(x=mb.mul(x=mb.abs(x=scaled), y=number(-1, x)))
    small = mb.atanh(x=mb.real_div(x=small, y=mb.add(x=small, y=number(2, x))))
    result = mb.add(x=mb.maximum(x=scaled, y=number(0, x)), y=mb.mul(x=small, y=number(2, x)))
    result = result if factor == 1 else mb.mul(x=result, y=number(1 / factor, x))
    context.add(mb.mul(x=x, y=mb.tanh(x=result), name=node.name) if node.kind == "mish" else mb.identity(x=result, name=node.name))


@correction(
    "logsumexp",
    reason="the Neural Engine sums the exponentials without scaling them, and they leave float16's range from x = 7.6 on",
    reference=CT + "2690",
    on_devices=OnDevices.FLOAT16,
)
def logsumexp(context: Any, node: Any) -> None:
    x, dim, keep = arguments(context, node, "self", "dim", "keepdim")
    x, axes = cast(x, result_type(node)), axes_of(dim, x.rank)
    if not axes:
        context.add(mb.identity(x=x, name=node.name))
        return
    largest = mb.reduce_max(x=x, axes=axes, keep_dims=True)
    # Of nothing but minus infinities the differences are these, of infinities infinite: none is NaN.
    is_infinite = mb.equal(x=mb.abs(x=largest), y=number(np.inf, x))
    zeros = mb.mul(x=mb.cast(x=is_infinite, dtype=types.builtin_to_string(x.dtype)), y=number(0, x))
    largest = mb.select(cond=is_infinite, a=zeros, b=largest)
    total = mb.reduce_sum(x=mb.exp(x=mb.sub(x=x, y=largest)), axes=axes, keep_dims=True)
    result = mb.add(x=mb.log(x=total, epsilon=number(0, x)), y=largest)
    if constant(keep, False):
        context.add(mb.identity(x=result, name=node.name))
    else:
        context.add(mb.squeeze(x=result, axes=axes, name=node.name))
