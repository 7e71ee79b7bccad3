"""coreml extract: the model packages inside a .pte."""

from __future__ import annotations

import argparse
from pathlib import Path

from executorch.backends.apple.coreml.sdk import payload, program_file
from executorch.backends.apple.coreml.sdk.commands.output import Output, size
from executorch.backends.apple.coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml extract model.pte -o packages        packages/forward_0.mlpackage, ...
  coreml extract model.pte -o packages --method decode"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pte, of this exporter or of executorch's own")
    parser.add_argument("-o", "--output", type=Path, default=Path("."), help="the folder to write into (default: this one)")
    parser.add_argument("--method", help="of this method only")


def run(arguments: argparse.Namespace, output: Output) -> None:
    if not arguments.file.exists():
        raise ToolError(f"there is no file {arguments.file}")
    program = program_file.open_program(arguments.file)
    written = []
    for delegate in program.core_ml_delegates():
        if arguments.method not in (None, delegate.method):
            continue
        found = payload.open_payload(program, delegate)
        path = found.write(arguments.output / f"{delegate.method}_{delegate.index}")
        written.append({"path": str(path), "method": delegate.method, "function": found.function, "size": found.size})
    if not written:
        methods = ", ".join(method.name for method in program.methods)
        raise ToolError(f"{arguments.file} has no Core ML delegate in a method {arguments.method!r}; its methods are {methods}")
    if output.as_json:
        output.value(written)
        return
    for item in written:
        function = f", function {item['function']}" if item["function"] else ""
        output.line(f"{item['path']}  {size(item['size'])}{function}")
