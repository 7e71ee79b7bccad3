"""The rows that are there for what devices compute: they hold by default, `device_guards=False` turns them off, and here both are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import coremltools as ct
import executorch.backends.apple.coreml.runtime as coreml_runtime
import pytest
import torch
from aot_lowering import calls, lower
from executorch.backends.apple.coreml.compiler import op_rules
from executorch.backends.apple.coreml.compiler.correction_table import Correction
from executorch.runtime import Runtime
from torch.nn import functional as F

INFINITY = float("inf")
# What the Neural Engine makes 0 of, beside what is small.
LARGE = torch.tensor([[-200.0, -12.0, -3.0, 0.0, 0.5, 10.3], [10.5, 12.0, 100.0, INFINITY, -INFINITY, 9.0]])
ROWS = torch.tensor(
    [[7.5, 8.0, 9.0], [300.0, 299.0, 0.0], [-INFINITY, -INFINITY, -INFINITY], [INFINITY, 1.0, 2.0], [-9.0, -8.0, -20.0]]
)

# A function, its input, and an operation of the model without the rows that is not in the model with them.
FUNCTIONS: dict[str, tuple[Callable[..., Any], torch.Tensor, str]] = {
    "softplus": (F.softplus, LARGE, "softplus"),
    "softplus of a beta": (lambda x: F.softplus(x, beta=2.0), LARGE, "softplus"),
    "mish": (F.mish, LARGE[:, :4].contiguous(), "softplus"),
    "logsumexp": (lambda x: torch.logsumexp(x, 1), ROWS, "reduce_log_sum_exp"),
    "logsumexp of all": (lambda x: torch.logsumexp(x, (0, 1), keepdim=True), ROWS[::4].contiguous(), "reduce_log_sum_exp"),
}


def results(edge: Any, x: torch.Tensor, numeric_mode: str) -> torch.Tensor:
    with coreml_runtime.options(numeric_mode=numeric_mode):
        method = Runtime.get().load_program(bytes(edge.to_executorch().buffer)).load_method("forward")
        result: torch.Tensor = method.execute([x])[0].clone()
    return result


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_large_numbers(name: str) -> None:
    function, x, operation = FUNCTIONS[name]
    guarded = lower(function, (x,))
    unguarded = lower(function, (x,), device_guards=False)
    assert operation not in calls(guarded)[0].mil_ops
    assert operation in calls(unguarded)[0].mil_ops
    # Programs of float32 do not run on the Neural Engine.
    assert operation in calls(lower(function, (x,), compute_precision=ct.precision.FLOAT32))[0].mil_ops
    expected = function(x.double()).float()
    for mode in ("float32", "float16"):
        torch.testing.assert_close(results(guarded, x, mode), expected, rtol=4 * 2.0**-11, atol=2.0**-16)
    torch.testing.assert_close(results(unguarded, x, "float32"), expected, rtol=4 * 2.0**-11, atol=2.0**-16)


def test_the_sign_of_a_remainder() -> None:
    def rest(x: torch.Tensor) -> torch.Tensor:
        return torch.remainder(x, 3.0)

    x = torch.tensor([-4.0, -3.0, 4.0, 0.5])
    guarded, unguarded = lower(rest, (x,)), lower(rest, (x,), device_guards=False)
    assert len(calls(guarded)[0].mil_ops) > len(calls(unguarded)[0].mil_ops)
    for edge in (guarded, unguarded):
        torch.testing.assert_close(results(edge, x, "float32"), rest(x), rtol=2.0**-10, atol=0)


def test_each_row_names_its_thread() -> None:
    rows = [row for row in op_rules.rules_of(Correction) if row.on_devices is not None]
    assert sorted(op for row in rows for op in row.ops) == ["logsumexp", "mish", "remainder", "softplus"]
    assert all(row.reference.startswith("https://github.com/") for row in rows)
