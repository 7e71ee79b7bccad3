"""What is computed of constants alone is what PyTorch computes of them, whatever MIL's NumPy makes of it."""

from __future__ import annotations

from collections.abc import Callable

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import pytest
import torch
from aot_lowering import lower, outside
from coremltools.converters.mil.mil import Builder as mb
from running import execute
from torch import nn

_EQUALS = torch.tensor([[2, 0, 1, 0, 2, 1, 0, 1, 2, 0, 1, 2, 2, 0, 1, 0, 2, 1]], dtype=torch.int32)
_LEAST = torch.tensor([[3, -(2**31), 2**31 - 1, -(2**31) + 1]], dtype=torch.int32)

Function = Callable[[torch.Tensor], torch.Tensor]


class _OfConstant(nn.Module):
    """The function of a buffer, in the dtype of an input that makes the program one for Core ML."""

    def __init__(self, function: Function, value: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("value", value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.value) + x


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (lambda value: torch.sort(value, 1)[1], _EQUALS),
        (lambda value: torch.sort(value, 1, descending=True)[1], _EQUALS),
        (lambda value: torch.argsort(value, 1), _EQUALS),
        (lambda value: torch.topk(value, 7, 1)[1], _EQUALS),
        (lambda value: torch.sort(value, 1, descending=True)[0], _LEAST),
        (lambda value: torch.argsort(value, 1, descending=True), _LEAST),
    ],
    ids=["sort", "sort descending", "argsort", "topk", "least integer", "place of the least integer"],
)
@pytest.mark.parametrize("target", [ct.target.iOS15, ct.target.iOS18], ids=["iOS15", "iOS18"])
def test_constants(function: Function, value: torch.Tensor, target: ct.target) -> None:
    model, zeros = _OfConstant(function, value), torch.zeros(1, dtype=torch.int32)
    edge = lower(model, (zeros,), minimum_deployment_target=target)
    assert not [name for name in outside(edge) if "sort" in name or "topk" in name]
    (actual,) = execute(edge, (zeros,))
    torch.testing.assert_close(actual, model(zeros), rtol=0, atol=0)


def test_numpy_has_another_order_of_equals() -> None:
    @mb.program(input_specs=[])
    def program() -> object:
        return mb.argsort(x=_EQUALS.numpy(), axis=1, ascending=True)

    (indices,) = program.functions["main"].outputs
    assert indices.val.tolist() != torch.argsort(_EQUALS, 1).tolist()
