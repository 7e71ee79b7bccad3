"""Models that coreai-opt compressed for Core ML, unchanged: weights keep their form, and activations that it quantized are quantized."""

from __future__ import annotations

from collections.abc import Callable

import coremltools as ct
import pytest
import torch
from coreai_opt import ExportBackend
from coreai_opt.palettization import KMeansPalettizer, KMeansPalettizerConfig, ModuleKMeansPalettizerConfig, PalettizationSpec
from coreai_opt.pruning import MagnitudePruner, MagnitudePrunerConfig, ModuleMagnitudePrunerConfig, PruningSpec
from coreai_opt.quantization import ExecutionMode, Quantizer, QuantizerConfig
from coreai_opt.quantization.spec import PerTensorGranularity, QuantizationSpec
from quantized_lowering import FLOAT16, FLOAT32, FULL, Inputs, lower, relative
from torch import nn

IOS17, IOS18 = ct.target.iOS17, ct.target.iOS18
ROWS, COLUMNS = 256, 512
BIT = ROWS * COLUMNS / 8


def layer() -> tuple[nn.Module, Inputs]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(COLUMNS, ROWS), nn.ReLU()).eval(), (torch.randn(3, COLUMNS),)


def quantized(config: QuantizerConfig) -> nn.Module:
    module, inputs = layer()
    quantizer = Quantizer(module, config)
    prepared = quantizer.prepare(inputs)
    with quantizer.calibration_mode():
        prepared(*inputs)
    return quantizer.finalize(backend=ExportBackend.CoreML)


def palettized(**fields: object) -> nn.Module:
    module, inputs = layer()
    config = ModuleKMeansPalettizerConfig(op_state_spec={"weight": PalettizationSpec(**fields)})
    palettizer = KMeansPalettizer(module, KMeansPalettizerConfig(global_config=config))
    palettizer.prepare(inputs)
    return palettizer.finalize(backend=ExportBackend.CoreML)


def pruned(**fields: object) -> nn.Module:
    module, inputs = layer()
    config = ModuleMagnitudePrunerConfig(op_state_spec={"weight": PruningSpec(**fields)})
    pruner = MagnitudePruner(module, MagnitudePrunerConfig(global_config=config))
    pruner.prepare(inputs)
    return pruner.finalize(backend=ExportBackend.CoreML)


INT8_TABLE = QuantizationSpec(dtype=torch.int8, granularity=PerTensorGranularity())
PRESETS = QuantizerConfig.presets
# Name -> the model, the bytes that the bits of its weight say, and the lowest deployment target.
WEIGHTS: dict[str, tuple[Callable[[], nn.Module], float, ct.target]] = {
    "w8 of a graph": (lambda: quantized(PRESETS.w8(execution_mode=ExecutionMode.GRAPH)), 8 * BIT + 2 * ROWS, IOS17),
    "w8": (lambda: quantized(PRESETS.w8(execution_mode=ExecutionMode.EAGER)), 8 * BIT + 2 * ROWS, IOS17),
    "w4": (lambda: quantized(PRESETS.w4(execution_mode=ExecutionMode.EAGER)), 4 * BIT + 2 * ROWS, IOS18),
    "w4 of blocks": (lambda: quantized(PRESETS.w4_per_block(execution_mode=ExecutionMode.EAGER)), 4.5 * BIT, IOS18),
    "4-bit table": (lambda: palettized(n_bits=4), 4 * BIT, IOS17),
    "4-bit table of int8": (lambda: palettized(n_bits=4, lut_qspec=INT8_TABLE), 4 * BIT, IOS18),
    "two fifths of the weights": (lambda: pruned(target_sparsity=0.6), BIT + 0.4 * 16 * BIT, IOS17),
}


@pytest.fixture(scope="module")
def rest() -> int:
    """The bytes of the float16 program that are not its weight."""
    module, inputs = layer()
    return len(lower(module, inputs, precision=FLOAT16).pte) - int(16 * BIT)


# The others run with COREML_DELEGATE_FULL_TESTS.
SAMPLE = ("w8 of a graph", "w4 of blocks", "4-bit table of int8", "two fifths of the weights")


@pytest.mark.parametrize("name", WEIGHTS if FULL else SAMPLE)
def test_weights_keep_their_form_and_their_numbers(name: str, rest: int) -> None:
    make, size, lowest = WEIGHTS[name]
    model, (_, inputs) = make(), layer()
    for target in {lowest, IOS18}:
        lowered = lower(model, inputs, target=target, precision=FLOAT16)
        assert any(op.startswith("constexpr") for op in lowered.ops)
        assert abs((len(lowered.pte) - rest) / size - 1) < 0.03, (target, len(lowered.pte), rest, size)
        assert relative(lowered.run(*inputs), model(*inputs)) < 3e-3
    assert relative(lower(model, inputs, target=lowest, precision=FLOAT32).run(*inputs), model(*inputs)) < 1e-6


@pytest.mark.parametrize("mode", [ExecutionMode.GRAPH, ExecutionMode.EAGER])
def test_activations_that_are_quantized_have_the_integers_of_the_model(mode: ExecutionMode) -> None:
    model, (_, inputs) = quantized(QuantizerConfig(execution_mode=mode)), layer()
    lowered = lower(model, inputs, target=IOS17, precision=FLOAT32)
    assert lowered.ops.count("quantize") >= 2
    expected, actual = model(*inputs), lowered.run(*inputs)
    steps = (actual - expected).abs() / torch.unique(expected).diff().min()
    # A sum in another order may move a value across the border between two steps.
    assert float(steps.max()) < 1.01
    assert float((steps > 0.5).double().mean()) < 0.01
