"""Results that torch lays out in an order of their own: what lies between Core ML and ExecuTorch's kernels is contiguous."""

from __future__ import annotations

from collections.abc import Callable

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import pytest
import torch
from aot_lowering import Unary, export, lower
from executorch.backends.apple.coreml.partition import layouts
from running import execute
from torch import nn


class _BatchFirst(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.function = kind(3, 4, batch_first=True, bidirectional=True), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.layer(x.transpose(1, 2))[0])


def _between(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.asinh(x), x]) * 2


def _product(x: torch.Tensor) -> torch.Tensor:
    return _between(torch.einsum("bij,bkj->ikb", x, x))


@pytest.mark.parametrize(
    "model",
    [
        _BatchFirst(nn.LSTM, torch.asinh),
        _BatchFirst(nn.LSTM, _between),
        _BatchFirst(nn.GRU, _between),
        Unary(lambda x: torch.asinh(torch.einsum("bij,bkj->ikb", x * 2, x))),
        Unary(lambda x: torch.cond(x.sum() > 0, _between, lambda x: _between(-x), (torch.einsum("bij,bkj->ikb", x, x),))),
        Unary(lambda x: torch.cond(x.sum() > 0, _product, lambda x: _product(-x), (x,))),
    ],
    ids=["to the outside", "and back", "of a GRU", "einsum", "into a branch", "inside a branch"],
)
def test_results_in_an_order_of_their_own(model: nn.Module) -> None:
    """ExecuTorch's kernels, here asinh's, take contiguous tensors, and fail for others when the program runs."""
    x = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    edge = lower(model, (x,), compute_precision=ct.precision.FLOAT32)
    (actual,) = execute(edge, (x,))
    torch.testing.assert_close(actual, model(x), rtol=1e-5, atol=1e-5)


def test_a_program_without_such_results_is_left_alone() -> None:
    program = export(lambda x: (x.transpose(0, 1) + 1).permute(2, 1, 0) @ x[0], (torch.randn(3, 4, 5),))
    assert layouts.with_contiguous_results(program) is program
    assert any(
        node.meta["val"].stride() != node.meta["val"].contiguous().stride()
        for node in program.graph.nodes
        if node.op == "call_function"
    )
