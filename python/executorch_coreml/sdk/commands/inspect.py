"""coreml inspect: what is in a .pte, a blob or a model package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from executorch_coreml.sdk import inspection
from executorch_coreml.sdk.commands.output import Output, size

EXAMPLES = """\
  coreml inspect model.pte                    methods, delegates, what was left outside them
  coreml inspect --json model.pte | jq .methods[0].delegates
  coreml inspect model.mlpackage              functions, operations, weights by type"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte, the .mlpackage or the blob of this delegate to look into")


def run(arguments: argparse.Namespace, output: Output) -> None:
    facts = inspection.inspect(arguments.file)
    if output.as_json:
        output.value(facts)
    elif facts["what"] == "program":
        _program(facts, output)
    elif facts["what"] == "package":
        _package(facts, output)
    elif facts["what"] == "blob":
        output.line(f"{facts['path']}: a blob of this delegate")
        _delegate(facts, output)
    else:
        output.line(
            f"{facts['path']}: a reference to the function {facts['function']!r} of the named data {facts['named_data_key']!r}"
        )


def _program(facts: dict[str, Any], output: Output) -> None:
    output.line(f"{facts['path']}: an ExecuTorch program of {size(facts['size'])}")
    for method in facts["methods"]:
        output.line()
        output.line(f"method {method['name']}: ({', '.join(method['inputs'])}) -> ({', '.join(method['outputs'])})")
        for index, delegate in enumerate(method["delegates"]):
            output.line(f"  delegate {index}: {delegate['backend']}, {size(delegate['processed_bytes'])} in the program")
            if "format" in delegate:
                _delegate(delegate, output)
        if method["operators"]:
            output.line(f"  outside delegates: {', '.join(f'{name} x{n}' for name, n in method['operators'].items())}")
        else:
            output.line("  nothing runs outside delegates")
    if facts["named_data"]:
        output.line()
        output.line("named data")
        output.table([(f"  {key}", size(count)) for key, count in facts["named_data"].items()], right=(1,))


def _delegate(facts: dict[str, Any], output: Output) -> None:
    rows = [
        ("    form", facts["format"] + (f", {facts['kind']}" if facts["kind"] != "package" else "")),
        ("    suits", _suits(facts)),
        ("    function", facts["function"]),
        ("    inputs", ", ".join(facts["inputs"])),
        ("    outputs", ", ".join(facts["outputs"])),
        ("    files", ", ".join(f"{path} ({size(count)})" for path, count in facts["files"].items())),
        ("    compute units", facts["compute_units"]),
        ("    precision", facts["compute_precision"]),
        ("    target", facts["deployment_target"]),
        ("    also asked for", _other_options(facts)),
        ("    made by", facts["producer"]),
        ("    content", facts["content_id"]),
    ]
    output.table([row for row in rows if row[1]])


def _other_options(facts: dict[str, Any]) -> str:
    """What was asked for at lowering beyond the rows above: options that a default lowering does not have."""
    default = ("compute_units", "min_deployment_target", "model_compute_precision", "model_type")
    return ", ".join(f"{key} {value}" for key, value in facts.get("compile_specs", {}).items() if key not in default)


def _suits(facts: dict[str, Any]) -> str:
    if "stock" in facts["runtimes"]:
        return "this project's runtime and ExecuTorch's stock one"
    return f"this project's runtime alone: {facts['not_stock_because']}"


def _package(facts: dict[str, Any], output: Output) -> None:
    output.line(
        f"{facts['path']}: a model package of {size(facts['size'])}, {facts['kind']}, specification {facts['specification_version']} "
        f"({facts['oldest_system']} and newer)"
    )
    for function in facts["functions"]:
        output.line()
        output.line(f"function {function['name']} ({function['opset']})")
        for role in ("inputs", "outputs", "states"):
            for feature in function[role]:
                output.line(f"  {role[:-1]:<7}{feature}")
        output.line(f"  {sum(function['operations'].values())} operations: " + _counts(function["operations"]))
    if facts["constant_bytes"]:
        output.line()
        output.line("constants")
        output.table([(f"  {name}", size(count)) for name, count in facts["constant_bytes"].items()], right=(1,))


def _counts(operations: dict[str, int]) -> str:
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in operations.items())
