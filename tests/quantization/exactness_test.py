"""Quantized programs that coremltools 9.0 by itself converts to other numbers: compiler/quantization_passes.py
and corrections_quantization.py say which, and why."""

from __future__ import annotations

import coremltools as ct
import pytest
import torch
from executorch.backends.apple.coreml.runtime import set_options
from quantized_lowering import FLOAT16, FLOAT32, lower, relative
from torch import nn

quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
dequantize = torch.ops.quantized_decomposed.dequantize_per_tensor.default

INT8 = (-128, 127, torch.int8)
UINT8 = (0, 255, torch.uint8)


def through(x, scale, zero_point, kind=INT8):
    """What a quantized value is: rounded to `scale`, bounded by the range of `kind`."""
    return dequantize(quantize(x, scale, zero_point, *kind), scale, zero_point, *kind)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def check(function, *inputs, precision=FLOAT32, tolerance=1e-6):
    """Lowered, the function gives what it gives in PyTorch. Returns the names of the ops."""
    module = Function(function).eval()
    lowered = lower(module, inputs, target=ct.target.iOS17, precision=precision)
    assert relative(lowered.run(*inputs), module(*inputs)) <= tolerance, lowered.ops
    return lowered.ops


@pytest.fixture
def values():
    return torch.linspace(-5, 5, 24).reshape(4, 6)


def test_a_reshape_between_two_scales_keeps_both(values):
    check(lambda x: through(through(x, 0.05, 3).reshape(3, 8), 0.025, -7), values)


def test_a_reshape_between_two_dtypes_keeps_both(values):
    check(lambda x: through(through(x, 0.05, 0).reshape(3, 8), 0.05, 0, UINT8), values)


def test_a_reshape_within_one_scale_is_of_integers(values):
    ops = check(lambda x: through(through(x, 0.05, 3).reshape(3, 8), 0.05, 3), values)
    assert ops.count("quantize") == ops.count("dequantize") == 1


def test_a_change_of_dtype_is_no_redundant_pair(values):
    check(lambda x: through(through(x, 0.05, 0), 0.05, 0, UINT8), values)


def test_the_same_twice_is_once(values):
    ops = check(lambda x: through(through(x, 0.05, 3), 0.05, 3), values)
    assert ops.count("quantize") == 1


@pytest.mark.parametrize("kind", [(-127, 127, torch.int8), (-8, 7, torch.int8), (0, 127, torch.uint8)])
@pytest.mark.parametrize("precision", [FLOAT32, FLOAT16])
def test_a_narrow_range_bounds(values, kind, precision):
    check(lambda x: through(x, 0.03125, 0, kind), values, precision=precision)


@pytest.fixture
def rounded_to_float16():
    """Programs loaded within it round float16 values after every operation, as Core ML may."""
    set_options(numeric_mode="float16")
    yield
    set_options(numeric_mode="")


@pytest.mark.parametrize("large_first", [True, False])
@pytest.mark.usefixtures("rounded_to_float16")
def test_operands_of_very_different_scales_do_not_overflow_float16(large_first):
    large, small = torch.linspace(-1000, 1000, 24), torch.linspace(-1, 1, 24)

    def function(x, y):
        x, y = through(x, 8.0, 0), through(y, 0.0078125, 0)
        return through(torch.add(x, y) if large_first else torch.add(y, x), 8.0, 0)

    ops = check(function, large, small, precision=FLOAT16)
    assert ops.count("quantize") == 3


@pytest.mark.parametrize("precision", [FLOAT32, FLOAT16])
def test_a_scale_below_float16_keeps_its_value(precision):
    scale = 1.1e-6

    def function(x):
        return through(x, scale, 0)

    check(function, torch.arange(-100, 100, 9) * scale, precision=precision, tolerance=1e-3)
