"""coreml kit: a program, its inputs and what is expected, to run on another machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from executorch_coreml.sdk import verify_reference
from executorch_coreml.sdk.commands import run as run_command
from executorch_coreml.sdk.commands import verify as verify_command
from executorch_coreml.sdk.commands.output import Output, size
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml kit model.pte -o kit                              with inputs that are made up
  coreml kit model.pte -o kit --values --reference model.pt2
  coreml_runner --kit kit --answer answer.json             on the other machine
  coreml verify kit --kit answer.json                      here again"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte to take along")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder to write, which must not exist yet")
    parser.add_argument(
        "--reference",
        help=f"where the example inputs come from, and the lines of the model behind the operations: {verify_reference.FORMS}",
    )
    verify_command.add_inputs_argument(parser)
    run_command.add_input_arguments(parser, runs=False)
    parser.add_argument(
        "--values",
        action="store_true",
        help="ask the other machine for the values of operations too, so that the one at fault can be found",
    )
    parser.add_argument(
        "--values-memory",
        type=run_command.natural,
        default=64,
        metavar="MB",
        help="the megabytes (10^6 bytes) that these values may take (default: 64)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="the largest l2-relative difference that is accepted (default: four times the one that rounding causes in each value)",
    )


def run(arguments: argparse.Namespace, output: Output) -> None:
    from executorch_coreml.sdk import kit

    verify_command.check_tolerance(arguments.tolerance)
    if arguments.values_memory < 1:
        raise ToolError("--values-memory must be at least 1")
    made = kit.make(
        arguments.file,
        arguments.output,
        inputs=verify_command.inputs(arguments),
        reference=arguments.reference,
        method=arguments.method,
        seed=arguments.seed,
        values=arguments.values,
        values_budget=arguments.values_memory * 10**6,
        tolerance=arguments.tolerance,
    )
    if output.as_json:
        output.value(made.to_json())
        return
    values = f", {made.values} of {made.operations} values within delegates" if arguments.values else ""
    output.line(f"{made.folder}  {size(made.size)}: {made.outputs} outputs{values}, kit {made.identity[:12]}")
    for remark in made.remarks:
        output.line(remark)
    output.line(f"There: coreml_runner --kit {made.folder.name} --answer answer.json")
    output.line(f"Here:  coreml verify {made.folder} --kit answer.json")
