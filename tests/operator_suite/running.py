"""Runs lowered programs through ExecuTorch on the portable engine, and compares with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import executorch.backends.apple.coreml.runtime as coreml_runtime
import torch
from executorch.exir import EdgeProgramManager
from executorch.runtime import Runtime

# Units of the dtype's epsilon, of the largest magnitude of an output.
TOLERANCE_IN_EPSILONS = {"float32": 64.0, "float16": 8.0}
EPSILON = {"float32": 2.0**-23, "float16": 2.0**-10}


class OfFunction(torch.nn.Module):
    """A function of one, two or three tensors as a module; lists and named tuples come out as tuples."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def _result(self, *inputs: torch.Tensor) -> Any:
        result = self.function(*inputs)
        return tuple(result) if isinstance(result, (tuple, list)) else result


class OfOne(OfFunction):
    def forward(self, a: torch.Tensor) -> Any:
        return self._result(a)


class OfTwo(OfFunction):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> Any:
        return self._result(a, b)


class OfThree(OfFunction):
    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> Any:
        return self._result(a, b, c)


def module_of(function: Callable[..., Any], count: int) -> torch.nn.Module:
    return (OfOne, OfTwo, OfThree)[count - 1](function).eval()


def flat(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else [tensor for part in value for tensor in flat(part)]


def execute(edge: EdgeProgramManager, inputs: tuple[torch.Tensor, ...], method: str = "forward") -> list[torch.Tensor]:
    """Raises RuntimeError with the delegate's own message when it is the delegate that fails."""
    program = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    try:
        return list(program.load_method(method).execute(list(inputs)))
    except RuntimeError as error:
        raise RuntimeError(f"{error} {coreml_runtime.last_error()}") from error


def difference(actual: torch.Tensor, expected: torch.Tensor, precision: str = "float32", *, values: bool = True) -> str | None:
    """What is wrong with a result; None when nothing is. Infinities and NaNs must be where torch has them."""
    if (actual.dtype, actual.shape) != (expected.dtype, expected.shape):
        return f"{actual.dtype} {tuple(actual.shape)}, not {expected.dtype} {tuple(expected.shape)}"
    if not values or actual.numel() == 0:
        return None
    a, e = actual.double(), expected.double()
    finite = e.isfinite()
    if not torch.equal(torch.where(finite, 0.0, a).nan_to_num(nan=0.5), torch.where(finite, 0.0, e).nan_to_num(nan=0.5)):
        return f"{actual.flatten()[:8].tolist()}, not {expected.flatten()[:8].tolist()}"
    if not finite.any():
        return None
    allowed = 0.0
    if expected.is_floating_point():
        allowed = TOLERANCE_IN_EPSILONS[precision] * EPSILON[precision] * max(float(e[finite].abs().max()), 1e-3)
    worst = float((a[finite] - e[finite]).abs().max())
    if worst <= allowed:
        return None
    return f"off by {worst:.3g} (allowed {allowed:.3g}): {actual.flatten()[:8].tolist()}, not {expected.flatten()[:8].tolist()}"


def differences(
    edge: EdgeProgramManager,
    module: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    precision: str = "float32",
    *,
    values: bool = True,
) -> list[str]:
    """Executes a program and says what is wrong with its outputs."""
    expected = flat(module(*inputs))
    actual = execute(edge, inputs)
    if len(actual) != len(expected):
        return [f"{len(actual)} outputs, not {len(expected)}"]
    found = (difference(a, e, precision, values=values) for a, e in zip(actual, expected, strict=True))
    return [f"output {index}: {text}" for index, text in enumerate(found) if text is not None]
