"""coreml run: executes a .pte or a model package once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml.sdk import files, running
from executorch_coreml.sdk.commands.output import Output
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml run model.pte                        inputs are made up: normally distributed reals, and zeros for integers
  coreml run model.pte --input 0=image.npy --save outputs.npz
  coreml run model.mlpackage --input x=x.npy --numeric-mode float16"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte or the .mlpackage to execute")
    add_run_arguments(parser)
    parser.add_argument("--save", type=Path, help="the .npz into which the outputs are written")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that running.prepare() takes."""
    add_input_arguments(parser)
    parser.add_argument(
        "--numeric-mode",
        choices=("float32", "float16", "low_precision"),
        default="float32",
        help="how the engine computes. float32 (default): in float32. float16: each result is rounded to float16. low_precision: as float32, but "
        "quantized operations in integers",
    )


def add_input_arguments(parser: argparse.ArgumentParser, *, runs: bool = True) -> None:
    """What is executed, on what: given_inputs() reads some of them. `runs`: and with how many threads."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="an input, read from a .npy; NAME is the name of the input in a package, or its number in the method of a .pte",
    )
    parser.add_argument(
        "--method", default="forward", help="the method of a .pte, or the function of a package that has several (default: forward)"
    )
    parser.add_argument("--seed", type=natural, default=0, help="the seed of the inputs that are made up (default: 0)")
    if runs:
        parser.add_argument(
            "--threads", type=natural, default=0, help="the number of threads of one execution (default: the engine chooses)"
        )


def natural(text: str) -> int:
    """A command line's whole number from 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 999999999, not {text!r}")
    return int(text)


def given_inputs(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays that --input names. ToolError for a file that cannot be read."""
    given = {}
    for text in arguments.input:
        name, separator, file = text.partition("=")
        if not separator:
            raise ToolError(f"--input must be NAME=FILE.npy, not {text!r}")
        if name in given:
            raise ToolError(f"--input {name} is given twice")
        given[name] = files.read_array(Path(file), "the input file")
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
    if arguments.save is not None:
        if arguments.save.suffix != ".npz":
            raise ToolError(f"--save writes a .npz file, but {arguments.save} does not end in .npz: use a name that does")
        files.check_output(arguments.save, arguments.file, *(Path(text.partition("=")[2]) for text in arguments.input))
    outputs = prepare(arguments, output).call()
    if arguments.save is not None:
        files.write_arrays(arguments.save, outputs, "the outputs")
    facts = {name: _facts(array) for name, array in outputs.items()}
    if output.as_json:
        output.value(facts)
        return
    rows = [
        (
            name,
            f"{f['dtype']}{f['shape']}",
            *(_number(f[key]) for key in ("min", "max", "mean")),
            str(f["not_finite"]),
            ", ".join(f"{x:.5g}" for x in f["begins"]),
        )
        for name, f in facts.items()
    ]
    output.table(rows, header=("output", "type", "min", "max", "mean", "not finite", "begins"), right=(2, 3, 4, 5))


def _facts(array: np.ndarray) -> dict[str, Any]:
    """min, max and mean are of the finite elements, None where there are none."""
    reals = array.astype(np.float64) if array.dtype.kind in "biuf" else np.empty(0)
    finite = reals[np.isfinite(reals)]
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "min": float(finite.min()) if finite.size else None,
        "max": float(finite.max()) if finite.size else None,
        "mean": float(finite.mean()) if finite.size else None,
        "not_finite": int(reals.size - finite.size),
        "begins": reals.reshape(-1)[:4].tolist(),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
