"""The judge lets rounding pass, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import module_judge
import pytest
import torch


class Function(torch.nn.Module):
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> object:
        return self.function(*inputs)


def judged(
    function: Callable[..., torch.Tensor],
    inputs: tuple[torch.Tensor, ...],
    precision: str,
    change: Callable[[torch.Tensor], torch.Tensor] = lambda result: result,
) -> str | None:
    """What is said of torch's own result after a change."""
    wanted = module_judge.expected(Function(function), inputs, precision)
    return module_judge.difference([change(function(*inputs))], wanted, precision)[0]


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def in_half(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    return function(*(i.half() for i in inputs)).float()


FUNCTIONS = {
    "layer_norm": lambda x: torch.nn.functional.layer_norm(x, (16,), eps=1e-3),
    "log_softmax": lambda x: torch.log_softmax(x * 4, -1),
    "matmul": lambda x: x @ x.mT,
    "cancellation": lambda x: (x + 100) - 100,
    "exp": lambda x: torch.exp(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rounding_passes(name: str):
    x = normal(16, 16)
    assert judged(FUNCTIONS[name], (x,), "float32") is None
    assert judged(FUNCTIONS[name], (x,), "float16", lambda result: in_half(FUNCTIONS[name], x)) is None


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "cancellation"])
def test_small_errors_are_seen(name: str):
    x = normal(16, 16)
    assert judged(FUNCTIONS[name], (x,), "float32", lambda result: result * (1 + 1e-4)) is not None
    assert judged(FUNCTIONS[name], (x,), "float16", lambda result: result * 1.2) is not None


def test_an_epsilon_of_another_size_is_seen():
    x = normal(4, 16)
    other = torch.nn.functional.layer_norm(x, (16,), eps=2e-3)
    assert judged(FUNCTIONS["layer_norm"], (x,), "float32", lambda result: other) is not None


def test_infinities_must_be_where_they_are():
    masked = lambda x: x.masked_fill(x > 0, -math.inf)  # noqa: E731
    assert judged(masked, (normal(3, 4),), "float32") is None
    assert judged(masked, (normal(3, 4),), "float32", lambda result: result.clamp(min=-1e4)) is not None


def test_not_a_number_must_be_where_it_is():
    assert judged(torch.sqrt, (normal(3, 4),), "float16") is None
    assert judged(torch.sqrt, (normal(3, 4),), "float16", lambda result: result.nan_to_num()) is not None


def test_integers_and_bools_are_exact():
    assert judged(lambda x: x * 3, (torch.arange(9),), "float32", lambda result: result + (torch.arange(9) == 4)) is not None
    assert judged(lambda x: x > 0, (normal(9),), "float32", torch.logical_not) is not None


def test_what_rounding_may_turn_is_not_compared():
    steps = lambda x: torch.floor(x * 1024)  # noqa: E731
    # In float16 the first is 102 / 1024, or the number below it.
    x = torch.tensor([102 / 1024 - 1e-6, 0.25])
    assert judged(steps, (x,), "float16", lambda result: torch.floor(x.half().float() * 1024)) is None
    assert judged(steps, (x,), "float16", lambda result: result + torch.tensor([0.0, 5.0])) is not None


def test_dtype_and_shape_are_compared():
    assert "float64" in (judged(torch.neg, (normal(3),), "float32", torch.Tensor.double) or "")
    assert "(3, 1)" in (judged(torch.neg, (normal(3),), "float32", lambda result: result[:, None]) or "")


def test_random_results_have_their_shape_only():
    dropout = lambda x: torch.nn.functional.dropout(x, 0.5, training=True)  # noqa: E731
    x = normal(64)
    assert judged(dropout, (x,), "float32", torch.zeros_like) is None
    assert judged(dropout, (x,), "float32", lambda result: result[:3]) is not None


def test_hopeless_conditioning_is_said():
    wanted = module_judge.expected(Function(lambda x: (x + 1e7) - 1e7), (normal(8),), "float32")
    text, share = module_judge.difference([normal(8)], wanted, "float32")
    assert module_judge.is_inconclusive(share, "float32"), text
    wanted = module_judge.expected(Function(torch.exp), (normal(8),), "float32")
    assert not module_judge.is_inconclusive(module_judge.difference([normal(8).exp()], wanted, "float32")[1], "float32")
