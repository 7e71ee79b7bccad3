"""Corrections of arithmetic: scaled sums, powers, quotients, angles and logarithms."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.ops.defs._utils import promote_input_dtypes

from executorch_coreml.compiler.correction_table import (
    CT,
    OnDevices,
    arguments,
    as_float,
    cast,
    constant,
    correction,
    number,
    result_type,
)

_takes_no_alpha = functools.partial(
    correction,
    reason="coremltools does not accept alpha as a keyword, and raises for any other alpha than 1",
    reference=CT + "2573",
    fixed_in="9.1.dev1",
)


def _scaled(x: Var, factor: float) -> Var:
    return x if factor == 1 else mb.mul(x=x, y=number(factor, x))


@_takes_no_alpha("add")
def add(context: Any, node: Any) -> None:
    x, y, alpha = arguments(context, node, "self", "other", "alpha")
    factor = constant(alpha, 1)
    if factor == 1:
        node.kwinputs = None
        node.inputs = node.inputs[:2]
        ops.add(context, node)
        return
    dtype = result_type(node)
    context.add(mb.add(x=cast(x, dtype), y=_scaled(cast(y, dtype), factor), name=node.name))


def _subtract(context: Any, node: Any, minuend: Var, subtrahend: Var, alpha: Any) -> None:
    dtype = result_type(node)
    context.add(mb.sub(x=cast(minuend, dtype), y=_scaled(cast(subtrahend, dtype), constant(alpha, 1)), name=node.name))


@_takes_no_alpha("sub")
def sub(context: Any, node: Any) -> None:
    x, y, alpha = arguments(context, node, "self", "other", "alpha")
    _subtract(context, node, x, y, alpha)


@_takes_no_alpha("rsub")
def rsub(context: Any, node: Any) -> None:
    x, y, alpha = arguments(context, node, "self", "other", "alpha")
    _subtract(context, node, y, x, alpha)


@correction(
    "addmm", "baddbmm", reason="coremltools multiplies by an integer alpha or beta in integers, and raises", reference=CT + "2779"
)
def addmm(context: Any, node: Any) -> None:
    bias, x, y, beta, alpha = arguments(context, node, "self", "mat1", "mat2", "beta", "alpha")
    beta, alpha = constant(beta, 1), constant(alpha, 1)
    product = mb.matmul(x=x, y=y)
    if beta == 0:
        # torch does not read the bias then, whose NaN would otherwise survive.
        context.add(mb.mul(x=product, y=number(alpha, product), name=node.name))
        return
    context.add(mb.add(x=_scaled(bias, beta), y=_scaled(product, alpha), name=node.name))


@correction("pow", "pow.tensor_tensor", reason="Core ML uses a constant base of 2 for the exponent", reference=CT + "2742")
def power(context: Any, node: Any) -> None:
    x, y = arguments(context, node, "self", "exponent")
    dtype = result_type(node)
    x, y = cast(x, dtype), cast(y, dtype)
    if x.val is not None and np.ndim(x.val) == 0 and float(x.val) == 2.0:
        if types.is_float(y.dtype):
            context.add(mb.exp2(x=y, name=node.name))
            return
        # Exact: a float power rounds, and in float16 ends at 2**15. What int32 does not hold is not asked for.
        powers = np.array([0, *(2**i for i in range(31))], np.int32)
        index = mb.minimum(x=mb.maximum(x=mb.add(x=y, y=np.int32(1)), y=np.int32(0)), y=np.int32(31))
        context.add(mb.gather(x=powers, indices=index, axis=0, name=node.name))
        return
    context.add(mb.pow(x=x, y=y, name=node.name))


def _floor_divided(x: Var, y: Var) -> Var:
    """MIL's floor_div, which coremltools takes for its first operand where the second is 1: then floor.

    A quotient is no way round: coremltools makes a product with the reciprocal of a constant divisor, whose floor is off by one at times.
    """
    if y.val is not None and np.all(y.val == 1) and types.is_float(x.dtype):
        return mb.floor(x=mb.mul(x=x, y=y))
    return mb.floor_div(x=x, y=y)


def _divide_rounded(node: Any, x: Var, y: Var, *, floor: bool) -> Var:
    dtype = result_type(node)
    x, y = cast(x, dtype), cast(y, dtype)
    if floor:
        return cast(_floor_divided(x, y), dtype, name=node.name)
    zero = number(0, x)
    is_negative = mb.logical_xor(x=mb.less(x=x, y=zero), y=mb.less(x=y, y=zero))
    magnitude = _floor_divided(mb.abs(x=x), mb.abs(x=y))
    return mb.select(cond=is_negative, a=mb.mul(x=magnitude, y=number(-1, x)), b=magnitude, name=node.name)


@correction("div", "truediv", reason="coremltools rounds quotients of integers to float32", reference=CT + "2734")
def div(context: Any, node: Any) -> None:
    x, y, mode = arguments(context, node, "self", "other", "rounding_mode")
    mode = constant(mode, None)
    if mode is None:
        dtype = result_type(node)
        context.add(mb.real_div(x=cast(x, dtype), y=cast(y, dtype), name=node.name))
        return
    context.add(_divide_rounded(node, x, y, floor=mode == "floor"))


@correction(
    "floor_divide",
    "floordiv",
    reason="coremltools simplifies the floor division of a float by 1 to the float",
    reference=CT + "2762",
)
def floor_divide(context: Any, node: Any) -> None:
    x, y = arguments(context, node, "self", "other")
    context.add(_divide_rounded(node, x, y, floor=True))


@correction("reciprocal", reason="coremltools adds an epsilon of 1e-4 to the argument", reference=CT + "2773")
def reciprocal(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    x = as_float(x)
    context.add(mb.real_div(x=number(1, x), y=x, name=node.name))


@correction("atan2", reason="coremltools returns 0 where y is 0 and x is negative", reference=CT + "2769")
def atan2(context: Any, node: Any) -> None:
    """By octants: the arc tangent of the smaller by the larger magnitude, reflected. The sign of a zero is not seen: atan2(-0.0, -1) is pi."""
    y, x = promote_input_dtypes([as_float(v) for v in arguments(context, node, "self", "other")])
    zero, one, pi = number(0, x), number(1, x), number(np.pi, x)
    width, height = mb.abs(x=x), mb.abs(x=y)
    larger, smaller = mb.maximum(x=width, y=height), mb.minimum(x=width, y=height)
    is_origin = mb.equal(x=larger, y=zero)
    ratio = mb.real_div(x=smaller, y=mb.select(cond=is_origin, a=mb.add(x=larger, y=one), b=larger))
    # Two infinities have the ratio 1; their quotient is NaN.
    is_diagonal = mb.logical_and(x=mb.equal(x=width, y=height), y=mb.logical_not(x=is_origin))
    ones = cast(mb.cast(x=is_diagonal, dtype="int32"), types.builtin_to_string(x.dtype))
    ratio = mb.select(cond=is_diagonal, a=ones, b=ratio)
    angle = mb.atan(x=ratio)
    angle = mb.select(cond=mb.greater(x=height, y=width), a=mb.sub(x=number(np.pi / 2, x), y=angle), b=angle)
    angle = mb.select(cond=mb.less(x=x, y=zero), a=mb.sub(x=pi, y=angle), b=angle)
    context.add(mb.select(cond=mb.less(x=y, y=zero), a=mb.mul(x=angle, y=number(-1, x)), b=angle, name=node.name))


# Unless told otherwise MIL adds an epsilon to the argument, 1e-45 or 1e-12, which float16 rounds up to 6e-8.


@correction("log", "log2", "log10", reason="coremltools leaves MIL's epsilon in, and passes integers on", reference=CT + "2735")
def logarithm(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    x = as_float(x)
    if node.kind == "log":
        context.add(mb.log(x=x, epsilon=number(0, x), name=node.name))
        return
    base = 2.0 if node.kind == "log2" else 10.0
    context.add(mb.mul(x=mb.log(x=x, epsilon=number(0, x)), y=number(1 / np.log(base), x), name=node.name))


@correction("rsqrt", reason="coremltools leaves MIL's epsilon of 1e-12 in, and passes integers on")
def rsqrt(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    x = as_float(x)
    context.add(mb.rsqrt(x=x, epsilon=number(0, x), name=node.name))


# Below, sums with 1 would lose what is small beside it; sums that a compiler can put together again (1 + x - 1) do not help.


@correction("log1p", reason="coremltools computes log(1 + x), which is 0 for small x, and passes integers on")
def log1p(context: Any, node: Any) -> None:
    """Near 0 by the inverse hyperbolic tangent: log(1 + x) = 2 atanh(x / (2 + x))."""
    (x,) = arguments(context, node, "self")
    x = as_float(x)
    near = mb.mul(x=mb.atanh(x=mb.real_div(x=x, y=mb.add(x=x, y=number(2, x)))), y=number(2, x))
    far = mb.log(x=mb.add(x=x, y=number(1, x)), epsilon=number(0, x))
    is_near = mb.less(x=mb.abs(x=x), y=number(0.5, x))
    context.add(mb.select(cond=is_near, a=near, b=far, name=node.name))


@correction("expm1", reason="coremltools computes exp(x) - 1, which is 0 for small x, and passes integers on")
def expm1(context: Any, node: Any) -> None:
    """exp(x) - 1 = tanh(x / 2) (exp(x) + 1)."""
    (x,) = arguments(context, node, "self")
    x = as_float(x)
    half = mb.tanh(x=mb.mul(x=x, y=number(0.5, x)))
    context.add(mb.mul(x=half, y=mb.add(x=mb.exp(x=x), y=number(1, x)), name=node.name))


@correction(
    "remainder",
    reason="MIL's mod has the sign of the dividend on devices, and of the divisor in coremltools",
    reference=CT + "2778",
    on_devices=OnDevices.ANY,
)
def remainder(context: Any, node: Any) -> None:
    """Right with either sign of mod: what has not the divisor's is moved by one divisor."""
    x, y = arguments(context, node, "self", "other")
    dtype = result_type(node)
    x, y = cast(x, dtype), cast(y, dtype)
    rest, zero = mb.mod(x=x, y=y), number(0, x)
    is_other = mb.logical_xor(x=mb.less(x=rest, y=zero), y=mb.less(x=y, y=zero))
    is_other = mb.logical_and(x=is_other, y=mb.not_equal(x=rest, y=zero))
    context.add(mb.select(cond=is_other, a=mb.add(x=rest, y=y), b=rest, name=node.name))


@correction("fmod", reason="coremltools has no conversion")
def fmod(context: Any, node: Any) -> None:
    """What is left of the magnitudes, with the sign of the dividend."""
    x, y = arguments(context, node, "self", "other")
    dtype = result_type(node)
    x, y = cast(x, dtype), cast(y, dtype)
    context.add(mb.mul(x=mb.sign(x=x), y=mb.mod(x=mb.abs(x=x), y=mb.abs(x=y)), name=node.name))


@correction("elu", reason="coremltools ignores scale and input_scale")
def elu(context: Any, node: Any) -> None:
    """scale * x where x is positive, else scale * alpha * (exp(input_scale * x) - 1)."""
    x, alpha, scale, input_scale = arguments(context, node, "self", "alpha", "scale", "input_scale")
    alpha, scale, input_scale = (float(constant(value, 1.0)) for value in (alpha, scale, input_scale))
    if input_scale <= 0:
        raise NotImplementedError("the exponential grows with the argument")
    bent = _scaled(mb.elu(x=_scaled(x, input_scale), alpha=alpha), scale)
    if input_scale != 1:
        bent = mb.select(cond=mb.greater(x=x, y=number(0, x)), a=_scaled(x, scale), b=bent)
    context.add(mb.identity(x=bent, name=node.name))
