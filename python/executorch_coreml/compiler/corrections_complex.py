"""Complex numbers, as pairs of real ones: Fourier transforms as constant matrices, and what is done between them.

MIL has no complex numbers. Inside a partition a complex value is a `Pair` of MIL values; what only rearranges or adds is converted for the real and for
the imaginary parts, by the converter of real values. No complex value crosses a border.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from executorch_coreml.compiler.correction_table import arguments, as_float, constant, correction


class Pair(NamedTuple):
    """A complex value."""

    real: Var
    imaginary: Var


# By canonical name. Converted part by part, as they are of real values.
_BY_PARTS = frozenset(
    [
        *(
            "view",
            "view_copy",
            "_unsafe_view",
            "reshape",
            "permute",
            "permute_copy",
            "transpose",
            "transpose_copy",
            "unsqueeze",
            "unsqueeze_copy",
        ),
        *(
            "squeeze",
            "squeeze_copy",
            "squeeze.dim",
            "squeeze.dims",
            "squeeze_copy.dim",
            "squeeze_copy.dims",
            "expand",
            "expand_copy",
        ),
        *(
            "slice",
            "slice_copy",
            "select",
            "select_copy",
            "cat",
            "stack",
            "flip",
            "roll",
            "repeat",
            "clone",
            "_clone_dim_order",
            "alias",
            "alias_copy",
        ),
        *(
            "dim_order_ops._clone_dim_order",
            "dim_order_ops::_clone_dim_order",
            "neg",
            "index_select",
            "sum.dim_intlist",
            "mean.dim",
            "unfold_copy",
        ),
    ]
)
_ARITHMETIC = frozenset({"add", "sub", "mul", "div"})
_CASTS = frozenset({"_to_copy", "dim_order_ops._to_dim_order_copy", "dim_order_ops::_to_dim_order_copy", "_to_dim_order_copy"})
# Those of complex numbers alone; each has a row of the table.
_OWN = frozenset(
    {
        "_fft_r2c",
        "_fft_c2c",
        "_fft_c2r",
        "view_as_real",
        "view_as_real_copy",
        "view_as_complex",
        "view_as_complex_copy",
        "polar",
        "complex",
    }
    | {"abs", "angle", "_conj", "_conj_copy", "_conj_physical", "conj_physical"}
)


def takes(kind: str, dtype: torch.dtype) -> bool:
    """Whether an op, by its canonical name, is converted for complex numbers of a dtype."""
    return dtype == torch.complex64 and kind in _BY_PARTS | _ARITHMETIC | _CASTS | _OWN


def _names(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _names(value)
        elif isinstance(value, str):
            yield value


def is_of_pairs(context: Any, node: Any) -> bool:
    """Whether a call reads or makes complex numbers and none but the converter of real ones is known for it."""
    value = node.meta.get("val")
    makes = isinstance(value, torch.Tensor) and value.is_complex()
    reads = any(name in context and isinstance(context[name], Pair) for name in _names(node.inputs))
    return (makes or reads) and node.kind not in _OWN - {"abs", "angle"}


def _value(context: Any, name: Any) -> Pair | Var | None:
    return context[name] if isinstance(name, str) and name in context else None


def convert(context: Any, node: Any, of_reals: Callable[[Any, Any], None]) -> None:
    """Converts a call for which `is_of_pairs`; `of_reals`: its converter for real values."""
    if node.kind in _CASTS:
        (x,) = (_value(context, name) for name in node.inputs[:1])
        if isinstance(x, Pair):
            context.add(x, node.name)
        elif x is not None:
            context.add(_of_real(_as_float32(x)), node.name)
        return
    if node.kind == "abs":
        context.add(_magnitude(context[node.inputs[0]], node.name), node.name)
    elif node.kind == "angle":
        _angle(context, node)
    elif node.kind in _ARITHMETIC:
        _arithmetic(context, node)
    else:
        _by_parts(context, node, of_reals)


def _as_float32(x: Var) -> Var:
    return mb.cast(x=x, dtype="fp32") if types.builtin_to_string(x.dtype) != "fp32" else x


def _of_real(x: Var) -> Pair:
    if x.val is not None:
        return Pair(x, mb.const(val=np.zeros_like(x.val)))
    # Not x times 0, which is NaN where x is infinite.
    is_nan = mb.not_equal(x=x, y=x)
    return Pair(x, mb.cast(x=mb.logical_and(x=is_nan, y=mb.logical_not(x=is_nan)), dtype="fp32"))


def _by_parts(context: Any, node: Any, of_reals: Callable[[Any, Any], None]) -> None:
    if node.kind in ("cat", "stack") and not all(isinstance(_value(context, name), Pair) for name in _names(node.inputs)):
        raise NotImplementedError("complex numbers can be joined only with complex numbers")
    made = []
    for index, part in enumerate(("real", "imaginary")):
        call = copy.copy(node)
        call.name = f"{node.name}_{part}"
        call.outputs = [call.name]
        call.meta = {**node.meta, "val": getattr(node.meta["val"], ("real", "imag")[index])}

        def renamed(values: Any, index: int = index, part: str = part) -> Any:
            names = []
            for value in values:
                if isinstance(value, (list, tuple)):
                    names.append(renamed(value))
                elif isinstance(known := _value(context, value), Pair):
                    names.append(f"{value}_{part}")
                    context.add(known[index], torch_name=names[-1], override=True)
                else:
                    names.append(value)
            return type(values)(names)

        call.inputs = renamed(node.inputs)
        of_reals(context, call)
        made.append(context[call.name])
    context.add(Pair(*made), node.name)


def _operand(context: Any, given: Any) -> Pair | Any:
    if isinstance(given, complex):
        return Pair(np.float32(given.real), np.float32(given.imag))
    if isinstance(given, (int, float)):
        return np.float32(given)
    value = _value(context, given)
    return value if isinstance(value, Pair) else _as_float32(value)


def _product(x: Pair, y: Pair) -> Pair:
    real = mb.sub(x=mb.mul(x=x.real, y=y.real), y=mb.mul(x=x.imaginary, y=y.imaginary))
    return Pair(real, mb.add(x=mb.mul(x=x.real, y=y.imaginary), y=mb.mul(x=x.imaginary, y=y.real)))


def _arithmetic(context: Any, node: Any) -> None:
    if node.kwinputs:
        raise NotImplementedError("complex numbers can be added only without alpha")
    x, y = (_operand(context, given) for given in node.inputs[:2])
    both = isinstance(x, Pair) and isinstance(y, Pair)
    if node.kind in ("add", "sub"):
        op = mb.add if node.kind == "add" else mb.sub
        if not both:
            raise NotImplementedError("a complex number can be added to another complex number, but not to a real one")
        result = Pair(op(x=x.real, y=y.real), op(x=x.imaginary, y=y.imaginary))
    elif node.kind == "mul":
        if both:
            result = _product(x, y)
        else:
            pair, factor = (x, y) if isinstance(x, Pair) else (y, x)
            result = Pair(mb.mul(x=pair.real, y=factor), mb.mul(x=pair.imaginary, y=factor))
    elif isinstance(y, Pair):
        raise NotImplementedError("a complex number can be divided only by a real one")
    else:
        result = Pair(mb.real_div(x=x.real, y=y), mb.real_div(x=x.imaginary, y=y))
    context.add(result, node.name)


def _magnitude(x: Pair, name: str) -> Var:
    """By way of the larger part, whose square may leave float16."""
    one, other = mb.abs(x=x.real), mb.abs(x=x.imaginary)
    larger, smaller = mb.maximum(x=one, y=other), mb.minimum(x=one, y=other)
    is_origin = mb.equal(x=larger, y=np.float32(0))
    ratio = mb.real_div(x=smaller, y=mb.select(cond=is_origin, a=mb.add(x=larger, y=np.float32(1)), b=larger))
    return mb.mul(x=larger, y=mb.sqrt(x=mb.add(x=mb.mul(x=ratio, y=ratio), y=np.float32(1))), name=name)


def _angle(context: Any, node: Any) -> None:
    from executorch_coreml.compiler.corrections_arithmetic import atan2

    x = context[node.inputs[0]]
    call = copy.copy(node)
    call.kind = "atan2"
    call.inputs = [f"{node.name}_imaginary", f"{node.name}_real"]
    context.add(x.imaginary, torch_name=call.inputs[0])
    context.add(x.real, torch_name=call.inputs[1])
    atan2(context, call)


_own = functools.partial(correction, reason="coremltools has no conversion of what torch.export makes of complex numbers")


@_own("view_as_real", "view_as_real_copy")
def view_as_real(context: Any, node: Any) -> None:
    x = context[node.inputs[0]]
    context.add(mb.stack(values=[x.real, x.imaginary], axis=x.real.rank, name=node.name))


@_own("view_as_complex", "view_as_complex_copy")
def view_as_complex(context: Any, node: Any) -> None:
    (x,) = arguments(context, node, "self")
    parts = [mb.gather(x=x, indices=np.int32(index), axis=x.rank - 1) for index in (0, 1)]
    context.add(Pair(*parts), node.name)


@_own("complex")
def complex_(context: Any, node: Any) -> None:
    real, imaginary = arguments(context, node, "real", "imag")
    context.add(Pair(real, imaginary), node.name)


@_own("polar")
def polar(context: Any, node: Any) -> None:
    radius, angle = (as_float(x) for x in arguments(context, node, "abs", "angle"))
    context.add(Pair(mb.mul(x=radius, y=mb.cos(x=angle)), mb.mul(x=radius, y=mb.sin(x=angle))), node.name)


@_own("_conj", "_conj_copy", "_conj_physical", "conj_physical")
def conjugate(context: Any, node: Any) -> None:
    x = context[node.inputs[0]]
    context.add(Pair(x.real, mb.mul(x=x.imaginary, y=np.float32(-1))), node.name)


@_own("angle")
def angle(context: Any, node: Any) -> None:
    raise NotImplementedError("the angle of real numbers is 0 or pi")


def _waves(count: int, extent: int, *, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of the first `count` frequencies of a transform of an extent: [frequency, element]."""
    turns = np.outer(np.arange(count), np.arange(extent)) % extent / extent
    angles = 2 * np.pi * turns * (1 if inverse else -1)
    return np.cos(angles), np.sin(angles)


def _scale(normalization: int, extents: list[int]) -> float:
    """torch's fft_norm_mode: nothing, by the root of the number of elements, by the number."""
    return float(np.prod(extents)) ** {0: 0.0, 1: -0.5, 2: -1.0}[normalization]


def _along(x: Var, axis: int, matrix: np.ndarray) -> Var:
    """The product of a matrix [after, before] with each vector of a dimension."""
    weight = np.ascontiguousarray(matrix.T.astype(np.float32))
    if x.rank == 1:
        return mb.squeeze(x=mb.matmul(x=mb.expand_dims(x=x, axes=[0]), y=weight), axes=[0])
    if axis == x.rank - 1:
        return mb.matmul(x=x, y=weight)
    order = [*(a for a in range(x.rank) if a != axis), axis]
    product = mb.matmul(x=mb.transpose(x=x, perm=order), y=weight)
    return mb.transpose(x=product, perm=[order.index(a) for a in range(x.rank)])


def _transformed(x: Pair, axis: int, scale: float, *, inverse: bool) -> Pair:
    extent = int(x.real.shape[axis])
    cos, sin = (wave * scale for wave in _waves(extent, extent, inverse=inverse))
    real = mb.sub(x=_along(x.real, axis, cos), y=_along(x.imaginary, axis, sin))
    return Pair(real, mb.add(x=_along(x.real, axis, sin), y=_along(x.imaginary, axis, cos)))


def _axes(x: Var, dim: Any) -> list[int]:
    axes = [int(d.val if isinstance(d, Var) else d) % x.rank for d in np.ravel(dim.val if isinstance(dim, Var) else dim)]
    if any(not isinstance(x.shape[axis], (int, np.integer)) for axis in axes):
        raise NotImplementedError("a Fourier transform needs fixed extents")
    return axes


@_own("_fft_r2c")
def real_to_complex(context: Any, node: Any) -> None:
    """_fft_r2c(self, dim, normalization, onesided)."""
    x, dim, normalization, onesided = arguments(context, node, "self", "dim", "normalization", "onesided")
    axes = _axes(x, dim)
    scale = _scale(int(constant(normalization, 0)), [int(x.shape[axis]) for axis in axes])
    extent = int(x.shape[axes[-1]])
    cos, sin = _waves(extent // 2 + 1 if constant(onesided, True) else extent, extent, inverse=False)
    result = Pair(_along(x, axes[-1], cos * scale), _along(x, axes[-1], sin * scale))
    for axis in reversed(axes[:-1]):
        result = _transformed(result, axis, 1.0, inverse=False)
    context.add(result, node.name)


def _arguments_of_pair(context: Any, node: Any, *names: str) -> list[Any]:
    """The arguments behind the first, which is a pair."""
    call = copy.copy(node)
    call.inputs = list(node.inputs[1:])
    return arguments(context, call, *names)


@_own("_fft_c2c")
def complex_to_complex(context: Any, node: Any) -> None:
    """_fft_c2c(self, dim, normalization, forward)."""
    x: Pair = context[node.inputs[0]]
    dim, normalization, forward = _arguments_of_pair(context, node, "dim", "normalization", "forward")
    axes = _axes(x.real, dim)
    scale = _scale(int(constant(normalization, 0)), [int(x.real.shape[axis]) for axis in axes])
    for axis in axes:
        x = _transformed(x, axis, scale, inverse=not constant(forward, True))
        scale = 1.0
    context.add(x, node.name)


@_own("_fft_c2r")
def complex_to_real(context: Any, node: Any) -> None:
    """_fft_c2r(self, dim, normalization, last_dim_size): frequencies behind the middle are the conjugates of those before it."""
    x: Pair = context[node.inputs[0]]
    dim, normalization, last = _arguments_of_pair(context, node, "dim", "normalization", "last_dim_size")
    axes, extent = _axes(x.real, dim), int(constant(last, 0))
    scale = _scale(int(constant(normalization, 0)), [*(int(x.real.shape[axis]) for axis in axes[:-1]), extent])
    for axis in axes[:-1]:
        x = _transformed(x, axis, 1.0, inverse=True)
    count = int(x.real.shape[axes[-1]])
    if count != extent // 2 + 1:
        raise NotImplementedError("the Fourier transform must have as many frequencies as its result needs")
    cos, sin = _waves(count, extent, inverse=True)
    times = np.full((count, 1), 2.0)
    times[0] = 1.0
    if extent % 2 == 0:
        times[-1] = 1.0
    real = _along(x.real, axes[-1], (cos * times * scale).T)
    context.add(mb.sub(x=real, y=_along(x.imaginary, axes[-1], (sin * times * scale).T), name=node.name))
