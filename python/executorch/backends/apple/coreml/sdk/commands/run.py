"""coreml run: executes a .pte or a model package once."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from executorch.backends.apple.coreml.sdk import running
from executorch.backends.apple.coreml.sdk.commands.output import Output
from executorch.backends.apple.coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml run model.pte                        made-up inputs: normal reals, zero integers, from --seed
  coreml run model.pte --input 0=image.npy --save outputs.npz
  coreml run model.mlpackage --input x=x.npy --numeric-mode float16"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pte or a .mlpackage")
    add_run_arguments(parser)
    parser.add_argument("--save", type=Path, help="writes the outputs to this .npz")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that running.prepare() takes."""
    add_input_arguments(parser)
    parser.add_argument(
        "--numeric-mode", choices=("float32", "float16"), default="float32", help="whether float16 values are rounded"
    )


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """What is executed, on what: given_inputs() reads some of them."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="an input from a .npy; NAME is the package's name of it, or its number in a .pte's method",
    )
    parser.add_argument(
        "--method", default="forward", help="of a .pte, or the function of a package with several (default: forward)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of made-up inputs (default: 0)")
    parser.add_argument("--threads", type=int, default=0, help="of one execution (default: the engine's choice)")


def given_inputs(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays that --input names. ToolError for a file that cannot be read."""
    given = {}
    for text in arguments.input:
        name, separator, file = text.partition("=")
        if not separator:
            raise ToolError(f"--input is NAME=FILE.npy, not {text!r}")
        try:
            given[name] = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ToolError(f"the input file {file} cannot be read: {error}") from error
    return given


def prepare(arguments: argparse.Namespace, output: Output) -> running.Runnable:
    """Loads what `arguments` name; says which inputs were made up."""
    runnable = running.prepare(
        arguments.file,
        given_inputs(arguments),
        method=arguments.method,
        seed=arguments.seed,
        threads=arguments.threads,
        numeric_mode=arguments.numeric_mode,
    )
    if runnable.made_up:
        output.remark(f"made up from seed {arguments.seed}: {', '.join(runnable.made_up)}")
    return runnable


def run(arguments: argparse.Namespace, output: Output) -> None:
    outputs = prepare(arguments, output).call()
    if arguments.save:
        np.savez(arguments.save, **outputs)
    facts = {name: _facts(array) for name, array in outputs.items()}
    if output.as_json:
        output.value(facts)
        return
    rows = [
        (name, f"{f['dtype']}{f['shape']}", *(f"{f[key]:.6g}" for key in ("min", "max", "mean")), str(f["not_finite"]), f["begins"])
        for name, f in ((name, _text(fact)) for name, fact in facts.items())
    ]
    output.table(rows, header=("output", "type", "min", "max", "mean", "not finite", "begins"), right=(2, 3, 4, 5))


def _facts(array: np.ndarray) -> dict:
    reals = array.astype(np.float64)
    finite = reals[np.isfinite(reals)]
    some = finite if finite.size else np.zeros(1)
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "min": float(some.min()),
        "max": float(some.max()),
        "mean": float(some.mean()),
        "not_finite": int(array.size - finite.size),
        "begins": [float(x) for x in reals.reshape(-1)[:4] if np.isfinite(x)],
    }


def _text(facts: dict) -> dict:
    return {**facts, "begins": ", ".join(f"{x:.5g}" for x in facts["begins"])}
