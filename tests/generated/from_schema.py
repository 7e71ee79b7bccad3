"""Calls drawn from the schemas of torch's own aten ops: every overload that is a function of tensors, its arguments by type and name."""

from __future__ import annotations

import functools
from typing import Any

import torch
from drawing import Draw, Unfit

# Not functions of their arguments' values, or not for users.
_LEFT_OUT_TEXT = """
    backward rand bernoulli normal multinomial poisson dropout empty resize as_strided set_ nested sparse quantize fake_quant
    cudnn miopen mkldnn _foreach _fused _assert _test _efficient _flash _cslt fft complex conj imag real angle polar item
    nonzero unique masked_select _jagged record_stream rename align refine names _weight_norm _make _sobol special_airy
    special_bessel special_modified _linalg linalg_ _cufft _coalesce coalesce to_dense crow ccol col_indices row_indices
    pin_memory is_pinned lstsq ormqr geqrf lu_ svd qr cholesky inverse _use_ triangular_solve symeig istft stft _debug _sym sym_
    _dim output_nr retain_grad requires_grad _version _fw_primal _backward gru_cell rnn_ lstm_ quantized_ _thnn _ctc ctc_ _cdist
    _pdist pdist _embedding_bag embedding_bag _nnpack _shape_as _has_ _cast _local _choose _to_cpu _pack _pad_packed _validate
    lift hspmm sspaddmm _mixed_dtypes _int_mm _scaled_ _grouped _wrapped dequantize int_repr q_scale q_zero q_per _spdiags
    _convert _chunk_cat _nested _transformer _triton _native_multi _addmm_activation data detach _foobar infinitely _mps _is_
    is_ histogram histc allclose equal kaiser hann hamming blackman bartlett window logspace gcd lcm _standard_gamma _dirichlet
    binomial _sample cartesian combinations tril_indices triu_indices range trapz trapezoid cov corrcoef matrix_exp pinverse
    matrix_power det logdet slogdet view.dtype _unsafe _saturate _lazy _reshape_alias _conj _neg_view _fill_mem _spsolve
    sym_size vdot from_file _print unflatten.Dimname .Dimname .names grid_sampler_2d_cpu slow_conv thnn _slow rrelu erfinv
    igamma mvlgamma polygamma digamma lgamma zeta hypot_ nextafter frexp ldexp_ copysign_ dist. fbgemm dense_tensors
    choose_qparams nuclear chalf gradient special_psi native_batch_norm batch_norm.default gamma i0 smm kthvalue mode. nll_loss
    margin_loss quantile renorm fractional unpool ndtr log_softmax_backward resolve_ unsafe_
"""
_LEFT_OUT = _LEFT_OUT_TEXT.split()
_CORE_WEIGHT = 6


@functools.cache
def _decompositions() -> frozenset[torch._ops.OpOverload]:
    return frozenset(torch.export.default_decompositions().keys())


def _in_executorch(op: torch._ops.OpOverload) -> bool:
    """Whether ExecuTorch has the op, or takes it apart to ops that it has."""
    if op._schema.is_mutable or torch.Tag.core in op.tags or op in _decompositions():
        return True
    return bool(op.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd))


def _is_of_tensors(schema: Any) -> bool:
    kinds = [str(argument.type) for argument in schema.arguments]
    if any(other in kind for kind in kinds for other in ("Generator", "Dimname", "Stream")):
        return False
    return any("Tensor" in kind for kind in kinds) and any("Tensor" in str(made.type) for made in schema.returns)


@functools.cache
def overloads() -> tuple[list[torch._ops.OpOverload], list[int]]:
    """What is drawn from, and how often each."""
    found, weights = [], []
    for full in sorted(torch._C._dispatch_get_all_op_names()):
        namespace, _, rest = full.partition("::")
        name, _, overload = rest.partition(".")
        full = f"{name}.{overload or 'default'}"
        if namespace != "aten" or "out" in overload.split("_") or name.startswith("__") or any(part in full for part in _LEFT_OUT):
            continue
        op = getattr(getattr(torch.ops.aten, name), overload or "default")
        if (name.startswith("_") and torch.Tag.core not in op.tags) or not _in_executorch(op) or not _is_of_tensors(op._schema):
            continue
        found.append(op)
        weights.append(_CORE_WEIGHT if torch.Tag.core in op.tags else 1)
    return found, weights


def draw_call(draw: Draw) -> None:
    """Adds one call of an aten op. Raises Unfit when no arguments were found that fit."""
    ops, weights = overloads()
    (op,) = draw.rng.choices(ops, weights)
    if op._schema.is_mutable and draw.rng.random() < 0.5:
        raise Unfit
    for _ in range(6):
        try:
            with draw.attempt():
                _try(draw, op)
            return
        except Unfit:
            continue
    raise Unfit


def _try(draw: Draw, op: torch._ops.OpOverload) -> None:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    first: list[str] = []
    for argument in op._schema.arguments:
        has_default = argument.has_default_value()
        if has_default and draw.rng.random() < 0.45:
            if argument.kwarg_only:
                continue
            args.append(argument.default_value)
            continue
        if argument.name in ("layout", "device", "pin_memory", "memory_format", "non_blocking", "generator"):
            if not argument.kwarg_only and not has_default:
                raise Unfit
            continue
        value = _argument(draw, argument, first)
        if argument.kwarg_only:
            kwargs[argument.name] = value
        else:
            args.append(value)
    name = draw.emit(f"torch.ops.{op}", *args, **kwargs)
    take_apart(draw, name)


def take_apart(draw: Draw, name: str) -> None:
    """Makes the parts of a tuple or list values of their own."""
    value = draw.value(name)
    if isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            if isinstance(part, torch.Tensor) and (index == 0 or draw.rng.random() < 0.6):
                draw.emit("[]", name, index)


def another(draw: Draw, first: str) -> str:
    """An operand beside `first`: often of its shape, or one that is broadcast, of the same or another dtype."""
    rng, shape = draw.rng, draw.shape(first)
    roll = rng.random()
    if roll < 0.3:
        return draw.pick(lambda t: list(t.shape) == shape)
    if roll < 0.45:
        return draw.pick(
            lambda t: t.dim() <= len(shape) and all(a in (1, b) for a, b in zip(t.shape[::-1], shape[::-1], strict=False))
        )
    if roll < 0.5:
        return draw.pick()
    extents = [1 if rng.random() < 0.2 else extent for extent in shape[rng.choice((0, 0, 0, min(1, len(shape)), len(shape))) :]]
    if draw.example and any(extent in draw.example.values() for extent in extents):
        return draw.pick(lambda t: list(t.shape) == shape)
    return draw.leaf(draw.dtype(first) if rng.random() < 0.6 else any_dtype(draw), extents)


def any_dtype(draw: Draw) -> torch.dtype:
    made: torch.dtype = draw.rng.choices(
        (
            torch.float32,
            torch.int64,
            torch.int32,
            torch.bool,
            torch.float16,
            torch.bfloat16,
            torch.int8,
            torch.uint8,
            torch.int16,
            torch.float64,
        ),
        (40, 15, 12, 12, 7, 3, 2, 2, 2, 1),
    )[0]
    return made


def _argument(draw: Draw, argument: Any, first: list[str]) -> Any:
    rng, kind, name = draw.rng, str(argument.type), argument.name
    if kind.startswith("Optional["):
        if rng.random() < 0.5:
            return None
        kind = kind[9:-1]
    if kind == "Tensor":
        made = _tensor(draw, name, first)
        first.append(made)
        return made
    if kind == "List[Tensor]":
        made = draw.pick()
        first.append(made)
        return [made, *(another(draw, made) for _ in range(rng.choice((0, 1, 1, 2))))]
    if kind == "List[Optional[Tensor]]":
        return _indices(draw, first)
    shape = draw.shape(first[0]) if first else [3, 4]
    rank = len(shape)
    if name == "dtype":
        return any_dtype(draw) if rng.random() < 0.6 else torch.float32
    if kind == "int":
        if "dim" in name or name in ("axis", "start_dim", "end_dim"):
            return rng.randrange(-rank, rank) if rank else 0
        return rng.choice((0, 1, 1, 1, 2, 2, 3, -1, 4))
    if kind == "List[int]":
        return _list_of_integers(draw, name, shape, argument.N)
    if kind == "number":
        return draw.number(draw.dtype(first[0]) if first and rng.random() < 0.7 else torch.float32)
    if kind == "float":
        return rng.choice((0.1, 0.5, 1.0, 2.0, 1e-5, 0.7))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "List[float]":
        return [rng.choice((0.5, 0.7, 1.5, 2.0)) for _ in range(max(rank - 2, 1))]
    if kind == "str":
        if name == "rounding_mode":
            return rng.choice(("floor", "trunc"))
        if name == "approximate":
            return rng.choice(("none", "tanh"))
        if name == "reduce":
            return rng.choice(("sum", "prod", "mean", "amax", "amin"))
        return rng.choice(("constant", "reflect", "replicate", "circular"))
    raise Unfit


def _list_of_integers(draw: Draw, name: str, shape: list[int], length: int | None) -> list[Any]:
    rng, rank = draw.rng, len(shape)
    if "dim" in name or name == "axis":
        if name == "dims" and rng.random() < 0.5:
            dims = list(range(rank))
            rng.shuffle(dims)
            return dims
        return rng.sample(range(-rank, 0) if rng.random() < 0.5 else range(rank), rng.randrange(rank + 1)) if rank else []
    if name in ("size", "shape", "output_size") and rank:
        if name == "output_size":
            return [rng.choice((1, 2, 3, 5)) for _ in range(rng.choice((1, 2)))]
        return rng.choice((shape, [-1], [shape[0], -1], [*shape[:-1], -1, 1], [1, *shape], [2, *shape], [-1, shape[-1]]))
    if name in ("pad", "padding") and length is None:
        return [rng.choice((0, 0, 1, 1, 2, 3, -1)) for _ in range(2 * rng.randrange(1, rank + 1))] if rank else []
    if name == "split_sizes" and rank:
        return [1, shape[0] - 1]
    if name in ("repeats", "shifts"):
        return [rng.choice((1, 1, 2, 3)) for _ in range(rank + rng.choice((0, 0, 1)))]
    count = rng.choice((1, length, length)) if length else rng.randrange(1, rank + 2)
    low = 0 if "padding" in name else 1
    return [rng.choice((low, 1, 1, 2, 3)) for _ in range(count)]


def _tensor(draw: Draw, name: str, first: list[str]) -> str:
    rng = draw.rng
    if name in ("index", "indices") and first:
        shape = draw.shape(first[0])
        if not shape or min(shape) == 0:
            raise Unfit
        wanted = rng.choice((shape, [rng.choice((1, 2, 3))], [max(1, extent - 1) for extent in shape]))
        return draw.leaf(rng.choice((torch.int64, torch.int64, torch.int32)), wanted, low=0, high=min(shape))
    if name in ("condition", "mask"):
        if first:
            shape = [1 if rng.random() < 0.2 else extent for extent in draw.shape(first[0])]
            if rng.random() < 0.5:
                return draw.pick(lambda t: t.dtype is torch.bool and list(t.shape) == shape)
            return draw.leaf(torch.bool, shape)
        return draw.pick(lambda t: t.dtype is torch.bool)
    if not first:
        return draw.pick()
    if name in ("weight", "running_mean", "running_var", "bias") and rng.random() < 0.8:
        shape = draw.shape(first[0])
        channels = shape[1] if len(shape) > 1 else 1
        if name == "weight" and len(shape) >= 3 and rng.random() < 0.7:
            return draw.constant(
                torch.float32, [rng.choice((1, 2, 4)), channels, *(rng.choice((1, 2, 3)) for _ in shape[2:])], scale=0.3
            )
        if name == "bias" and len(first) > 1:
            return draw.constant(torch.float32, [draw.shape(first[1])[0]] if draw.shape(first[1]) else [1], scale=0.3)
        return draw.constant(torch.float32, [rng.choice((channels, shape[-1] if shape else 1))], scale=0.3)
    if name in ("mat2", "batch2") or (name == "other" and rng.random() < 0.1):
        shape = draw.shape(first[-1])
        if len(shape) < 2:
            raise Unfit
        return draw.leaf(draw.dtype(first[-1]), [*shape[:-2], shape[-1], rng.choice((1, 2, 3, 4))])
    return another(draw, first[0])


def _indices(draw: Draw, first: list[str]) -> list[Any]:
    rng, shape = draw.rng, draw.shape(first[0])
    if not shape or 0 in shape:
        raise Unfit
    if rng.random() < 0.15:
        return [draw.leaf(torch.bool, [shape[0]])]
    extents = rng.choice(([], [1], [2], [3], [2, 2]))
    made: list[Any] = []
    for extent in shape[: rng.randrange(1, len(shape) + 1)]:
        skip = rng.random() < 0.3
        low = -extent if rng.random() < 0.3 else 0
        made.append(None if skip else draw.leaf(rng.choice((torch.int64, torch.int64, torch.int32)), extents, low=low, high=extent))
    if not any(made):
        raise Unfit
    return made
