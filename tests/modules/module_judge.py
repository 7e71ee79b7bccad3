"""How far a result of a program may be from torch's: as far as rounding takes the program itself.

The reference is the program in float64. How much rounding changes it is found by running it again, in float64, with the result of every
operation, decomposed as far as torch can, rounded to a neighbour in the precision of the Core ML program, up or down by chance (stochastic
rounding; Parker's Monte Carlo arithmetic). What is exact in that precision stays exact, and what overflows it overflows here.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from torch._decomp import decomposition_table
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

# Units of the dtype's epsilon, and of the spread that rounding makes.
TOLERANCE_IN_EPSILONS = {"float32": 64.0, "float16": 8.0}
_TIMES_TORCHS_ERROR = 2.0
# Runs of the program with other roundings.
_ROUNDINGS = 8
# Where numbers decide about integers, such as the places of a sort, the roundings that turn one over must be met.
_ROUNDINGS_OF_DECISIONS = 48
# Tolerances beyond this share of the result show nothing.
_INCONCLUSIVE = {"float32": 1e-2, "float16": 1e-1}
# Bits of the significand, exponent of the smallest number, largest number.
_FORMATS = {"float32": (24, -149, 3.4028235e38), "float16": (11, -24, 65504.0)}
_MOVING = frozenset(
    [
        "clone",
        "copy",
        "copy_",
        "cat",
        "stack",
        "index",
        "index_select",
        "gather",
        "where",
        "constant_pad_nd",
        "repeat",
        "flip",
        "roll",
        "select_scatter",
        "slice_scatter",
        "_to_copy",
        "full",
        "full_like",
        "zeros",
        "zeros_like",
        "ones",
        "ones_like",
        "empty",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "scalar_tensor",
        "lift_fresh",
        "lift_fresh_copy",
        "detach",
        "masked_fill",
        "fill",
        "embedding",
        "pixel_shuffle",
        "pixel_unshuffle",
        "amax",
        "amin",
        "max",
        "min",
        "sort",
        "topk",
        "relu",
        "abs",
        "neg",
        "maximum",
        "minimum",
        "empty_strided",
        "new_empty_strided",
        "unsqueeze_copy",
    ]
)
# Sums, in no order that anybody promises: their terms are rounded, too, in float32 at least.
_SUMMING = frozenset(
    [
        "convolution",
        "mm",
        "bmm",
        "addmm",
        "baddbmm",
        "addmv",
        "addbmm",
        "mv",
        "dot",
        "vdot",
        "sum",
        "mean",
        "var",
        "std",
        "var_mean",
        "std_mean",
        "cumsum",
        "cumprod",
        "prod",
        "linalg_vector_norm",
        "native_batch_norm",
        "native_layer_norm",
        "native_group_norm",
        "_native_batch_norm_legit_no_training",
        "logcumsumexp",
        "logsumexp",
        "norm",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "_scaled_dot_product_attention_math",
        "_cdist_forward",
        "_pdist_forward",
        "grid_sampler_2d",
        "grid_sampler_3d",
        "upsample_bicubic2d",
        "upsample_bilinear2d",
        "upsample_linear1d",
        "upsample_trilinear3d",
        "_trilinear",
        "renorm",
        "kthvalue",
        "softmax",
        "_softmax",
        "log_softmax",
        "_log_softmax",
        "index_add",
        "scatter_add",
        "scatter_reduce",
        "index_reduce",
        "_embedding_bag",
        "_embedding_bag_forward_only",
        "col2im",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "thnn_conv2d",
        "_fft_r2c",
        "_fft_c2c",
        "_fft_c2r",
        "_linalg_det",
        "linalg_cross",
        "cov",
    ]
)
# Those of them that have decompositions, which are not to be looked into.
_SUMMING_WHOLE = frozenset("mm bmm addmm baddbmm addmv mv dot convolution mean var std var_mean upsample_bicubic2d".split())  # noqa: SIM905


def _rounded(x: torch.Tensor, precision: str, generator: torch.Generator) -> torch.Tensor:
    """float64 -> a neighbour in the precision, by chance; numbers that it has stay."""
    bits, smallest, largest = _FORMATS[precision]
    # The bits of a float64 that the precision has not: half of the numbers are brought to the next one before these are cut off.
    beyond = (1 << (53 - bits)) - 1
    draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(generator=generator).view(torch.uint8)[: x.numel()]
    pattern = draws.bitwise_and_(1).to(torch.int64).mul_(beyond).reshape(x.shape)
    result = pattern.add_(x.contiguous().view(torch.int64)).bitwise_and_(~beyond).view(torch.float64)
    magnitude = x.abs()
    is_subnormal = (magnitude < 2.0 ** (smallest + bits - 1)) & (magnitude > 0)
    if bool(is_subnormal.any()):
        small = x[is_subnormal]
        up = torch.rand(small.shape, generator=generator, dtype=x.dtype) < 0.5
        scaled = small * 2.0**-smallest
        result[is_subnormal] = torch.where(up, scaled.ceil(), scaled.floor()) * 2.0**smallest
    if bool((magnitude <= largest * (1 - 2.0**-bits)).all()):
        return result
    result = torch.where(result.abs() > largest, torch.sign(x) * torch.inf, result)
    return torch.where(x.isfinite(), result, x)


class _Rounding(TorchDispatchMode):
    """Rounds the float64 results of operations."""

    def __init__(self, precision: str, seed: int) -> None:
        super().__init__()
        self._precision = precision
        self._generator = torch.Generator().manual_seed(seed)

    def round(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype == torch.float64 and value.numel():
            return _rounded(value, self._precision, self._generator)
        if isinstance(value, torch.Tensor) and value.dtype == torch.complex128 and value.numel():
            return torch.view_as_complex(_rounded(torch.view_as_real(value.resolve_conj()), self._precision, self._generator))
        return value

    def shake(self, value: Any) -> Any:
        """Changes each number by a unit of float32, up or down."""
        if isinstance(value, torch.Tensor) and value.dtype == torch.float64 and value.numel():
            up = torch.rand(value.shape, generator=self._generator, dtype=value.dtype) < 0.5
            return value * torch.where(up, 1.0 + 2.0**-23, 1.0 - 2.0**-23)
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        schema = func._schema
        aliases = any(r.alias_info is not None for r in schema.returns) or any(a.alias_info is not None for a in schema.arguments)
        if aliases:
            result = func(*args, **kwargs)
            if schema.is_mutable and isinstance(result, torch.Tensor) and result.dtype == torch.float64:
                result.copy_(self.round(result.detach().clone()))
            return result
        name = schema.name.partition("::")[2]
        if func in decomposition_table and name not in _MOVING and name not in _SUMMING_WHOLE:
            with self:
                result = decomposition_table[func](*args, **kwargs)
            if result is not NotImplemented:
                return result
        if name in _SUMMING:
            args, kwargs = pytree.tree_map(self.shake, (args, kwargs))
        result = func(*args, **kwargs)
        return result if name in _MOVING else pytree.tree_map(self.round, result)


def _as_float64(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def results(value: Any) -> list[torch.Tensor]:
    """The tensors of a result, in the order in which ExecuTorch gives them."""
    return [
        leaf if isinstance(leaf, torch.Tensor) else torch.tensor(leaf) for leaf in pytree.tree_leaves(value) if leaf is not None
    ]


@dataclasses.dataclass(frozen=True)
class Expected:
    """torch's own results, which say dtype and shape; float64's; of each number, how far rounding takes it (NaN: anywhere); and, of each
    result, the largest error of torch itself in the precision.
    """

    own: list[torch.Tensor]
    exact: list[torch.Tensor]
    spread: list[torch.Tensor]
    error: list[float]
    random: bool


def _run(module: torch.nn.Module, inputs: Sequence[torch.Tensor], seed: int = 0) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    with torch.no_grad():
        return [t.detach().clone() for t in results(module(*(i.clone() for i in inputs)))]


def _same(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> bool:
    return all(x.shape == y.shape and torch.equal(x.nan_to_num(), y.nan_to_num()) for x, y in zip(a, b, strict=True))


def own_results(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], bool]:
    """torch's results, and whether they are drawn; torch's samples of random functions seed them the same way each time, which is undone."""
    own = _run(module, inputs)
    torch.manual_seed(0)
    with mock.patch.object(torch, "manual_seed", return_value=None):
        is_random = not all(_same(own, _run(module, inputs)) for _ in range(4))
    return own, is_random


def _own_errors(
    module: torch.nn.Module, inputs: Sequence[torch.Tensor], own: list[torch.Tensor], exact: list[torch.Tensor], precision: str
) -> list[float]:
    """How far torch is from float64 when it computes in the precision: a program is not asked for more."""
    if precision == "float16":
        try:
            own = _run(copy.deepcopy(module).half(), [i.half() if i.is_floating_point() else i for i in inputs])
        except Exception:  # Not every operation has a half of it.
            return [0.0 for _ in exact]
    errors = []
    for o, e in zip(own, exact, strict=True):
        off = (o.double() - e).abs() if o.is_floating_point() and o.shape == e.shape else torch.zeros(())
        off = off[off.isfinite()]
        errors.append(float(off.max()) if off.numel() else 0.0)
    return errors


def _grouped_product(x: torch.Tensor, matrices: torch.Tensor, offs: torch.Tensor, **options: Any) -> torch.Tensor:
    """torch._grouped_mm of rows, which torch has in no more than float32."""
    begins = [0, *offs.tolist()]
    return torch.cat([x[begin:end] @ matrix for begin, end, matrix in zip(begins, begins[1:], matrices, strict=False)])


def expected(module: torch.nn.Module, inputs: Sequence[torch.Tensor], precision: str, *, decides: bool = False) -> Expected:
    """What a program may give when its operations round to `precision`. decides: whether numbers in it decide about integers."""
    own, is_random = own_results(module, inputs)
    if is_random:
        return Expected(own, own, [torch.zeros(()) for _ in own], [0.0 for _ in own], True)
    with mock.patch.object(torch, "_grouped_mm", _grouped_product):
        return _expected(module, inputs, precision, own, decides=decides)


def _expected(
    module: torch.nn.Module, inputs: Sequence[torch.Tensor], precision: str, own: list[torch.Tensor], *, decides: bool
) -> Expected:
    try:
        wide, wide_inputs = copy.deepcopy(module).double(), [_as_float64(i) for i in inputs]
        exact = _run(wide, wide_inputs)
    except Exception:  # It wants float32 as it is.
        exact = own
        wide, wide_inputs = module, list(inputs)
    exact = [e.double() if o.is_floating_point() else e for e, o in zip(exact, own, strict=True)]
    # A program that counts on float32, as with the lowest number for a mask, may have no result in float64.
    exact = [
        torch.where(e.isnan() & ~o.isnan(), o.double(), e) if o.is_floating_point() and e.shape == o.shape else e
        for e, o in zip(exact, own, strict=True)
    ]
    spread = [torch.zeros(e.shape, dtype=torch.float64) for e in exact]
    decides |= any(not o.is_floating_point() for o in own) and any(i.is_floating_point() for i in inputs)
    for seed in range(_ROUNDINGS_OF_DECISIONS if decides else _ROUNDINGS):
        mode = _Rounding(precision, seed)
        given = [mode.round(i.clone()) for i in wide_inputs]
        rounded_module = copy.deepcopy(wide)
        with torch.no_grad():
            for tensor in (*rounded_module.parameters(), *rounded_module.buffers()):
                if tensor.dtype == torch.float64:
                    tensor.copy_(mode.round(tensor.detach().clone()))
            torch.manual_seed(0)
            try:
                with mode:
                    rounded = results(rounded_module(*given))
            except Exception:
                with torch.no_grad():
                    rounded = results(rounded_module(*given))
        for index, (r, e) in enumerate(zip(rounded, exact, strict=True)):
            if r.shape != e.shape:
                spread[index].fill_(torch.nan)
                continue
            off = (r.double() - e.double()).abs()
            off = torch.where((r == e) | (r.isnan() & e.isnan()), 0.0, off)
            spread[index] = torch.maximum(spread[index], torch.where(off.isfinite(), off, torch.nan))
    return Expected(own, exact, spread, _own_errors(module, inputs, own, exact, precision), False)


def _allowed(exact: torch.Tensor, spread: torch.Tensor, error: float, precision: str) -> torch.Tensor:
    bits, smallest, _ = _FORMATS[precision]
    units = TOLERANCE_IN_EPSILONS[precision]
    least = 2.0 ** (smallest if precision == "float16" else -126)
    return units * (2.0 ** (1 - bits) * exact.abs() + spread + least) + _TIMES_TORCHS_ERROR * error


def difference(actual: Sequence[torch.Tensor], wanted: Expected, precision: str) -> tuple[str | None, float]:
    """What is wrong with results, None when nothing is; and the tolerance, as a share of the results (above 1: nothing was compared)."""
    if len(actual) != len(wanted.own):
        return f"{len(actual)} outputs, not {len(wanted.own)}", 0.0
    share = 0.0
    for index, a in enumerate(actual):
        own, exact, spread, error = wanted.own[index], wanted.exact[index], wanted.spread[index], wanted.error[index]
        if (a.dtype, a.shape) != (own.dtype, own.shape):
            return f"output {index}: {a.dtype} {tuple(a.shape)}, not {own.dtype} {tuple(own.shape)}", 0.0
        if wanted.random or a.numel() == 0:
            continue
        stable = ~spread.isnan()
        if not own.is_floating_point():
            stable &= spread == 0
            allowed = torch.zeros_like(spread)
        else:
            allowed = _allowed(exact, spread, error, precision)
        e, x = exact.double(), a.double()
        finite = e.isfinite()
        same = (x == e) | (x.isnan() & e.isnan())
        bad = stable & ~same & torch.where(finite, ~((x - e).abs() <= allowed), True)
        # torch's own arithmetic in this dtype is not asked for more than it gives.
        bad &= ~((x == own.double()) | (x.isnan() & own.isnan()))
        if bool(bad.any()):
            at = int(bad.flatten().nonzero()[0])
            return (
                f"output {index}: {int(bad.sum())} of {bad.numel()} numbers, at {at} {x.flatten()[at].item():.8g}, not "
                f"{e.flatten()[at].item():.8g} (allowed {allowed.flatten()[at].item():.3g})"
            ), share
        if own.is_floating_point():
            usable = stable & finite
            norm = float(e[usable].norm()) if bool(usable.any()) else 0.0
            unstable = float((~stable).double().mean())
            share = max(share, unstable * 2, float(allowed[usable].norm()) / norm if norm else 0.0)
        else:
            share = max(share, 2 * float((~stable).double().mean()))
    return None, share


def relative(actual: Sequence[torch.Tensor], wanted: Expected) -> float:
    """The largest l2-relative difference of a result from float64's, over its finite numbers; infinite where shapes differ."""
    largest = 0.0
    for a, exact in zip(actual, wanted.exact, strict=False):
        if a.shape != exact.shape:
            return float("inf")
        if not exact.is_floating_point() or wanted.random:
            continue
        a, e = a.double(), exact.double()
        usable = e.isfinite() & a.isfinite()
        norm = float(e[usable].norm())
        if norm:
            largest = max(largest, float((a - e)[usable].norm()) / norm)
    return largest


def is_inconclusive(share: float, precision: str) -> bool:
    return share > _INCONCLUSIVE[precision]
