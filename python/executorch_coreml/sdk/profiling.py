"""Times of loading, executing and each operation, measured by the engine that runs the model.

Of a .pte they come through ExecuTorch's event tracer (ETDump), of a package from the engine itself.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml.sdk import package_facts, payload, program_file, running

_NOT_OPERATIONS = re.compile(r"^(load|compile|execute|convert) ")


@dataclasses.dataclass(frozen=True)
class OperationTime:
    """An operation, or the group that it was fused into, under the name of the group's last output in the model."""

    name: str
    # MIL's name; empty for what the engine added by itself, such as a change of layout.
    operation: str
    seconds: np.ndarray  # float64 [executions]


@dataclasses.dataclass(frozen=True)
class Profile:
    # "load main" -> seconds.
    loading: Mapping[str, float]
    # float64 [executions]: of the delegates' executions together, and of the whole method (a package: the same).
    delegate_seconds: np.ndarray
    method_seconds: np.ndarray
    # float64 [executions]: of the engine, which the operations are part of.
    engine_seconds: np.ndarray
    operations: tuple[OperationTime, ...]
    # Operators of a .pte that run outside delegates, in order; `operation` is empty.
    outside: tuple[OperationTime, ...] = ()

    @property
    def operation_seconds(self) -> np.ndarray:
        """float64 [executions]: of all operations together."""
        return sum((operation.seconds for operation in self.operations), np.zeros_like(self.method_seconds))

    @property
    def between_seconds(self) -> np.ndarray:
        """float64 [executions]: of the engine, but of no operation: its bookkeeping from one to the next, and waiting for a thread and a
        processor, which on a busy machine is most of it."""
        return np.maximum(self.engine_seconds - self.operation_seconds, 0)

    @property
    def beside_seconds(self) -> np.ndarray:
        """float64 [executions]: of delegates, beside the engine: binding and converting inputs and outputs, and recording this profile."""
        return np.maximum(self.delegate_seconds - self.engine_seconds, 0)


def profile(
    path: Path,
    given: Mapping[str, np.ndarray],
    *,
    executions: int,
    method: str = "forward",
    seed: int = 0,
    threads: int = 0,
    numeric_mode: str = "float32",
) -> Profile:
    """Executes a .pte or a package with profiling. The first execution, which also prepares, is not in the result.

    Raises:
        ToolError: for what cannot be loaded or run.
    """
    options = {"method": method, "seed": seed, "threads": threads, "numeric_mode": numeric_mode}
    if path.is_dir():
        return _package(path, given, executions, options)
    return _program(path, given, executions, options)


def _package(path: Path, given: Mapping[str, np.ndarray], executions: int, options: Mapping[str, Any]) -> Profile:
    runnable = running.prepare(path, given, **options)
    loading: dict[str, float] = {}
    rounds = []
    for index in range(executions + 1):
        assert runnable.inspect is not None
        events = runnable.inspect()
        loading.update(
            {f"{kind} {name}": (end - start) * 1e-9 for kind, name, _, start, end in events if kind in ("load", "compile")}
        )
        if index:
            rounds.append(events)
    total = np.array([sum(end - start for kind, _, _, start, end in events if kind == "execute") for events in rounds]) * 1e-9
    times: dict[tuple[str, str], np.ndarray] = collections.defaultdict(lambda: np.zeros(executions))
    for index, events in enumerate(rounds):
        for kind, name, operation, start, end in events:
            if kind == "operation":
                times[name, operation][index] += (end - start) * 1e-9
    operations = tuple(OperationTime(name, operation, seconds) for (name, operation), seconds in times.items())
    return Profile(loading, total, total, total, operations)


def _program(path: Path, given: Mapping[str, np.ndarray], executions: int, options: Mapping[str, Any]) -> Profile:
    runnable = running.prepare(path, given, **options, traced=True)
    for _ in range(executions + 1):
        runnable.call()
    with tempfile.TemporaryDirectory(prefix="coreml_profile_") as scratch:
        etdump = Path(scratch) / "profile.etdump"
        assert runnable.write_etdump is not None
        runnable.write_etdump(etdump)
        from executorch.devtools import Inspector

        blocks = Inspector(etdump_path=str(etdump)).event_blocks
    types = _operation_types(path, options["method"])
    operations: list[OperationTime] = []
    delegate = np.zeros(executions)
    method = np.zeros(executions)
    engine = np.zeros(executions)
    outside = []
    loading, timed = _of_all_runs(blocks, executions + 1)
    for (name, is_delegated, _), of_runs in timed.items():
        seconds = of_runs[1:]
        if name == "Method::execute":
            method += seconds
        elif name == "DELEGATE_CALL":
            delegate += seconds
        elif name.startswith("native_call_"):
            outside.append(OperationTime(name.removeprefix("native_call_"), "", seconds))
        elif is_delegated and name.startswith("execute "):
            engine += seconds
        elif is_delegated and not _NOT_OPERATIONS.match(name):
            # "output:operation"; what the engine added has no operation, though its name may have a colon.
            output, _, operation = name.rpartition(":")
            known = types.get(output) == operation
            operations.append(OperationTime(output if known else name, operation if known else "", seconds))
    return Profile(loading, delegate, method, engine, tuple(operations), tuple(outside))


def _of_all_runs(blocks: Sequence[Any], runs: int) -> tuple[dict[str, float], dict[tuple[str, bool, int | None], np.ndarray]]:
    """The seconds of each stage of loading, and of each event in each run of the method, by its name, whether a delegate reports it, and the
    instruction that it belongs to.

    Inspector puts runs into one block only if their events are the same. Those of a method are in several, all with one name, where one run has
    events that another has not, as with a branch that ExecuTorch executes: those are 0 here.
    """
    loading: dict[str, float] = {}
    timed: dict[tuple[str, bool, int | None], np.ndarray] = {}
    first = 0
    for block in blocks:
        count = 0
        for event in block.events:
            # Inspector has milliseconds.
            seconds = np.asarray(event.perf_data.raw if event.perf_data else [], np.float64) * 1e-3
            if event.name.startswith(("load ", "compile ")):
                loading[event.name] = loading.get(event.name, 0.0) + float(seconds.sum())
                continue
            key = (event.name, event.is_delegated_op, event._instruction_id)
            timed.setdefault(key, np.zeros(runs))[first : first + len(seconds)] += seconds[: runs - first]
            if event.name == "Method::execute":
                count = len(seconds)
        first += count
    return loading, timed


def _operation_types(path: Path, method: str) -> dict[str, str]:
    """Output name -> MIL's name of the operation, of the packages in a program's method."""
    program = program_file.open_program(path)
    found: dict[str, str] = {}
    for delegate in program.delegates():
        if delegate.method != method:
            continue
        contents = payload.open_payload(program, delegate)
        with tempfile.TemporaryDirectory(prefix="coreml_profile_") as scratch:
            found.update(package_facts.operation_types(contents.write(Path(scratch) / "model")))
    return found
