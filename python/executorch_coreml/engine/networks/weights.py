"""The weights of neural networks: floats of 32 and 16 bits, and numbers of 1 to 8 bits by a scale or a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# Of one weight.
_MAX_ELEMENTS = 1 << 31


def read(weights: Any, shape: Sequence[int], channel_axis: int = 0) -> np.ndarray:
    """A WeightParams message as float32 of a shape.

    Args:
        channel_axis: The axis that scales and biases of the quantization run along.

    Raises:
        ValueError: where there are not as many values as the shape has.
    """
    shape = tuple(int(extent) for extent in shape)
    count = math.prod(shape)
    if not 0 <= count <= _MAX_ELEMENTS:
        raise ValueError(f"weights of the shape {list(shape)}")
    if weights.floatValue:
        return _of_count(np.array(weights.floatValue, np.float32), count).reshape(shape)
    if weights.float16Value:
        if len(weights.float16Value) != 2 * count:
            raise ValueError(f"{len(weights.float16Value)} bytes of float16 weights for {count} values")
        return np.frombuffer(weights.float16Value, "<f2").astype(np.float32).reshape(shape)
    if weights.int8RawValue:
        scale = weights.quantization.linearQuantization.scale
        if len(scale) != 1:
            raise ValueError(f"int8 weights have {len(scale)} scales where they have one")
        return (_of_count(np.frombuffer(weights.int8RawValue, np.int8), count) * np.float32(scale[0])).reshape(shape)
    if weights.rawValue:
        return _dequantize(weights, shape, count, channel_axis)
    if count:
        raise ValueError(f"there are no weights where {count} are declared")
    return np.zeros(shape, np.float32)


def _of_count(values: np.ndarray, count: int) -> np.ndarray:
    if values.size != count:
        raise ValueError(f"there are {values.size} weights where {count} are declared")
    return values


def _dequantize(weights: Any, shape: tuple[int, ...], count: int, channel_axis: int) -> np.ndarray:
    bits = weights.quantization.numberOfBits
    if not 1 <= bits <= 8:
        raise ValueError(f"weights are quantized to {bits} bits")
    raw = np.frombuffer(weights.rawValue, np.uint8)
    if raw.size != -(-count * bits // 8):
        raise ValueError(f"{raw.size} bytes cannot hold {count} weights of {bits} bits")
    if bits < 8:
        # One after the other, each with its highest bit first.
        places = np.unpackbits(raw)[: count * bits].reshape(count, bits)
        raw = (places << np.arange(bits - 1, -1, -1, dtype=np.uint8)).sum(1, dtype=np.uint8)
    which = weights.quantization.WhichOneof("QuantizationType")
    if which == "lookupTableQuantization":
        table = np.array(weights.quantization.lookupTableQuantization.floatValue, np.float32)
        if table.size != 1 << bits:
            raise ValueError(f"a table of {table.size} values for {bits} bits")
        return table[raw].reshape(shape)
    if which != "linearQuantization":
        raise ValueError("quantized weights have neither a scale nor a table")
    result = raw.astype(np.float32).reshape(shape)
    along = [1] * len(shape)
    for numbers, apply in (
        (weights.quantization.linearQuantization.scale, np.multiply),
        (weights.quantization.linearQuantization.bias, np.add),
    ):
        if not numbers:
            continue
        if len(numbers) not in (1, shape[channel_axis]):
            raise ValueError(f"a quantization has {len(numbers)} numbers for {shape[channel_axis]} channels")
        along[channel_axis] = len(numbers)
        result = apply(result, np.array(numbers, np.float32).reshape(along))
    return result
