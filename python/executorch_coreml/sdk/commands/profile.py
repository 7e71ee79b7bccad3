"""coreml profile: where the time of an execution goes."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path

import numpy as np

from executorch_coreml.sdk import profiling
from executorch_coreml.sdk.commands import run as run_command
from executorch_coreml.sdk.commands.output import Output
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml profile model.pte                    the operations that take longest, and each kind of operation
  coreml profile model.mlpackage -n 50 --top 40 --threads 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte or the .mlpackage to execute")
    run_command.add_run_arguments(parser)
    parser.add_argument(
        "-n", type=int, default=10, help="the number of executions that are measured, after one that is not (default: 10)"
    )
    parser.add_argument("--top", type=int, default=20, help="the number of operations to list, the slowest first (default: 20)")


def run(arguments: argparse.Namespace, output: Output) -> None:
    if arguments.n < 1:
        raise ToolError("-n must be at least 1")
    found = profiling.profile(
        arguments.file,
        run_command.given_inputs(arguments),
        executions=arguments.n,
        method=arguments.method,
        seed=arguments.seed,
        threads=arguments.threads,
        numeric_mode=arguments.numeric_mode,
    )
    operations = sorted(found.operations, key=lambda operation: -operation.seconds.mean())
    total = float(found.operation_seconds.mean())
    if output.as_json:
        output.value(
            {
                "executions": arguments.n,
                "loading_seconds": dict(found.loading),
                "method_seconds": found.method_seconds.tolist(),
                "delegate_seconds": found.delegate_seconds.tolist(),
                "engine_seconds": found.engine_seconds.tolist(),
                "operation_seconds": found.operation_seconds.tolist(),
                "between_seconds": found.between_seconds.tolist(),
                "beside_seconds": found.beside_seconds.tolist(),
                "operations": [
                    {
                        "name": o.name,
                        "operation": o.operation,
                        "mean_seconds": float(o.seconds.mean()),
                        "seconds": o.seconds.tolist(),
                    }
                    for o in operations
                ],
            }
        )
        return
    for name, seconds in found.loading.items():
        output.line(f"{name}: {seconds * 1e3:.1f} ms")
    output.line(
        f"execution: {_milliseconds(found.method_seconds)} ms, in delegates {_milliseconds(found.delegate_seconds)} ms, in the engine "
        f"{_milliseconds(found.engine_seconds)} ms (means of {arguments.n})"
    )
    output.line(
        f"in the engine: operations {total * 1e3:.3f} ms, between them and waiting for a processor "
        f"{_milliseconds(found.between_seconds)} ms; beside it, binding inputs and outputs and recording: {_milliseconds(found.beside_seconds)} ms"
    )
    kinds: dict[str, list[float]] = collections.defaultdict(list)
    for operation in operations:
        kinds[operation.operation or "(added by the engine)"].append(operation.seconds.mean())
    output.line()
    output.table(
        [
            (kind, str(len(seconds)), f"{sum(seconds) * 1e3:.3f}", f"{_share(sum(seconds), total)}")
            for kind, seconds in sorted(kinds.items(), key=lambda item: -sum(item[1]))
        ],
        header=("kind", "groups", "ms", "share"),
        right=(1, 2, 3),
    )
    output.table(
        [
            (o.name, o.operation, f"{o.seconds.mean() * 1e3:.3f}", _share(o.seconds.mean(), total))
            for o in operations[: max(arguments.top, 0)]
        ],
        header=("operation, by its output", "kind", "ms", "share"),
        right=(2, 3),
    )
    output.line("Measured on this machine's CPU. Fused operations are one group, under its last output; nothing is estimated.")


def _milliseconds(seconds: np.ndarray) -> str:
    return f"{seconds.mean() * 1e3:.3f}"


def _share(part: float, total: float) -> str:
    return f"{part / total:.1%}" if total else "-"
