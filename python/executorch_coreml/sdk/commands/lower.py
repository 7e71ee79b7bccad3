"""coreml lower: from a model to a verified .pte."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from executorch_coreml.sdk import files, verify_reference
from executorch_coreml.sdk.commands import run as run_command
from executorch_coreml.sdk.commands.output import Output, size
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.files import sentence

EXAMPLES = """\
  coreml lower model.pt2 -o model.pte                     what torch.export.save wrote
  coreml lower my_models:make -o model.pte                a function that returns a torch module and a tuple of example inputs
  coreml lower all-MiniLM-L6-v2/ -o embedding.pte --length 64
                                                          a folder as the Hugging Face hub has them, which must be on this machine

The exit code is 3 when an output of the program is outside the tolerance of `coreml verify`; the program is written all the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from executorch_coreml.sdk import model_folder

    parser.add_argument(
        "model",
        help=f"a .pt2 that torch.export.save wrote, MODULE:FUNCTION that returns a torch module and a tuple of example inputs, or {model_folder.FORMS}",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .pte to write")
    parser.add_argument(
        "--target",
        default="iOS18",
        metavar="NAME",
        help="the oldest system that runs the program, a coremltools.target (default: iOS18)",
    )
    parser.add_argument(
        "--precision", choices=("float16", "float32"), default="float16", help="of weights and arithmetic (default: float16)"
    )
    parser.add_argument(
        "--length",
        type=run_command.natural,
        default=128,
        metavar="N",
        help="of a model of texts in a folder: the tokens of a text (default: 128)",
    )
    parser.add_argument("--full", action="store_true", help="refuse a model of which anything stays outside Core ML")
    parser.add_argument("--no-verify", action="store_true", help="do not run the program beside the model")


def _reference(arguments: argparse.Namespace) -> verify_reference.Reference:
    from executorch_coreml.sdk import model_folder

    text, path = arguments.model, Path(arguments.model)
    try:
        if path.is_dir():
            with verify_reference.quiet():
                made = model_folder.load(path, length=arguments.length)
            return verify_reference.load(made)
        if not text.endswith(".pt2") and ":" not in text:
            raise ToolError(f"the model {text} has no known form: it must be a .pt2, MODULE:FUNCTION or {model_folder.FORMS}")
        return verify_reference.load(text)
    except ToolError as error:
        raise ToolError(str(error).replace("the reference", "the model")) from error


def run(arguments: argparse.Namespace, output: Output) -> int:
    import coremltools as ct

    targets = {target.name: target for target in ct.target}
    if arguments.target not in targets:
        raise ToolError(f"--target {arguments.target} is none of {', '.join(targets)}")
    if arguments.length < 1:
        raise ToolError("--length must be at least 1")
    files.check_output(arguments.output, Path(arguments.model))
    reference = _reference(arguments)
    program, report = _lowered(reference, targets[arguments.target], arguments)
    with files.written(arguments.output, "the program") as sink:
        sink.write(program)
    verified = None if arguments.no_verify else _verified(arguments.output, reference)
    passed = verified is None or verified.passed
    if output.as_json:
        output.value(
            {
                "program": str(arguments.output),
                "bytes": len(program),
                "report": report,
                "verification": verified.to_json() if verified is not None else None,
            }
        )
    else:
        output.line(f"{arguments.output}  {size(len(program))}")
        for line in report:
            output.line(line)
        for mode in verified.modes if verified is not None else ():
            differences = ", ".join(f"{o.name} {o.comparison.l2_relative:.1e} (allowed {o.tolerance:.1e})" for o in mode.outputs)
            output.line(
                f"numeric mode {mode.numeric_mode}: {'every output is right' if mode.passed else 'OUTSIDE THE TOLERANCE'}: {differences}"
            )
        if not passed:
            output.line(f"Next: coreml verify {arguments.output} --reference {arguments.model}")
    return 0 if passed else 3


def _lowered(reference: verify_reference.Reference, target: Any, arguments: argparse.Namespace) -> tuple[bytes, list[str]]:
    """The .pte, and what the partitioner says of it."""
    import coremltools as ct
    from executorch.exir import to_edge_transform_and_lower

    from executorch_coreml.compiler import CoreMLBackend
    from executorch_coreml.partition import CoreMLPartitioner

    precision = {"float16": ct.precision.FLOAT16, "float32": ct.precision.FLOAT32}[arguments.precision]
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=target, compute_precision=precision)
    partitioner = CoreMLPartitioner(compile_specs=specs, lower_full_graph=arguments.full)
    assert reference.program is not None
    try:
        with verify_reference.quiet():
            edge = to_edge_transform_and_lower(verify_reference.own_copy(reference.program), partitioner=[partitioner])
            program = bytes(edge.to_executorch().buffer)
    except Exception as error:  # ExecuTorch and coremltools raise whatever their parts do.
        raise ToolError(f"the model {arguments.model} cannot be lowered: {sentence(error)}") from error
    return program, partitioner.report.text().splitlines()


def _verified(path: Path, reference: verify_reference.Reference) -> Any:
    from executorch_coreml.sdk.verify import verify

    return verify(path, reference, blame=False)
