"""Marks what coremltools' suite cannot pass here, and records what each case did.

Options, which run_suite.py uses:
    --only=FILE     Run the cases whose ids are the lines of FILE.
    --record=FILE   Append to FILE a line of JSON when a case begins and one when it has ended: `id`, `outcome`, `seconds`, `predictions`,
                    `cause` of what did not pass, and `operations`, those of the programs that made predictions by opset.
"""

from __future__ import annotations

import fnmatch
import gc
import json
import pathlib
import random

import numpy as np
import pytest

_EXCLUSIONS = pathlib.Path(__file__).with_name("op_suite_exclusions.txt")


def _exclusions() -> list[tuple[str, str]]:
    """(pattern of test names, cause) for each line `PATTERN: CAUSE` that is no comment."""
    lines = _EXCLUSIONS.read_text().splitlines() if _EXCLUSIONS.exists() else []
    return [tuple(line.split(": ", 1)) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


# Cases that make no prediction and hold coremltools itself to a time: 10 ms, which a busy machine does not keep.
_TIMED = {"Test_iOS14_tensor_transformation_SliceByIndex::test_efficient_type_inference"}


def _case(nodeid: str) -> str:
    """CLASS::TEST[CASE]: an item's id without the file."""
    return nodeid.partition("::")[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only", help="run the cases whose ids are the lines of this file")
    parser.addoption("--record", help="append what each case did to this file")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if only := config.getoption("--only"):
        wanted = set(pathlib.Path(only).read_text().splitlines())
        config.hook.pytest_deselected(items=[item for item in items if _case(item.nodeid) not in wanted])
        items[:] = [item for item in items if _case(item.nodeid) in wanted]
    timed = [item for item in items if _case(item.nodeid) in _TIMED]
    config.hook.pytest_deselected(items=timed)
    items[:] = [item for item in items if item not in timed]
    exclusions = _exclusions()
    for item in items:
        # What coremltools expects Core ML to get wrong need not go wrong here: its own marks say nothing about this engine.
        for mark in item.iter_markers("xfail"):
            mark.kwargs["strict"] = False
        # op_suite_exclusions.txt: what cannot pass, each with its cause. Excluded cases run, and must fail: strict, so that a line whose cause
        # is gone fails the test until it is removed.
        for pattern, cause in exclusions:
            if fnmatch.fnmatchcase(_case(item.nodeid), pattern):
                item.add_marker(pytest.mark.xfail(reason=f"excluded: {cause}", strict=True))


def pytest_collection_finish() -> None:
    # ct.convert() ends with a full collection, which takes 0.6 s of a case's 0.75 when it walks over all modules and cases every time.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    """coremltools' tests draw their inputs from the global generators."""
    random.seed(request.node.name)
    np.random.seed(random.randrange(2**32))


class _Recorder:
    """What the cases of this run did."""

    def __init__(self, path: str | None) -> None:
        self._file = open(path, "a", buffering=1) if path else None  # noqa: SIM115 (lives as long as the run)
        self.predictions = 0
        self._of_case: dict = {}

    def predicted(self, model, count: int) -> None:
        self.predictions += count
        self._of_case["predictions"] += count
        for opset, operations in model.recorded_operations.items():
            self._of_case["operations"].setdefault(opset, set()).update(operations)

    def _write(self, line: dict) -> None:
        if self._file:
            self._file.write(json.dumps(line, sort_keys=True) + "\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._of_case = {"id": _case(nodeid), "outcome": "passed", "seconds": 0.0, "predictions": 0, "operations": {}}
        self._write({"begun": _case(nodeid)})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = self._of_case
        case["seconds"] += report.duration
        if report.outcome == "passed" and case["outcome"] == "passed":
            return
        if report.skipped:
            case["outcome"] = "skipped"
            case["cause"] = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
            if hasattr(report, "wasxfail"):
                case["outcome"] = "excluded" if report.wasxfail.startswith("excluded: ") else "expected failure"
                case["cause"] = report.wasxfail.removeprefix("excluded: ")
        elif report.failed:
            case["outcome"] = "failed"
            crash = getattr(report.longrepr, "reprcrash", None)
            case["cause"] = crash.message if crash else str(report.longrepr)

    def pytest_runtest_logfinish(self) -> None:
        case = self._of_case
        case["operations"] = {opset: sorted(names) for opset, names in case["operations"].items()}
        case["seconds"] = round(case["seconds"], 3)
        self._write(case)

    def pytest_terminal_summary(self, terminalreporter) -> None:
        terminalreporter.write_line(f"{self.predictions} predictions made")


def _operations(package: pathlib.Path) -> dict[str, list[str]]:
    """The names of the operations in a package's program by opset, without the constants."""
    from coremltools.proto import Model_pb2

    (path,) = package.rglob("*.mlmodel")
    spec = Model_pb2.Model()
    spec.ParseFromString(path.read_bytes())
    found: dict[str, set[str]] = {}

    def visit(block, names: set[str]) -> None:
        for operation in block.operations:
            if operation.type != "const":
                names.add(operation.type)
            for inner in operation.blocks:
                visit(inner, names)

    for function in spec.mlProgram.functions.values():
        for opset, block in function.block_specializations.items():
            visit(block, found.setdefault(opset, set()))
    return {opset: sorted(names) for opset, names in found.items()}


def pytest_configure(config: pytest.Config) -> None:
    from executorch.backends.apple.coreml.engine import ml_model

    recorder = _Recorder(config.getoption("--record", None))
    config.pluginmanager.register(recorder)
    load, predict = ml_model.MLModel.__init__, ml_model.MLModel.predict

    def recorded_load(self, path, *arguments, **options) -> None:
        load(self, path, *arguments, **options)
        self.recorded_operations = _operations(pathlib.Path(path))

    def recorded_predict(self, data, *arguments, **options):
        outputs = predict(self, data, *arguments, **options)
        if not isinstance(outputs, list):  # A list is made of predictions that count themselves.
            recorder.predicted(self, 1)
        return outputs

    ml_model.MLModel.__init__, ml_model.MLModel.predict = recorded_load, recorded_predict
