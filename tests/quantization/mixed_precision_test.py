"""The search for modules to keep float."""

from __future__ import annotations

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (registers the delegate)
import pytest
import torch
from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
from executorch.backends.apple.coreml.quantizer.mixed_precision import find_float_modules
from torch import nn


class Outlier(nn.Module):
    """Four layers, of which two have one weight far larger than the others, and so coarse steps for these."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(4))
        with torch.no_grad():
            for index in (1, 3):
                self.blocks[index][0].weight[:, 0] *= 300

    def forward(self, x):
        for block in self.blocks:
            x = block(x * torch.tensor([0.003] + [1.0] * 63))
        return x


def config():
    return LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(activation_dtype=torch.float32, weight_dtype="qint4"))


@pytest.fixture(scope="module")
def outlier():
    torch.manual_seed(0)
    return Outlier().eval(), [(torch.rand(8, 64),), (torch.rand(8, 64),)]


def test_the_sensitive_modules_stay_float_and_the_engine_meets_the_tolerance(outlier):
    model, samples = outlier
    result = find_float_modules(model, samples, config(), tolerance=0.1, target=ct.target.iOS18)
    assert sorted(result.float_modules) == ["blocks.1.0", "blocks.3.0"]
    first, last = [step for step in result.steps if step.on_engine]
    assert first.float_modules == ()
    assert first.difference > 0.1 >= last.difference
    assert first.size < last.size
    # None can be quantized after all.
    for name in result.float_modules:
        without = tuple(sorted(set(result.float_modules) - {name}))
        (tried,) = [step for step in result.steps if step.float_modules == without and not step.on_engine]
        assert tried.difference > 0.1
    quantizer = CoreMLQuantizer(result.config)
    quantizer.annotate(torch.export.export(model, samples[0]).module())
    assert [item.module for item in quantizer.report.annotated] == ["blocks.0.0", "blocks.2.0"]
    assert str(result).splitlines()[0] == "tolerance 1.00e-01; 2 of 4 modules stay float"
    assert str(result).splitlines()[-1].endswith("engine       blocks.1.0, blocks.3.0")


def test_nothing_stays_float_when_the_tolerance_is_met_at_once(outlier):
    model, samples = outlier
    result = find_float_modules(model, samples[0], config(), tolerance=10.0, target=ct.target.iOS18)
    assert result.float_modules == ()
    assert [step.on_engine for step in result.steps].count(True) == 1


def test_a_layer_inside_a_float_block_can_be_quantized():
    """An entry for a block holds for everything in it, so what is quantized inside needs its own."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 16)

        def forward(self, x):
            return self.layer(x) + x

    torch.manual_seed(0)
    model = nn.Sequential(Block()).eval()
    configuration = LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig())
    result = find_float_modules(model, (torch.rand(8, 16) * torch.logspace(-4, 2, 16),), configuration, tolerance=0.003)
    assert set(result.sensitivity) == {"0", "0.layer"}
    assert all(difference > 0 for difference in result.sensitivity.values())


def test_wrong_uses_are_refused_with_the_fix(outlier):
    model, samples = outlier
    with pytest.raises(ValueError, match=r"pass a positive l2-relative difference, such as 0\.01"):
        find_float_modules(model, samples, config(), tolerance=0)
    nothing = LinearQuantizerConfig(module_type_configs={nn.Conv2d: ModuleLinearQuantizerConfig()})
    with pytest.raises(ValueError, match="the configuration quantizes no module"):
        find_float_modules(model, samples, nothing, tolerance=0.1)
    with pytest.raises(ValueError, match=r"pass a larger tolerance, precision=ct.precision.FLOAT32"):
        find_float_modules(model, samples, config(), tolerance=1e-9, target=ct.target.iOS18)
