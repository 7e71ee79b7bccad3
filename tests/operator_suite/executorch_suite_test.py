"""ExecuTorch's operator suite (backends/test/suite), flow `coreml`, from the installed wheel, with numerics on the portable engine.

The suite's own runner decides: it lowers, runs and compares. Its cases are taken from its files as they are; the flow's skip list, which
leaves argmin and argmax out because they crash elsewhere, is not applied. By default a fixed sample; all with COREML_DELEGATE_FULL_TESTS=1.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import logging
import os
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import executorch.backends.apple.coreml.runtime  # noqa: F401  registers the backend
import executorch.backends.test.suite.operators as suite
import pytest
import torch
from executorch.backends.test.suite.flows.coreml import COREML_TEST_FLOW
from executorch.backends.test.suite.reporting import TestCaseSummary, TestResult
from executorch.backends.test.suite.runner import run_test

FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
# One case in this many is the default run's.
SAMPLE = 16
SUCCESSES = (TestResult.SUCCESS, TestResult.SUCCESS_UNDELEGATED)
# What fails, and why without this project; case -> cause.
_NAMED_TUPLE = "ExecuTorch writes no program whose output is a named tuple of torch's, such as torch.max's with a dimension"
KNOWN_FAILURES = {
    "test_median.test_median_keepdim_with_indices": _NAMED_TUPLE,
    "test_median.test_median_with_indices": _NAMED_TUPLE,
}
results: Counter[str] = Counter()


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    function: Callable[..., None]
    arguments: dict[str, Any]


class Runner:
    """What the suite's fixture of the same name offers its cases."""

    def __init__(self, case: Case) -> None:
        self._flow = COREML_TEST_FLOW
        self._case = case
        self.summaries: list[TestCaseSummary] = []

    def lower_and_run_model(
        self, model: torch.nn.Module, inputs: Any, generate_random_test_inputs: bool = True, dynamic_shapes: Any = None
    ) -> None:
        self.summaries.append(
            run_test(
                model,
                inputs,
                self._flow,
                self._case.name,
                self._case.function.__name__,
                len(self.summaries),
                None,
                generate_random_test_inputs=generate_random_test_inputs,
                dynamic_shapes=dynamic_shapes,
            )
        )


def _arguments(function: Callable[..., None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The combinations that a case's own parametrize marks ask for."""
    combinations: list[tuple[str, dict[str, Any]]] = [("", {})]
    for mark in getattr(function, "pytestmark", []):
        if mark.name != "parametrize":
            continue
        names = [name.strip() for name in mark.args[0].split(",")] if isinstance(mark.args[0], str) else list(mark.args[0])
        expanded = []
        for label, given in combinations:
            for value in mark.args[1]:
                value = getattr(value, "values", value)
                values = value if len(names) > 1 or isinstance(value, tuple) else (value,)
                expanded.append((f"{label}-{'-'.join(str(v) for v in values)}", {**given, **dict(zip(names, values, strict=True))}))
        combinations = expanded
    yield from combinations


def _cases() -> Iterator[Case]:
    for info in sorted(pkgutil.iter_modules(suite.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{suite.__name__}.{info.name}")
        for name, function in sorted(vars(module).items()):
            if name.startswith("test_") and callable(function):
                for label, arguments in _arguments(function):
                    yield Case(f"{info.name}.{name}{label}", function, arguments)


def _is_sampled(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % SAMPLE == 0


CASES = [case for case in _cases() if FULL or _is_sampled(case.name)]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)
    total = sum(results.values())
    succeeded = sum(results[result.name] for result in SUCCESSES)
    print(f"\nflow coreml: {succeeded} of {total - results['SKIPPED']} passed ({results['SKIPPED']} not runnable): {dict(results)}")


def test_suite_is_there():
    assert len(list(_cases())) >= 450


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case):
    runner = Runner(case)
    case.function(runner, **case.arguments)
    assert runner.summaries
    for summary in runner.summaries:
        results[summary.result.name] += 1
    failed = [summary for summary in runner.summaries if summary.result not in (*SUCCESSES, TestResult.SKIPPED)]
    if case.name in KNOWN_FAILURES:
        assert failed, f"{case.name} passes now: take it out of KNOWN_FAILURES"
        return
    assert not failed, "; ".join(f"{summary.result.name}: {summary.error!r}" for summary in failed)
