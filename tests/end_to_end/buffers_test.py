"""Buffers that a program changes start from what the module has, whoever keeps them, and are read and written in the program's order."""

from __future__ import annotations

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (registers the delegate)
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime


class Buffered(torch.nn.Module):
    """A buffer and a function of it and an input."""

    def __init__(self, start: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("last", torch.full((4,), start))


class Replaced(Buffered):
    """The new value is an input of the program, so that no partition can own it."""

    def forward(self, x):
        before = self.last * 1.0
        self.last.copy_(x)
        return before + x


class ReplacedByAComputedValue(Buffered):
    def forward(self, x):
        before = self.last * 1.0
        self.last.copy_(x * 2)
        return before + x


class ReadAfterwards(Buffered):
    def forward(self, x):
        self.last.copy_(x)
        return self.last + x


class WrittenTwice(Buffered):
    def forward(self, x):
        before = self.last + 0
        self.last.add_(x)
        between = self.last * 2
        self.last.mul_(x)
        return before, between, self.last + 1


class WrittenInPart(Buffered):
    def forward(self, x):
        before = self.last + x
        self.last[1:3] = x[1:3]
        return before, self.last * 2


class Filled(Buffered):
    def forward(self, x):
        before = self.last * 2
        self.last.fill_(3.0)
        return before + x


class Returned(Buffered):
    def forward(self, x):
        self.last.add_(x)
        return self.last, x + 1


class Swapped(Buffered):
    """Two buffers, each of which becomes the other."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("other", torch.full((4,), -2.0))

    def forward(self, x):
        last, other = self.last + 0, self.other + 0
        self.last.copy_(other)
        self.other.copy_(last + x)
        return last - other


class CalledLikeAnInput(Buffered):
    """A state of Core ML is called like its buffer."""

    def forward(self, last):
        self.last.add_(last)
        return self.last * 2


class OfHalves(torch.nn.Module):
    """coremltools reads float32 of every state."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.full((4,), 0.5, dtype=torch.float16))

    def forward(self, x):
        before = self.last * 2
        self.last[1:3] = x[1:3].half()
        return (before + self.last).float()


KINDS = (
    Replaced,
    ReplacedByAComputedValue,
    ReadAfterwards,
    WrittenTwice,
    WrittenInPart,
    Filled,
    Returned,
    Swapped,
    OfHalves,
)


def lowered(module: torch.nn.Module, *, target: ct.target, take_over: bool, precision: ct.precision) -> bytes:
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=target, compute_precision=precision)
    partitioner = CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=take_over)
    program = torch.export.export(module.eval(), (torch.ones(4),))
    return bytes(to_edge_transform_and_lower(program, partitioner=[partitioner]).to_executorch().buffer)


@pytest.mark.parametrize("precision", [ct.precision.FLOAT32, ct.precision.FLOAT16], ids=lambda precision: precision.name)
@pytest.mark.parametrize(("target", "take_over"), [(ct.target.iOS18, True), (ct.target.iOS18, False), (ct.target.iOS15, True)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_step_is_torch_s(kind: type[torch.nn.Module], target: ct.target, take_over: bool, precision: ct.precision) -> None:
    program = Runtime.get().load_program(lowered(kind(), target=target, take_over=take_over, precision=precision))
    method = program.load_method("forward")
    module = kind()
    for step in range(4):
        x = torch.tensor([1.0, -2.0, 3.0, 0.5]) + step
        expected = module(x)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for actual, wanted in zip(method.execute([x]), expected):
            # Multiples of a half up to a few hundred: nothing is rounded, in float16 neither.
            torch.testing.assert_close(actual, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("precision", [ct.precision.FLOAT32, ct.precision.FLOAT16], ids=lambda precision: precision.name)
def test_an_input_called_like_a_buffer_that_core_ml_keeps(precision: ct.precision) -> None:
    """Kept outside, such a buffer is ExecuTorch's, which writes the new value into the input (seen without any delegate)."""
    content = lowered(CalledLikeAnInput(), target=ct.target.iOS18, take_over=True, precision=precision)
    method = Runtime.get().load_program(content).load_method("forward")
    module = CalledLikeAnInput()
    for step in range(3):
        x = torch.tensor([1.0, -2.0, 3.0, 0.5]) + step
        torch.testing.assert_close(method.execute([x])[0], module(x), rtol=0, atol=0)


class Cache(Buffered):
    """A large buffer that starts as zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(250_000))

    def forward(self, x):
        self.cache.add_(x.sum())
        self.last.add_(x)
        return self.cache.sum() + self.last


def test_zeros_take_no_room_in_the_program() -> None:
    assert len(lowered(Cache(), target=ct.target.iOS15, take_over=True, precision=ct.precision.FLOAT32)) < 100_000
