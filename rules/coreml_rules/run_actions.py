"""The actions of runner.py."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executorch_coreml.sdk import report, verify
from executorch_coreml.sdk.commands.output import finite
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.report import findings

from coreml_rules.errors import ActionError


def run(arguments: Sequence[str]) -> str:
    """Does one action. ActionError names the target first."""
    parser = argparse.ArgumentParser(prog="runner")
    parser.add_argument("action", choices=("verify", "report"))
    parser.add_argument("--label", required=True, help="of the target, for messages")
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--reference", action="append", default=[], help="METHOD=PATH")
    parser.add_argument("--partition", type=Path, help="the partition report of coreml_program")
    parser.add_argument("--executions", type=int, default=20)
    parser.add_argument("--method", default="forward")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args(list(arguments))
    references = dict(text.split("=", 1) for text in asked.reference)
    try:
        if asked.action == "verify":
            _verify(asked.program, references, asked.output)
        else:
            _report(asked, references.get(asked.method))
    except (ActionError, ToolError) as error:
        raise ActionError(f"{asked.label}: {error}") from error
    return ""


def _verify(program: Path, references: dict[str, str], target: Path) -> None:
    """The measures of each method, without a search for the operation at fault: coreml_program_test does that."""
    methods = {}
    for method, reference in references.items():
        methods[method] = _with_names(verify.verify(program, reference, method=method, blame=False).to_json())
    target.write_text(json.dumps(finite({"methods": methods}), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _with_names(verification: dict[str, Any]) -> dict[str, Any]:
    """A Verification.to_json() with the names of the files, without the build's folders."""
    return {**verification, **{key: Path(verification[key]).name for key in ("path", "reference")}}


def _report(asked: argparse.Namespace, reference: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reasons = None
        if asked.partition is not None:
            # coreml_program writes one report of the partitioner for each method. It knows what asking again does not: skip_ops.
            (of_method,) = json.loads(asked.partition.read_text(encoding="utf-8"))["methods"][asked.method]
            reasons = Path(folder) / "partition.json"
            reasons.write_text(json.dumps(of_method), encoding="utf-8")
        settings = report.Settings(method=asked.method, executions=asked.executions, reference=reference, partition_report=reasons)
        document = report.collect(asked.program, None, settings)
    if reference is not None:
        document["settings"]["reference"] = Path(reference).name
        document["verification"] = _with_names(document["verification"])
        document["findings"] = findings.of(document)
    asked.output.write_bytes(report.to_html(document).encode("utf-8", errors="backslashreplace"))
