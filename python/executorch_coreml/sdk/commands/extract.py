"""coreml extract: the model packages inside a .pte."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executorch_coreml.sdk import payload, program_file
from executorch_coreml.sdk.commands.output import Output, size
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml extract model.pte -o packages        packages/forward_0.mlpackage, ...
  coreml extract model.pte -o packages --method decode"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte to read, made by this exporter or by executorch's own")
    parser.add_argument("-o", "--output", type=Path, default=Path("."), help="the folder to write into (default: the current one)")
    parser.add_argument("--method", help="the method whose models are written (default: every method)")


def run(arguments: argparse.Namespace, output: Output) -> None:
    program = program_file.open_program(arguments.file)
    chosen = [d for d in program.core_ml_delegates() if arguments.method in (None, d.method)]
    if not chosen:
        methods = ", ".join(method.name for method in program.methods)
        raise ToolError(f"{arguments.file} has no Core ML delegate in a method {arguments.method!r}; its methods are {methods}")
    folders = _folders(chosen, arguments.output)
    found = [payload.open_payload(program, delegate) for delegate in chosen]
    # All or none, as far as can be told before.
    for model, folder in zip(found, folders, strict=True):
        if os.path.lexists(model.target(folder)):
            raise ToolError(f"{model.target(folder)} already exists: name another folder, or remove this one")
    written: list[dict[str, Any]] = [
        {"path": str(model.write(folder)), "method": delegate.method, "function": model.function, "size": model.size}
        for model, folder, delegate in zip(found, folders, chosen, strict=True)
    ]
    if output.as_json:
        output.value(written)
        return
    for item in written:
        function = f", function {item['function']}" if item["function"] else ""
        output.line(f"{item['path']}  {size(item['size'])}{function}")


def _folders(delegates: Sequence[program_file.Delegate], parent: Path) -> list[Path]:
    """Names without a suffix. A method's name comes from the file: nothing of it may be part of a path but letters, digits and a few signs."""
    names: list[str] = []
    for delegate in delegates:
        method = "".join(c if c.isalnum() or c in "-_. " else "_" for c in delegate.method)[:60].lstrip(". ")
        name = f"{method or 'method'}_{delegate.index}"
        while name in names:
            name += "_"
        names.append(name)
    return [parent / name for name in names]
