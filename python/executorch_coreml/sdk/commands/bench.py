"""coreml bench: how long one execution takes here."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from executorch_coreml.sdk.commands import run as run_command
from executorch_coreml.sdk.commands.output import Output
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml bench model.pte
  coreml bench model.mlpackage -n 200 --warm-up 20 --threads 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte or the .mlpackage to execute")
    run_command.add_run_arguments(parser)
    parser.add_argument("-n", type=int, default=50, help="the number of executions that are timed (default: 50)")
    parser.add_argument(
        "--warm-up", type=int, default=5, help="the number of executions before them that are not timed (default: 5)"
    )


def run(arguments: argparse.Namespace, output: Output) -> None:
    if arguments.n < 1 or arguments.warm_up < 0:
        raise ToolError("-n must be at least 1, and --warm-up at least 0")
    began = time.perf_counter()
    runnable = run_command.prepare(arguments, output)
    load = time.perf_counter() - began
    began = time.perf_counter()
    runnable.call()
    first = time.perf_counter() - began
    for _ in range(arguments.warm_up):
        runnable.call()
    seconds = np.empty(arguments.n)
    for index in range(arguments.n):
        began = time.perf_counter()
        runnable.call()
        seconds[index] = time.perf_counter() - began
    milliseconds = {
        "load": load * 1e3,
        "first": first * 1e3,
        "min": float(seconds.min()) * 1e3,
        "p50": float(np.quantile(seconds, 0.5)) * 1e3,
        "p90": float(np.quantile(seconds, 0.9)) * 1e3,
        "max": float(seconds.max()) * 1e3,
    }
    if output.as_json:
        output.value({"n": arguments.n, "warm_up": arguments.warm_up, "milliseconds": milliseconds})
        return
    output.table([tuple(f"{value:.3f}" for value in milliseconds.values())], header=tuple(milliseconds), right=tuple(range(6)))
    output.line(
        f"milliseconds on this machine's CPU, {arguments.n} executions after {arguments.warm_up + 1}; not those of an Apple device"
    )
