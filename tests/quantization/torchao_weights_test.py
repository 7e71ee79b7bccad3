"""Weights that torchao's quantize_ compressed: the .pte holds as many bits as they have, and computes what the quantized model does."""

from __future__ import annotations

import dataclasses
from typing import Any

import coremltools as ct
import pytest
import torch
from quantized_lowering import FLOAT16, FLOAT32, FULL, Inputs, lower, relative
from torch import nn
from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis, PerGroup
from torchao.quantization.quant_primitives import MappingType

IOS17, IOS18 = ct.target.iOS17, ct.target.iOS18
ROWS, COLUMNS = 256, 2048
BIT = ROWS * COLUMNS / 8


def layer() -> tuple[nn.Module, Inputs]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(COLUMNS, ROWS), nn.ReLU()).eval(), (torch.randn(3, COLUMNS),)


@dataclasses.dataclass(frozen=True)
class Case:
    """config: torchao's. bytes: of the weight, as its bits, scales and tables say. ops: what holds it. lowest: the lowest deployment target."""

    config: Any
    bytes: float
    ops: tuple[str, ...]
    lowest: ct.target = IOS18


def integers(bits: int, granularity: Any = PerAxis(0), **options: Any) -> IntxWeightOnlyConfig:  # noqa: B008  it is immutable
    return IntxWeightOnlyConfig(weight_dtype=getattr(torch, f"int{bits}"), granularity=granularity, **options)


TABLE, SCALE, OLD_SCALE = "constexpr_lut_to_dense", "constexpr_blockwise_shift_scale", "constexpr_affine_dequantize"
GROUPS = ROWS * COLUMNS / 32
CASES = {
    # Of widths that Core ML has as indices alone, each row has a table.
    **{
        f"int{bits}": Case(integers(bits), width * BIT + ROWS * (2 + 2**width), (TABLE, SCALE))
        for bits, width in ((1, 1), (2, 2), (3, 3), (5, 6), (6, 6))
    },
    "int4": Case(integers(4), 4 * BIT + 2 * ROWS, (SCALE,)),
    "int7": Case(integers(7), 8 * BIT + 2 * ROWS, (SCALE,)),
    "int8": Case(integers(8), 8 * BIT + 2 * ROWS, (SCALE,), IOS17),
    "int4, groups": Case(integers(4, PerGroup(32)), 4 * BIT + 2 * GROUPS, (SCALE,)),
    # With a zero point of 4 bits for each group.
    "int4, asymmetric groups": Case(
        integers(4, PerGroup(32), mapping_type=MappingType.ASYMMETRIC), 4 * BIT + 2.5 * GROUPS, (SCALE,)
    ),
    "int2, groups": Case(integers(2, PerGroup(32)), 2 * BIT + (2 + 4) * GROUPS, (TABLE, SCALE)),
    "Int8WeightOnlyConfig": Case(Int8WeightOnlyConfig(), 8 * BIT + 2 * ROWS, (SCALE,), IOS17),
    "Int8WeightOnlyConfig, groups": Case(Int8WeightOnlyConfig(granularity=PerGroup(32)), 8 * BIT + 2 * GROUPS, (SCALE,)),
    "float8_e4m3": Case(Float8WeightOnlyConfig(), 8 * BIT + 2 * ROWS, (TABLE,), IOS17),
    "float8_e5m2": Case(Float8WeightOnlyConfig(weight_dtype=torch.float8_e5m2), 8 * BIT + 2 * ROWS, (TABLE,), IOS17),
}


@pytest.fixture(scope="module")
def rest() -> int:
    """The bytes of the float16 program that are not its weight."""
    module, inputs = layer()
    return len(lower(module, inputs, precision=FLOAT16).pte) - int(16 * BIT)


# The others run with COREML_DELEGATE_FULL_TESTS.
SAMPLE = ("int2", "int4, asymmetric groups", "int7", "Int8WeightOnlyConfig", "float8_e4m3", "float8_e5m2")


@pytest.mark.parametrize("name", CASES if FULL else SAMPLE)
def test_weights_keep_their_bits_and_their_numbers(name: str, rest: int) -> None:
    case = CASES[name]
    model, inputs = layer()
    quantize_(model, case.config)
    expected = model(*inputs)
    if case.lowest > IOS17:
        with pytest.raises(ValueError, match=r"which Core ML can express from minimum_deployment_target iOS18 on"):
            lower(model, inputs, target=IOS17)
    for target in {case.lowest, IOS18}:
        lowered = lower(model, inputs, target=target, precision=FLOAT16)
        ops = sorted(OLD_SCALE if target < IOS18 and op == SCALE else op for op in case.ops)
        assert sorted(op for op in lowered.ops if op.startswith("constexpr")) == ops
        assert abs((len(lowered.pte) - rest) / case.bytes - 1) < 0.03, (target, len(lowered.pte), rest, case.bytes)
        assert relative(lowered.run(*inputs), expected) < 1e-3
    exact = lower(model, inputs, target=case.lowest, precision=FLOAT32)
    assert relative(exact.run(*inputs), expected) < 1e-6


def test_products_by_int8_weights_stay_within_float16() -> None:
    """torchao multiplies by the integers first: here by 127, 2048 times 30, which is 7.8 million."""
    model, _ = layer()
    with torch.no_grad():
        model[0].weight.copy_(torch.ones(ROWS, COLUMNS) * 0.01)
    inputs = (torch.full((1, COLUMNS), 30.0),)
    quantize_(model, Int8WeightOnlyConfig())
    lowered = lower(model, inputs, target=IOS17, precision=FLOAT16)
    assert relative(lowered.run(*inputs), model(*inputs)) < 1e-3
