"""What the examples share: lower a module to a .pte with progress, run it, and say how it went.

Every stage is timed; the peak of the process's resident memory is read after each. Nothing here is needed to use the delegate: the
calls that matter are in `lower()` and `load()`, a dozen lines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import absl.logging
import rich.box
import rich.console
import rich.table


@dataclasses.dataclass(frozen=True)
class Precision:
    """The normal l2-relative difference from PyTorch of a model computed at a precision.

    The bounds are what docs/engine.md reports for the models of this project's end-to-end tests, rounded up; they speak of the engine that
    runs here and say nothing about another.
    """

    name: str
    normal_difference: float


FLOAT16 = Precision("float16 weights, float32 arithmetic", 2e-3)
FLOAT32 = Precision("float32", 1e-6)


def quiet() -> None:
    """Leaves the console to the examples: only what a person can act on is left of the libraries' messages."""
    absl.logging.set_verbosity(absl.logging.WARNING)
    for name in ("coremltools", "torch.utils._pytree", "torchao"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("ET_COREML_LOG_LEVEL", "WARNING")
    warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="coremltools")


class Stages:
    """Prints each stage with its duration and the peak memory so far; on a terminal with a spinner while it runs."""

    def __init__(self, console: rich.console.Console) -> None:
        self._console = console
        self._name: str | None = None
        self._began = 0.0
        self._status: Any = None

    def begin(self, name: str) -> None:
        """Ends the stage that runs and begins the next."""
        self.end()
        self._name = name
        self._began = time.perf_counter()
        if self._console.is_terminal:
            self._status = self._console.status(f"{name} ...")
            self._status.start()

    def end(self) -> None:
        """Ends the stage that runs, if one does."""
        if self._name is None:
            return
        seconds = time.perf_counter() - self._began
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._console.print(f"  {self._name:<10} {seconds:8.2f} s   peak memory {peak_memory_mib():6.0f} MiB", highlight=False)
        self._name = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Stages]:
        """Ends the last stage when the block is left, whichever way."""
        try:
            yield self
        finally:
            self.end()


def peak_memory_mib() -> float:
    """The largest resident memory this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def lower(
    module: Any,
    example_inputs: tuple[Any, ...],
    *,
    stages: Stages,
    compile_specs: Sequence[Any] | None = None,
) -> bytes:
    """Lowers an eager module to the bytes of a .pte whose Core ML parts are delegated; its one method is `forward`.

    Args:
        module: a `torch.nn.Module` in eval mode.
        example_inputs: the positional arguments to trace it with.
        stages: is told of the stages export, partition, convert, serialise.
        compile_specs: from `CoreMLBackend.generate_compile_specs`; None for its defaults.
    """
    return lower_methods({"forward": (module, example_inputs)}, stages=stages, compile_specs=compile_specs)


def lower_methods(
    methods: Mapping[str, tuple[Any, tuple[Any, ...]]],
    *,
    stages: Stages,
    compile_specs: Sequence[Any] | None = None,
) -> bytes:
    """As `lower`, for several methods: {name: (module, example inputs)}."""
    import torch
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class ReportingPartitioner(CoreMLPartitioner):
        def partition(self, exported_program: Any) -> Any:
            stages.begin("partition")
            result = super().partition(exported_program)
            stages.begin("convert")
            return result

    stages.begin("export")
    exported = {name: torch.export.export(module, inputs, strict=False) for name, (module, inputs) in methods.items()}
    edge = to_edge_transform_and_lower(exported, partitioner=[ReportingPartitioner(compile_specs=list(compile_specs or []))])
    stages.begin("serialise")
    return bytes(edge.to_executorch().buffer)


def load(path: Path, *, stages: Stages) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Loads the `forward` method of a .pte; the result executes it."""
    stages.begin("load")
    import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    method = program.load_method("forward")

    def execute(inputs: Sequence[Any]) -> Sequence[Any]:
        _ = program  # The method borrows from its program.
        return method.execute(inputs)

    return execute


def delegated_share(pte: bytes) -> tuple[int, int]:
    """How many instructions of the program's first method call a delegate, and how many there are."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    program = deserialize_pte_binary(pte)
    program = getattr(program, "program", program)
    instructions = program.execution_plan[0].chains[0].instructions
    calls = sum(1 for i in instructions if type(i.instr_args).__name__ == "DelegateCall")
    return calls, len(instructions)


def median_milliseconds(call: Callable[[], Any], *, rounds: int = 20) -> float:
    """The median duration of a call after one that is not counted."""
    call()
    durations = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations) * 1e3


def relative_difference(actual: Any, expected: Any) -> float:
    """||actual - expected||_2 / ||expected||_2, in float64."""
    actual, expected = actual.double().flatten(), expected.double().flatten()
    return float((actual - expected).norm() / expected.norm())


def difference_line(difference: float, precision: Precision) -> str:
    """One line that sets a difference beside what is normal."""
    verdict = "normal" if difference <= precision.normal_difference else "MORE THAN NORMAL"
    return (
        f"difference from PyTorch: {difference:.1e} l2-relative"
        f" ({verdict}: up to {precision.normal_difference:.0e} for {precision.name})"
    )


def plain_table(*columns: str) -> rich.table.Table:
    """An empty table in the examples' style, its columns but the first right-aligned."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table
