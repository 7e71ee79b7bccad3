"""A finished model takes and gives what the exported program says, or lowering stops with a sentence."""

from __future__ import annotations

import coremltools as ct
import pytest
import torch
from aot_lowering import call, export, lower
from coremltools.proto import MIL_pb2
from executorch.backends.apple.coreml.compiler import border_check
from torch.export import Dim

IOS18 = ct.target.iOS18


class Several(torch.nn.Module):
    """Results of every kind, one of rank 0."""

    def forward(self, x, i, b):
        return x + 1, i * 2, ~b, (x > 0).sum(), x.half()


INPUTS = (torch.randn(2, 3), torch.arange(6).reshape(2, 3), torch.tensor([True, False]))
DYNAMIC = ({0: Dim("n", min=2, max=8)}, {0: Dim("n", min=2, max=8)}, None)


@pytest.fixture(scope="module", params=[ct.target.iOS15, ct.target.iOS16, IOS18], ids=lambda target: target.name)
def lowered(request):
    return [call(lower(Several(), INPUTS, dynamic=dynamic, minimum_deployment_target=request.param)) for dynamic in (None, DYNAMIC)]


def test_models_are_what_was_exported(lowered):
    for dynamic, made in zip((None, DYNAMIC), lowered):
        border_check.check(export(Several(), INPUTS, dynamic), made.spec)


def test_states_are_no_inputs():
    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("total", torch.zeros(2))

        def forward(self, x):
            self.total.add_(x)
            return self.total * 2

    made = call(lower(Sum(), (torch.ones(2),), minimum_deployment_target=IOS18))
    assert made.spec.description.state
    border_check.check(export(Sum(), (torch.ones(2),)), made.spec)


class Other(torch.nn.Module):
    def __init__(self, results):
        super().__init__()
        self.results = results

    def forward(self, x, i, b):
        return self.results(x, i, b)


WRONG = {
    "a real that should be an integer": (
        lambda x, i, b: ((x + 1).int(), i * 2, ~b, (x > 0).sum(), x.half()),
        "where PyTorch has int32[2, 3]",
    ),
    "an integer that should be a real": (
        lambda x, i, b: (x + 1, i * 2.0, ~b, (x > 0).sum(), x.half()),
        "is int32[2, 3], where PyTorch has float32[2, 3]",
    ),
    "another rank": (lambda x, i, b: (x + 1, i * 2, ~b, (x > 0).sum(0), x.half()), "is int32[], where PyTorch has int64[3]"),
    "another extent": (lambda x, i, b: (x + 1, i[:1] * 2, ~b, (x > 0).sum(), x.half()), "where PyTorch has int64[1, 3]"),
    "another order": (lambda x, i, b: (i * 2, x + 1, ~b, (x > 0).sum(), x.half()), "output 0 "),
    "another number": (lambda x, i, b: (x + 1, i * 2, ~b, (x > 0).sum()), "the model has 5 outputs, where PyTorch has 4"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_difference_is_one_sentence(name, lowered):
    results, words = WRONG[name]
    with pytest.raises(ValueError, match="The Core ML model differs from the exported program: ") as raised:
        border_check.check(export(Other(results), INPUTS), lowered[0].spec)
    assert words in str(raised.value)


def test_inputs_are_checked(lowered):
    with pytest.raises(ValueError, match=r"input 1 \(i\) is int32\[2, 3\], where PyTorch has float32\[2, 3\] \(node i\)"):
        border_check.check(export(Other(lambda x, i, b: (x, i, b, x.sum(), x)), (INPUTS[0], INPUTS[0], INPUTS[2])), lowered[0].spec)


def test_what_a_pass_breaks_is_found(lowered):
    """The type of a result of the last operation, as a pass might leave it."""
    spec = type(lowered[0].spec).FromString(lowered[0].spec.SerializeToString())
    made = spec.mlProgram.functions["main"]
    block = made.block_specializations[made.opset]
    (operation,) = (op for op in block.operations if op.outputs[0].name == block.outputs[1])
    operation.outputs[0].type.tensorType.dataType = MIL_pb2.DataType.FLOAT16
    (difference,) = border_check.differences(export(Several(), INPUTS), spec)
    assert "output 1" in difference
    assert "float16[2, 3], where PyTorch has int64[2, 3]" in difference
