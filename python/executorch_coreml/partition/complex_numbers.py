"""Complex numbers as pairs of real ones: Fourier transforms as constant matrices, and what is done between them.

Neither Core ML nor ExecuTorch's kernels have complex numbers, and ExecuTorch refuses a program that computes with them. In the program that is
made of it a complex value is two real ones of the same shape. What only rearranges or adds is done to each part; the rest has a function here.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from executorch.backends.transforms.utils import create_constant_placeholder
from torch._guards import detect_fake_mode
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind
from torch.fx.experimental.symbolic_shapes import statically_known_true

from executorch_coreml.partition import composites
from executorch_coreml.partition.node_view import graph_modules

aten = torch.ops.aten
Node = torch.fx.Node


class Pair(NamedTuple):
    """A complex value: its real and its imaginary part, nodes of the same shape and dtype."""

    real: Node
    imaginary: Node


class _NotTakenApart(Exception):
    """There is no form of a call in real numbers."""


# The dtype of the parts.
_REAL = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}


def _is_complex(value: Any) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(tensor, torch.Tensor) and tensor.is_complex() for tensor in values)


def _add_constant(program: ExportedProgram, name: str, data: torch.Tensor) -> Node:
    """A placeholder before those of the inputs; the one that there is already, where there is one of the name."""
    inputs = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT}
    behind = next(node for node in program.graph.nodes if node.op != "placeholder" or node.name in inputs)
    with program.graph.inserting_before(behind):
        return create_constant_placeholder(program, program.graph, name, InputKind.CONSTANT_TENSOR, data)


class _Writer:
    """Puts calls of real numbers before a call of complex ones, as parts of it."""

    def __init__(self, program: ExportedProgram, node: Node) -> None:
        self._program, self._node = program, node
        self._mode = detect_fake_mode([other.meta.get("val") for other in program.graph.nodes])

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Node:
        graph = self._program.graph
        with graph.inserting_before(self._node):
            made = graph.call_function(target, args, kwargs)
        made.meta = {name: value for name, value in self._node.meta.items() if name not in ("val", "tensor_meta")}
        values = torch.fx.node.map_arg((args, kwargs), lambda source: source.meta["val"])
        with self._mode or contextlib.nullcontext():
            made.meta["val"] = target(*values[0], **values[1])
        return made

    def constant(self, array: np.ndarray, dtype: torch.dtype) -> Node:
        """A tensor that the program has beside its own; one for all that are equal."""
        array = np.ascontiguousarray(array)
        name = hashlib.sha256(f"{array.shape} {dtype}".encode() + array.tobytes()).hexdigest()[:16]
        return _add_constant(self._program, f"constant_{name}", torch.from_numpy(array).to(dtype))

    # Arithmetic of nodes and numbers.
    def add(self, x: Any, y: Any) -> Node:
        return self.call(aten.add.Tensor, x, y)

    def sub(self, x: Any, y: Any) -> Node:
        return self.call(aten.sub.Tensor, x, y)

    def mul(self, x: Any, y: Any) -> Node:
        return self.call(aten.mul.Tensor, x, y)

    def div(self, x: Any, y: Any) -> Node:
        return self.call(aten.div.Tensor, x, y)

    def neg(self, x: Node) -> Node:
        return self.call(aten.neg.default, x)

    def pair(self, given: Any) -> Pair:
        """An argument as a complex value of the dtype of the call's result."""
        if isinstance(given, Pair):
            return given
        result = self._node.meta["val"]
        dtype = _REAL.get(result.dtype, result.dtype)
        if isinstance(given, Node):
            real = given if given.meta["val"].dtype == dtype else self.call(aten._to_copy.default, given, dtype=dtype)
            return Pair(real, self.call(aten.zeros_like.default, real))
        number = complex(given)
        return Pair(*(self.call(aten.full.default, [], part, dtype=dtype) for part in (number.real, number.imag)))


Arguments = tuple[Any, ...]
_Function = Callable[[_Writer, Node, Arguments, dict[str, Any]], Any]

_FUNCTIONS: dict[str, _Function] = {}


def _of(*names: str) -> Callable[[_Function], _Function]:
    def add(function: _Function) -> _Function:
        _FUNCTIONS.update(dict.fromkeys(names, function))
        return function

    return add


# Of one complex value: done to each part alone.
@_of(
    *(
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
        "expand",
        "slice",
        "select",
        "getitem",
    ),
    *("flip", "roll", "repeat", "clone", "alias", "detach", "neg", "index_select", "index", "gather", "sum", "mean", "cumsum"),
    *("unfold", "split", "split_with_sizes", "unbind", "tril", "triu", "diagonal", "lift_fresh_copy"),
)
def _by_parts(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair | Node:
    if node.target is aten.view.dtype and not _is_complex(node.meta["val"]):  # The parts of each number beside each other.
        return writer.call(aten.flatten.using_ints, _view_as_real(writer, node, args, {}), -2)
    if any(isinstance(argument, torch.dtype) for argument in (*args, *kwargs.values())):
        raise _NotTakenApart
    return Pair(*(writer.call(node.target, *_parts(args, index), **_parts(kwargs, index)) for index in (0, 1)))  # type: ignore[arg-type]


def _parts(given: Any, index: int) -> Any:
    """Arguments with one part of each complex one."""
    if isinstance(given, Pair):
        return given[index]
    if isinstance(given, (list, tuple)):
        return type(given)(_parts(value, index) for value in given)
    return {name: _parts(value, index) for name, value in given.items()} if isinstance(given, dict) else given


@_of("cat", "stack")
def _joined(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair | Node:
    tensors, *rest = args
    return _by_parts(writer, node, ([writer.pair(value) for value in tensors], *rest), kwargs)


@_of("slice_scatter", "select_scatter", "diagonal_scatter")
def _scattered(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair | Node:
    x, source, *rest = args
    return _by_parts(writer, node, (writer.pair(x), writer.pair(source), *rest), kwargs)


@_of("index_put")
def _index_put(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair | Node:
    x, indices, values, *rest = args
    return _by_parts(writer, node, (writer.pair(x), indices, writer.pair(values), *rest), kwargs)


@_of("constant_pad_nd")
def _pad(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    x, amounts, *value = args
    number = complex(value[0]) if value else 0j
    parts = (number.real, number.imag)
    return Pair(*(writer.call(aten.constant_pad_nd.default, part, amounts, fill) for part, fill in zip(x, parts, strict=True)))


@_of("where")
def _where(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    condition, *values = args
    a, b = (writer.pair(value) for value in values)
    return Pair(*(writer.call(aten.where.self, condition, a[index], b[index]) for index in (0, 1)))


@_of("masked_fill")
def _masked_fill(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    x, mask, value = args
    return _where(writer, node, (mask, value, x), {})


@_of("eq", "ne")
def _compared(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Node:
    if not all(isinstance(value, Pair) for value in args):
        raise _NotTakenApart
    same = [writer.call(aten.eq.Tensor, one, other) for one, other in zip(*args, strict=True)]
    is_same = writer.call(aten.logical_and.default, *same)
    return is_same if node.target is aten.eq.Tensor else writer.call(aten.logical_not.default, is_same)


@_of("isnan", "isinf")
def _is_special(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Node:
    return writer.call(aten.logical_or.default, *(writer.call(node.target, part) for part in args[0]))  # type: ignore[arg-type]


@_of("zeros_like", "ones_like", "full_like")
def _filled_like(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    x, *value = args
    number = complex(value[0] if value else node.target is aten.ones_like.default)
    if not isinstance(x, Pair) or kwargs.get("dtype", node.meta["val"].dtype) != node.meta["val"].dtype:
        raise _NotTakenApart
    return Pair(*(writer.call(aten.full_like.default, x.real, part) for part in (number.real, number.imag)))


@_of("add", "sub")
def _sum(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    x, y = _operands(writer, args)
    alpha = kwargs.get("alpha", 1)
    if isinstance(alpha, complex):
        raise _NotTakenApart
    y = y if alpha == 1 else Pair(*(writer.mul(part, alpha) for part in y))
    op = writer.add if node.target.name().startswith("aten::add") else writer.sub  # type: ignore[union-attr]
    return Pair(op(x.real, y.real), op(x.imaginary, y.imaginary))


def _operands(writer: _Writer, args: Arguments) -> tuple[Pair, Pair]:
    x, y = (writer.pair(value) for value in args[:2])
    return x, y


def _is_real(value: Any) -> bool:
    return not isinstance(value, Pair) and not isinstance(value, complex)


def _product(writer: _Writer, x: Pair, y: Pair, multiply: Callable[[Node, Node], Node]) -> Pair:
    real = writer.sub(multiply(x.real, y.real), multiply(x.imaginary, y.imaginary))
    return Pair(real, writer.add(multiply(x.real, y.imaginary), multiply(x.imaginary, y.real)))


@_of("rsub")
def _difference(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    if kwargs or len(args) > 2:
        raise _NotTakenApart
    x, y = _operands(writer, args)
    return Pair(writer.sub(y.real, x.real), writer.sub(y.imaginary, x.imaginary))


@_of("mul")
def _mul(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    x, y = args
    for pair, factor in ((x, y), (y, x)):
        if isinstance(pair, Pair) and _is_real(factor):
            return Pair(writer.mul(pair.real, factor), writer.mul(pair.imaginary, factor))
    return _product(writer, *_operands(writer, args), writer.mul)


# Exponents up to which a power is a product.
_MOST_FACTORS = 8


@_of("pow")
def _power(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    x, exponent = args
    if not isinstance(x, Pair) or exponent not in range(1, _MOST_FACTORS + 1):
        raise _NotTakenApart
    result = x
    for _ in range(int(exponent) - 1):
        result = _product(writer, result, x, writer.mul)
    return result


@_of("mm", "bmm")
def _matrix_product(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    return _product(writer, *_operands(writer, args), lambda a, b: writer.call(node.target, a, b))  # type: ignore[arg-type]


@_of("addmm", "baddbmm")
def _sum_and_product(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    if kwargs or len(args) > 3:
        raise _NotTakenApart
    x, a, b = (writer.pair(value) for value in args)
    multiply = aten.mm.default if node.target is aten.addmm.default else aten.bmm.default
    product = _product(writer, a, b, lambda a, b: writer.call(multiply, a, b))
    return Pair(writer.add(x.real, product.real), writer.add(x.imaginary, product.imaginary))


@_of("div")
def _div(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    if kwargs:
        raise _NotTakenApart
    x, y = args
    if isinstance(x, Pair) and _is_real(y):
        return Pair(writer.div(x.real, y), writer.div(x.imaginary, y))
    return _quotient(writer, *_operands(writer, args))


def _quotient(writer: _Writer, x: Pair, y: Pair) -> Pair:
    """By way of the divisor's larger part, whose square may be infinite."""
    larger, _ = _scales(writer, y)
    scaled = Pair(writer.div(y.real, larger), writer.div(y.imaginary, larger))
    square = writer.add(writer.mul(scaled.real, scaled.real), writer.mul(scaled.imaginary, scaled.imaginary))
    inverse = Pair(writer.div(scaled.real, square), writer.neg(writer.div(scaled.imaginary, square)))
    product = _product(writer, x, inverse, writer.mul)
    return Pair(writer.div(product.real, larger), writer.div(product.imaginary, larger))


@_of("reciprocal")
def _reciprocal(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    (x,) = args
    return _quotient(writer, writer.pair(1), x)


def _scales(writer: _Writer, x: Pair) -> tuple[Node, Node]:
    """The larger and the smaller magnitude of the parts."""
    one, other = (writer.call(aten.abs.default, part) for part in x)
    return writer.call(aten.maximum.default, one, other), writer.call(aten.minimum.default, one, other)


@_of("abs")
def _abs(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Node:
    """By way of the larger part, whose square may leave the dtype."""
    larger, smaller = _scales(writer, args[0])
    is_origin = writer.call(aten.eq.Scalar, larger, 0)
    ratio = writer.div(smaller, writer.call(aten.masked_fill.Scalar, larger, is_origin, 1.0))
    root = writer.call(aten.sqrt.default, writer.add(writer.mul(ratio, ratio), 1.0))
    return writer.mul(larger, root)


@_of("linalg_vector_norm")
def _norm(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Node:
    return writer.call(node.target, _abs(writer, node, args[:1], {}), *args[1:], **kwargs)  # type: ignore[arg-type]


@_of("log")
def _log(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    return Pair(writer.call(aten.log.default, _abs(writer, node, args, {})), _angle(writer, node, args, {}))


@_of("sqrt")
def _root(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    radius = writer.call(aten.sqrt.default, _abs(writer, node, args, {}))
    return _from_polar(writer, radius, writer.mul(_angle(writer, node, args, {}), 0.5))


@_of("angle")
def _angle(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Node:
    return writer.call(aten.atan2.default, args[0].imaginary, args[0].real)


@_of("_conj", "_conj_physical", "conj_physical")
def _conjugate(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    return Pair(args[0].real, writer.neg(args[0].imaginary))


@_of("exp")
def _exp(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    (x,) = args
    return _from_polar(writer, writer.call(aten.exp.default, x.real), x.imaginary)


@_of("polar")
def _polar(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    return _from_polar(writer, *args)


def _from_polar(writer: _Writer, radius: Node, angle: Node) -> Pair:
    return Pair(*(writer.mul(radius, writer.call(wave, angle)) for wave in (aten.cos.default, aten.sin.default)))


@_of("complex")
def _complex(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    shape = node.meta["val"].shape
    return Pair(*(part if part.meta["val"].shape == shape else writer.call(aten.expand.default, part, shape) for part in args))


@_of("view_as_complex")
def _view_as_complex(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    return Pair(*(writer.call(aten.select.int, args[0], -1, index) for index in (0, 1)))


@_of("view_as_real")
def _view_as_real(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Node:
    return writer.call(aten.stack.default, list(args[0]), -1)


@_of("_to_copy")
def _to_copy(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair | Node:
    dtype = node.meta["val"].dtype
    real = _REAL.get(dtype, dtype)
    parts = args[0] if isinstance(args[0], Pair) else (args[0],)
    cast = [part if part.meta["val"].dtype == real else writer.call(aten._to_copy.default, part, dtype=real) for part in parts]
    if not dtype.is_complex:
        return cast[0]
    return Pair(*cast) if len(cast) == 2 else writer.pair(cast[0])


def _waves(count: int, extent: int, *, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of the first `count` frequencies of a transform of an extent: [frequency, element]."""
    turns = np.outer(np.arange(count), np.arange(extent)) % extent / extent
    angles = 2 * np.pi * turns * (1 if inverse else -1)
    return np.cos(angles), np.sin(angles)


def _scale(normalization: int, extents: Sequence[int]) -> float:
    """torch's fft_norm_mode: nothing, by the root of the number of elements, by the number."""
    return float(math.prod(extents)) ** {0: 0.0, 1: -0.5, 2: -1.0}[normalization]


def _along(writer: _Writer, x: Node, axis: int, matrix: np.ndarray) -> Node:
    """The product of a matrix [after, before] with each vector of a dimension."""
    value = x.meta["val"]
    weight = writer.constant(matrix.T, value.dtype)
    last = value.dim() - 1
    moved = x if axis == last else writer.call(aten.transpose.int, x, axis, last)
    moved = writer.call(aten.unsqueeze.default, moved, 0) if last == 0 else moved
    product = writer.call(aten.matmul.default, moved, weight)
    product = writer.call(aten.squeeze.dim, product, 0) if last == 0 else product
    return product if axis == last else writer.call(aten.transpose.int, product, axis, last)


def _transformed(writer: _Writer, x: Pair, axis: int, scale: float, *, inverse: bool) -> Pair:
    extent = int(x.real.meta["val"].shape[axis])
    cos, sin = (wave * scale for wave in _waves(extent, extent, inverse=inverse))
    real = writer.sub(_along(writer, x.real, axis, cos), _along(writer, x.imaginary, axis, sin))
    return Pair(real, writer.add(_along(writer, x.real, axis, sin), _along(writer, x.imaginary, axis, cos)))


def _axes(x: Node, dims: Sequence[int]) -> tuple[list[int], list[int]]:
    """The dimensions of a transform, counted from the first, and their extents, which must be fixed."""
    axes = [dim % x.meta["val"].dim() for dim in dims]
    extents = [x.meta["val"].shape[axis] for axis in axes]
    if not all(isinstance(extent, int) for extent in extents):
        raise _NotTakenApart
    return axes, extents


@_of("_fft_r2c")
def _real_to_complex(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    """_fft_r2c(self, dim, normalization, onesided)."""
    x, dims, normalization, onesided = args
    axes, extents = _axes(x, dims)
    scale = _scale(normalization, extents)
    cos, sin = _waves(extents[-1] // 2 + 1 if onesided else extents[-1], extents[-1], inverse=False)
    result = Pair(*(_along(writer, x, axes[-1], wave * scale) for wave in (cos, sin)))
    for axis in reversed(axes[:-1]):
        result = _transformed(writer, result, axis, 1.0, inverse=False)
    return result


@_of("_fft_c2c")
def _complex_to_complex(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Pair:
    """_fft_c2c(self, dim, normalization, forward)."""
    x, dims, normalization, forward = args
    axes, extents = _axes(x.real, dims)
    scale = _scale(normalization, extents)
    for axis in axes:
        x, scale = _transformed(writer, x, axis, scale, inverse=not forward), 1.0
    return x


@_of("_fft_c2r")
def _complex_to_real(writer: _Writer, node: Node, args: Arguments, kwargs: dict[str, Any]) -> Node:
    """_fft_c2r(self, dim, normalization, last_dim_size): frequencies behind the middle are the conjugates of those before it."""
    x, dims, normalization, last = args
    axes, extents = _axes(x.real, dims)
    scale = _scale(normalization, [*extents[:-1], last])
    for axis in axes[:-1]:
        x = _transformed(writer, x, axis, 1.0, inverse=True)
    count = extents[-1]
    if not isinstance(last, int) or count != last // 2 + 1:
        raise _NotTakenApart
    cos, sin = _waves(count, last, inverse=True)
    times = np.full((count, 1), 2.0)
    times[0] = 1.0
    if last % 2 == 0:
        times[-1] = 1.0
    real = _along(writer, x.real, axes[-1], (cos * times * scale).T)
    return writer.sub(real, _along(writer, x.imaginary, axes[-1], (sin * times * scale).T))


def _constant_parts(program: ExportedProgram, node: Node) -> Pair:
    """A complex weight, buffer or constant as two constants. Raises _NotTakenApart for an input, and for a buffer that is written to."""
    signature = program.graph_signature
    (spec,) = (spec for spec in signature.input_specs if getattr(spec.arg, "name", None) == node.name)
    written = {*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()}
    if spec.kind == InputKind.USER_INPUT or spec.target is None or spec.target in written:
        raise _NotTakenApart
    data = program.state_dict.get(spec.target, program.constants.get(spec.target))
    if not isinstance(data, torch.Tensor):
        raise _NotTakenApart
    parts = (("real", data.real), ("imaginary", data.imag))
    return Pair(*(_add_constant(program, f"{node.name}_{part}", tensor.detach().contiguous()) for part, tensor in parts))


def _name(target: Any) -> str:
    """The name under which a function is here."""
    if target is operator.getitem:
        return "getitem"
    return target._schema.name.removeprefix("aten::") if isinstance(target, torch._ops.OpOverload) else ""


def _is_value_of(made: Pair | Node, value: Any) -> bool:
    """Whether what was made of a call has the shapes and dtypes of its result."""
    parts = made if isinstance(made, Pair) else (made,)
    wanted = value if isinstance(value, (list, tuple)) else [value]
    if len(parts) != (2 if _is_complex(value) else 1):
        return False
    for part in parts:
        found = part.meta["val"]
        found = found if isinstance(found, (list, tuple)) else [found]
        if not all(_agree(a, b) for a, b in zip(found, wanted, strict=True)):
            return False
    return True


def _agree(part: torch.Tensor, value: torch.Tensor) -> bool:
    if part.dtype != _REAL.get(value.dtype, value.dtype) or part.dim() != value.dim():
        return False
    return not any(statically_known_true(a != b) for a, b in zip(part.shape, value.shape, strict=True))


def _replace(program: ExportedProgram) -> None:
    """Replaces all calls of a program that read or make complex values. Raises _NotTakenApart, and leaves it half done."""
    graph = program.graph
    pairs: dict[Node, Pair] = {}
    replaced: list[Node] = []
    for node in list(graph.nodes):
        makes = _is_complex(node.meta.get("val"))
        if node.op == "placeholder":
            if makes and node.users:
                pairs[node] = _constant_parts(program, node)
                replaced.append(node)
        elif makes or not pairs.keys().isdisjoint(node.all_input_nodes):
            function = _FUNCTIONS.get(_name(node.target))
            if function is None:
                raise _NotTakenApart
            args, kwargs = torch.fx.node.map_aggregate((node.args, node.kwargs), lambda leaf: pairs.get(leaf, leaf))  # type: ignore[arg-type]
            made = function(_Writer(program, node), node, args, kwargs)
            if not _is_value_of(made, node.meta["val"]):
                raise _NotTakenApart
            replaced.append(node)
            if isinstance(made, Pair):
                pairs[node] = made
            else:
                node.replace_all_uses_with(made)
    for node in reversed(replaced):
        graph.erase_node(node)
    _forget_constants(program, {node.name for node in replaced if node.op == "placeholder"})
    graph.lint()
    program.graph_module.recompile()


def _forget_constants(program: ExportedProgram, names: set[str]) -> None:
    """Removes the inputs of a program that were placeholders of these names."""
    before = program.graph_signature
    kept = [spec for spec in before.input_specs if getattr(spec.arg, "name", None) not in names]
    program._graph_signature = ExportGraphSignature(kept, before.output_specs)
    still_read = {spec.target for spec in kept}
    for spec in before.input_specs:
        if getattr(spec.arg, "name", None) in names and spec.target not in still_read:
            program.state_dict.pop(spec.target, None)
            program.constants.pop(spec.target, None)


def _involves_complex(node: Node) -> bool:
    return any(_is_complex(value.meta.get("val")) for value in (node, *node.all_input_nodes))


def in_real_numbers(program: ExportedProgram) -> ExportedProgram:
    """An ATen program without complex values, where all of them are taken apart; else the program as it was given.

    Inputs, results and buffers that are written to stay complex, and so does the whole program that has one.
    """
    if not any(_is_complex(node.meta.get("val")) for module in graph_modules(program) for node in module.graph.nodes):
        return program
    made = program.run_decompositions({})
    # A composite op may consist of others.
    while table := {
        node.target: composites.decomposition(node.target)
        for node in made.graph.nodes
        if composites.is_composite(node.target) and _involves_complex(node)
    }:
        made = made.run_decompositions(table)
    # The tables may be those of the program that was given.
    made._state_dict, made._constants = dict(made.state_dict), dict(made.constants)
    try:
        _replace(made)
    except _NotTakenApart:
        return program
    return made
