"""Converters of torch ops that coremltools 9.0 lacks: rows of the table that step aside where coremltools has one, unless they say why not."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.frontend import _utils
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.frontend.torch.utils import NUM_TO_TORCH_DTYPE
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from coremltools.converters.mil.mil.block import is_current_opset_version_compatible_with

from executorch_coreml.compiler.correction_table import arguments, correction

_IOS18_HINT = (
    "ExecuTorch hint: pass `compile_specs=CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)` (or higher) to "
    "`CoreMLPartitioner` when lowering models that use `quantize_(...)`."
)


_missing = functools.partial(correction, reason="coremltools has no conversion", where_missing=True)


@_missing("_clone_dim_order", "dim_order_ops::_clone_dim_order", "dim_order_ops._clone_dim_order")
def _clone_dim_order(context: Any, node: Any) -> None:
    """A clone: Core ML's layout is contiguous, and the constraint table keeps other orders outside."""
    dim_order = ops._get_kwinputs(context, node, "dim_order", default=[None])[0]
    node.kwinputs.pop("dim_order", None)
    if dim_order is not None and list(dim_order.val) != list(range(len(dim_order.val))):
        raise NotImplementedError("Only contiguous memory format is supported in CoreML")
    ops.noop(context, node)


def _raise_with_hint(error: ValueError) -> None:
    if "iOS18" in str(error) or "iOS 18" in str(error):
        raise ValueError(f"{error}\n{_IOS18_HINT}") from error
    raise error


def _rows_of_groups(values: np.ndarray | None, groups: int) -> np.ndarray | None:
    return None if values is None else values.reshape(-1, groups)


def _value(var: Any) -> Any:
    return None if var is None else var.val


# The widths of indices into tables.
_INDEX_BITS = (1, 2, 3, 4, 6, 8)


def _integer_type(bits: int) -> Any:
    return types.nptype_from_builtin(types.string_to_builtin(f"int{bits}"))


def _dequantized(weight: np.ndarray, zero_point: np.ndarray | None, scale: np.ndarray, bits: int, name: str) -> Var:
    """Integers of 1 to 8 bits, times a scale for each row or group of a row: in the form that takes the fewest bytes.

    Core ML has integers of 4 and 8 bits. Of other widths it has indices, here into a table of the integers themselves. A pass of coremltools makes a
    table for each scale of it.
    """
    plain = 4 if bits <= 4 else 8
    width = next(width for width in _INDEX_BITS if width >= bits)
    is_table_smaller = weight.size * width // 8 + scale.size * 2**width < weight.size * plain // 8
    if not is_table_smaller or not is_current_opset_version_compatible_with(ct.target.iOS18):
        made: Var = _utils._construct_constexpr_dequant_op(weight.astype(_integer_type(plain)), zero_point, scale, name=name)
        return made
    lowest = -(2 ** (bits - 1))
    table = np.clip(np.arange(2**width) + lowest, -128, 127).astype(np.int8)
    indices = (weight.astype(np.int32) - lowest).astype(types.nptype_from_builtin(types.string_to_builtin(f"uint{width}")))
    integers = mb.constexpr_lut_to_dense(indices=indices, lut=table.reshape((1,) * weight.ndim + (2**width, 1)))
    offset = None if zero_point is None or not zero_point.any() else zero_point.astype(np.int8)
    return mb.constexpr_blockwise_shift_scale(data=integers, scale=scale, offset=offset, name=name)


@correction(
    "dequantize_affine",
    "torchao::dequantize_affine",
    "torchao.dequantize_affine",
    reason="coremltools asserts a shape of the zero points that torchao does not produce, and takes 4 and 8 bits alone",
    reference="https://github.com/apple/coremltools/pull/2589",
)
def dequantize_affine(context: Any, node: Any) -> None:
    """torchao.dequantize_affine(weight, block_size, scale, zero_point, input_dtype, quant_min, quant_max[, output_dtype]).

    The weight, a constant of rank 2 quantized per row in groups of columns, becomes constexpr ops.
    """
    names = ("input", "block_size", "scale", "zero_point", "input_dtype", "quant_min", "quant_max")
    given = arguments(context, node, *names)
    weight, block_size, scale, zero_point, input_dtype, lowest, highest = map(_value, given)
    if NUM_TO_TORCH_DTYPE[input_dtype] not in (torch.int8, torch.int32):
        raise ValueError("input_dtype should be int8 or int32")
    if weight is None or scale is None:
        raise ValueError(
            "dequantize_affine takes weights that are known ahead of time; Core ML quantizes no activations by what they are"
        )
    if weight.ndim != 2:
        raise ValueError("dequantize_affine only supports rank 2 inputs")
    rows, columns = (int(size) for size in block_size)
    if rows != 1 or weight.shape[1] % columns:
        raise ValueError(
            f"dequantize_affine groups columns of one row, so block_size is (1, a divisor of {weight.shape[1]}); it is {(rows, columns)}"
        )
    bounds = (-128, 127) if lowest is None or highest is None else (int(lowest), int(highest))
    # Some configurations leave the lowest value out.
    bits = bounds[1].bit_length() + 1
    if bits > 8 or bounds[0] not in (-(2 ** (bits - 1)), 1 - 2 ** (bits - 1)):
        raise ValueError(f"Unsupported quantization range: {bounds[0]} to {bounds[1]}. Core ML has signed integers of 1 to 8 bits.")
    groups = weight.shape[1] // columns
    try:
        output = _dequantized(weight, _rows_of_groups(zero_point, groups), scale.reshape(-1, groups), bits, node.name)
    except ValueError as error:
        _raise_with_hint(error)
    context.add(output, node.name)


@_missing("dequantize_codebook", "quant::dequantize_codebook", "quant.dequantize_codebook")
def dequantize_codebook(context: Any, node: Any) -> None:
    """quant.dequantize_codebook(codes, codebook, nbits, block_size[, output_dtype]).

    The codes, a constant of rank 2, index look-up tables of scalars, one per group of rows or of columns.
    """
    codes, codebook, bits, *_ = (_value(var) for var in ops._get_inputs(context, node, expected=[4, 5]))
    if codes.ndim != 2 or codebook.ndim != 4:
        raise ValueError("Only rank 2 inputs are supported, with a codebook of rank 4")
    if 1 not in codebook.shape[:2]:
        raise ValueError("Only grouped_channel granularity is supported")
    axis = 1 if codebook.shape[0] == 1 else 0
    if codes.shape[axis] % codebook.shape[axis]:
        raise ValueError(f"codes.shape[{axis}] must be divisible by codebook.shape[{axis}]")
    if codebook.shape[2:] != (2**bits, 1):
        raise ValueError("Only scalar look up values are supported, 2**nbits of them in a table")
    if bits in (5, 7):  # Core ML has no indices of this width: entries that none refers to fill the table up.
        codebook = np.concatenate([codebook, np.zeros_like(codebook)], axis=2)
    try:
        output = _utils._construct_constexpr_lut_op(codes.astype(np.int8), codebook, name=node.name)
    except ValueError as error:
        _raise_with_hint(error)
    context.add(output, node.name)


@_missing("lstm.input")
def lstm_input(context: Any, node: Any) -> None:
    """aten.lstm.input, which coremltools converts for TorchScript, where each of the three results has a name of its own."""
    parts = copy.copy(node)
    parts.outputs = [f"{node.name}_{index}" for index in range(3)]
    ops.lstm(context, parts)
    context.add(tuple(context[name] for name in parts.outputs), node.name)


def _in_mil_order(gates: np.ndarray) -> np.ndarray:
    """torch stacks the gates as reset, update, new; MIL as reset, output (torch's new), update."""
    reset, update, new = np.split(gates, 3)
    return np.concatenate([reset, new, update])


def _gru_direction(x: Var, initial: Var, weights: Sequence[Var], *, reverse: bool) -> tuple[Var, Var]:
    """One direction of one layer. x: (steps, batch, features). initial: (batch, hidden). Returns (steps, batch, hidden) and (batch, hidden)."""
    arrays = [_in_mil_order(np.asarray(weight.val)) for weight in weights]
    biases = {"input_bias": arrays[2], "bias": arrays[3]} if len(arrays) == 4 else {}
    x = mb.reverse(x=x, axes=[0]) if reverse else x
    steps, last = mb.gru(
        x=x,
        initial_h=initial,
        weight_ih=arrays[0],
        weight_hh=arrays[1],
        output_sequence=True,
        # torch multiplies by the reset gate after the recurrent product and its bias.
        reset_after=True,
        **biases,
    )
    return (mb.reverse(x=steps, axes=[0]) if reverse else steps), last


@_missing("gru.input")
def gru_input(context: Any, node: Any) -> None:
    """aten.gru.input(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first) -> (output, h_n).

    One `gru` per layer and direction from iOS 18 on, where MIL's has `reset_after`; below, coremltools' loop over the steps.
    """
    if not is_current_opset_version_compatible_with(ct.target.iOS18):
        parts = copy.copy(node)
        parts.outputs = [f"{node.name}_{index}" for index in range(2)]
        ops.gru(context, parts)
        context.add(tuple(context[name] for name in parts.outputs), node.name)
        return
    x, initial, parameters, has_biases, layers, _, _, bidirectional, batch_first = ops._get_inputs(context, node, expected=9)
    directions, per_direction = 1 + int(bidirectional.val), 4 if has_biases.val else 2
    x = mb.transpose(x=x, perm=[1, 0, 2]) if batch_first.val else x
    last: list[Var] = []
    for _ in range(int(layers.val)):
        outputs = []
        for direction in range(directions):
            index = len(last)
            state = mb.gather(x=initial, indices=np.int32(index), axis=0)
            weights = parameters[index * per_direction : (index + 1) * per_direction]
            steps, hidden = _gru_direction(x, state, weights, reverse=direction == 1)
            outputs.append(steps)
            last.append(hidden)
        x = outputs[0] if len(outputs) == 1 else mb.concat(values=outputs, axis=2)
    x = mb.transpose(x=x, perm=[1, 0, 2]) if batch_first.val else x
    context.add((x, mb.stack(values=last, axis=0)), node.name)
