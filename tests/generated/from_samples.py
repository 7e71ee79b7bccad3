"""Calls taken from the OpInfo samples of the installed torch: the options are the sample's, the tensors the graph's where they fit."""

from __future__ import annotations

import functools
from typing import Any

import torch
from drawing import Draw, Unfit
from from_schema import take_apart
from torch.testing._internal.common_methods_invocations import op_db
from worlds import namespace

_LEFT_OUT_TEXT = """
    rand normal bernoulli multinomial dropout empty fft linalg. complex sparse _unique jiterator nonzero allclose equal item
    geometric cauchy exponential log_normal uniform masked. special. signal. torch.ops svd qr lu cholesky eig geqrf ormqr stft
    istft resize histogram histc polygamma to_sparse real imag conj angle polar unique view_as_ native_dropout alpha_dropout
    ctc_loss rrelu lstsq inverse pinverse det triangular_solve pca as_strided bincount argwhere tensor_split masked_select
    igamma _chunk digamma lgamma mvlgamma erfinv nextafter frexp matrix_exp matrix_power randint gradient backward gumbel sgn
"""
_LEFT_OUT = _LEFT_OUT_TEXT.split()
_DTYPES = (torch.float32, torch.float32, torch.float32, torch.float32, torch.int64, torch.int32, torch.bool, torch.float16)


@functools.cache
def operations() -> list[Any]:
    return [info for info in op_db if not any(part in info.name for part in _LEFT_OUT) and function_of(info.name) is not None]


def function_of(name: str) -> str | None:
    """The printed name of an OpInfo's function; None where it has none."""
    prefix = "F." if name.startswith("nn.functional.") else "torch."
    text = prefix + name.removeprefix("nn.functional.")
    try:
        eval(text, namespace(eager=True))
    except AttributeError:
        short = name.rsplit(".", 1)[-1]
        return f".{short}" if hasattr(torch.Tensor, short) and not short.startswith("_") else None
    return text


@functools.lru_cache(512)
def _samples(index: int, dtype: torch.dtype) -> list[Any]:
    info = operations()[index]
    if not info.supports_dtype(dtype, "cpu"):
        return []
    torch.manual_seed(0)
    return list(info.sample_inputs("cpu", dtype, requires_grad=False))


def draw_call(draw: Draw) -> None:
    """Adds one call after a sample. Raises Unfit when none was found that fits."""
    index = draw.rng.randrange(len(operations()))
    for _ in range(4):
        try:
            samples = _samples(index, draw.rng.choice(_DTYPES))
        except Exception as error:
            raise Unfit(str(error)) from error
        if not samples:
            continue
        sample = draw.rng.choice(samples)
        try:
            with draw.attempt():
                function = function_of(operations()[index].name)
                args = [_adopt(draw, value, leading=position == 0) for position, value in enumerate((sample.input, *sample.args))]
                kwargs = {key: _adopt(draw, value, leading=False) for key, value in sample.kwargs.items()}
                take_apart(draw, draw.emit(str(function), *args, **kwargs))
            return
        except Unfit:
            continue
    raise Unfit


def _adopt(draw: Draw, value: Any, *, leading: bool) -> Any:
    """The argument of a sample, with a value of the graph for a tensor where that is possible."""
    if isinstance(value, (list, tuple)):
        return type(value)(_adopt(draw, part, leading=leading) for part in value) if type(value) in (list, tuple) else value
    if isinstance(value, torch.Tensor):
        if value.is_complex() or value.is_sparse or value.numel() > 4000:
            raise Unfit
        # Integer tensors behind the first argument are mostly indices: their values are the sample's.
        is_index = not leading and not value.is_floating_point() and value.dtype is not torch.bool
        if not is_index and draw.rng.random() < (0.85 if leading else 0.35):
            return fitted(draw, value.dtype, list(value.shape))
        return _given(draw, value, leading=leading)
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype)):
        return value
    if isinstance(value, slice):
        return value
    raise Unfit


def _given(draw: Draw, value: torch.Tensor, *, leading: bool) -> str:
    if value.numel() > 60 and value.is_floating_point():
        scale = 1.0
        return draw.leaf(value.dtype, list(value.shape), scale=scale)
    kind = "input" if leading or draw.rng.random() < 0.4 else "buffer"
    return draw.leaf(value.dtype, list(value.shape), kind=kind, values=value.flatten().tolist())


def fitted(draw: Draw, dtype: torch.dtype, shape: list[int]) -> str:
    """A value of the graph with this dtype and shape; one that has them, or one that is cast and cut or repeated to them."""
    same = draw.tensors(lambda t: t.dtype is dtype and list(t.shape) == shape)
    if same and draw.rng.random() < 0.8:
        return draw.rng.choice(same)
    name = draw.pick(lambda t: t.numel() > 0 and t.dim() > 0)
    if draw.dtype(name) is not dtype:
        is_compared = dtype is torch.bool and draw.rng.random() < 0.7
        name = draw.emit(">", name, 0) if is_compared else draw.emit(".to", name, dtype)
    wanted, has = 1, draw.value(name).numel()
    for extent in shape:
        wanted *= extent
    if draw.shape(name) == shape:
        return name
    if has != wanted:
        name = draw.emit(".reshape", name, -1)
        if has < wanted:
            name = draw.emit(".repeat", name, -(-wanted // has))
        if draw.shape(name) != [wanted]:
            name = draw.emit("[]", name, slice(None, wanted))
    return draw.emit(".reshape", name, shape)
