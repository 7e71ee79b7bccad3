"""Marks what coremltools' suite cannot pass here, and counts the predictions that it makes."""

from __future__ import annotations

import fnmatch
import pathlib
import random

import numpy as np
import pytest

_EXCLUSIONS = pathlib.Path(__file__).with_name("op_suite_exclusions.txt")
_predictions = 0


def _exclusions() -> list[tuple[str, str]]:
    """(pattern of test names, cause) for each line `PATTERN: CAUSE` that is no comment."""
    lines = _EXCLUSIONS.read_text().splitlines() if _EXCLUSIONS.exists() else []
    return [tuple(line.split(": ", 1)) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    exclusions = _exclusions()
    for item in items:
        name = item.nodeid.rpartition("/")[2].partition("::")[2]
        # What coremltools expects Core ML to get wrong need not go wrong here: its own marks say nothing about this engine.
        for mark in item.iter_markers("xfail"):
            mark.kwargs["strict"] = False
        # What is excluded here must fail: a line whose cause is gone fails the test until it is removed.
        for pattern, cause in exclusions:
            if fnmatch.fnmatchcase(name, pattern):
                item.add_marker(pytest.mark.xfail(reason=cause, strict=True))


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    """coremltools' tests draw their inputs from the global generators."""
    random.seed(request.node.name)
    np.random.seed(random.randrange(2**32))


def pytest_sessionstart() -> None:
    from executorch.backends.apple.coreml.runtime import ml_model

    predict = ml_model.MLModel.predict

    def counted(*arguments, **options):
        global _predictions
        _predictions += 1
        return predict(*arguments, **options)

    ml_model.MLModel.predict = counted


def pytest_terminal_summary(terminalreporter) -> None:
    terminalreporter.write_line(f"{_predictions} predictions made")
