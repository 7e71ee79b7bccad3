"""Quantized programs through to a run on the portable engine, compared with the quantized PyTorch program."""

from __future__ import annotations

import coremltools as ct
import pytest
import torch
import torch.nn.functional as F
from coremltools.proto import MIL_pb2
from quantized_lowering import FLOAT16, FULL, lower, quantize, relative
from torch import nn


class Network(nn.Module):
    """Every kind of pattern once: convolutions with and without batch norm, transposed, add, concat, pool, mean, split, linear."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.same = nn.Conv2d(8, 8, 3, padding="same")
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.first = nn.Linear(16, 8, bias=False)
        self.last = nn.Linear(8, 8)

    def forward(self, x):
        a = F.relu(self.norm(self.conv(x)))
        b = F.max_pool2d(a + F.silu(self.same(a)), 2)
        c = self.up(b)
        d = self.first(torch.cat([c, c * 0.5], 1).mean((2, 3)))
        e, f = d.split(4, 1)
        return torch.sigmoid(self.last(torch.cat([f, e], 1))) + 1


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network().eval(), (torch.randn(2, 3, 16, 16),)


# Name -> the configuration, and options of the quantizer.
MODES = {
    "w8a8": ({}, {}),
    "w8a8_int8": ({}, {"activation_dtype": torch.int8}),
    "w8a8_affine": ({"quantization_scheme": "affine", "weight_dtype": torch.quint8}, {}),
    "w8a8_per_tensor": ({"weight_per_channel": False}, {}),
    "w8": ({"activation_dtype": torch.float32}, {}),
    "w4a8": ({"weight_dtype": "qint4"}, {}),
    "w4": ({"weight_dtype": "qint4", "activation_dtype": torch.float32}, {}),
}


def target(mode):
    return ct.target.iOS18 if mode.startswith("w4") else ct.target.iOS17


@pytest.fixture(scope="module")
def quantized(network):
    """Mode -> the quantized program; the same one for every test."""
    programs = {}

    def get(mode):
        if mode not in programs:
            configuration, options = MODES[mode]
            programs[mode] = quantize(*network, configuration, **options)
        return programs[mode]

    return get


@pytest.mark.parametrize("mode", MODES if FULL else ["w8a8", "w8a8_affine", "w4"])
def test_float32_programs_compute_what_the_quantized_program_computes(mode, network, quantized):
    program = quantized(mode)
    lowered = lower(program, network[1], target=target(mode))
    # The same steps; a float32 sum in another order may cross the border between two.
    assert relative(lowered.run(*network[1]), program(*network[1])) < (2e-3 if "a8" in mode else 1e-6)
    assert ("quantize" in lowered.ops) == ("dequantize" in lowered.ops) == ("a8" in mode)


@pytest.mark.parametrize("mode", MODES if FULL else ["w8a8", "w8"])
def test_float16_programs_differ_by_float16_noise(mode, network, quantized):
    program = quantized(mode)
    lowered = lower(program, network[1], target=target(mode), precision=FLOAT16)
    # Of quantized activations a few land one step (1/128 of the largest) off.
    assert relative(lowered.run(*network[1]), program(*network[1])) < (1e-2 if "a8" in mode else 2e-3)


def test_weights_are_stored_in_their_own_width(network, quantized):
    w8 = lower(quantized("w8"), network[1])
    assert [t.dataType for t in w8.weights("constexpr_affine_dequantize", "quantized_data")] == [MIL_pb2.INT8] * 5
    w4 = lower(quantized("w4"), network[1], target=ct.target.iOS18)
    assert [t.dataType for t in w4.weights("constexpr_blockwise_shift_scale", "data")] == [MIL_pb2.INT4] * 5


@pytest.mark.parametrize(
    ("mode", "needed", "what"), [("w8a8", "iOS17", "8-bit weights or activations"), ("w4", "iOS18", "weights of fewer than 8 bits")]
)
def test_a_target_too_low_is_refused_in_one_sentence(mode, needed, what, network, quantized):
    for given, said in ((None, "none is set, so iOS15 is used"), (ct.target.iOS16, "minimum_deployment_target is iOS16")):
        with pytest.raises(ValueError, match="This program has") as error:
            lower(quantized(mode), network[1], target=given)
        message = str(error.value)
        assert message.startswith(f"This program has {what}")
        assert f"from minimum_deployment_target {needed} on, and {said}: pass" in message
        assert f"minimum_deployment_target=ct.target.{needed}) to CoreMLPartitioner." in message
        assert message.count(". ") == 0
