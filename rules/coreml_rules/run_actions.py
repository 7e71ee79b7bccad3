"""The actions of runner.py."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from executorch_coreml.sdk import report, verify
from executorch_coreml.sdk.commands.output import finite
from executorch_coreml.sdk.errors import ToolError

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
        found = verify.verify(program, reference, method=method, blame=False)
        # Names, not folders of the build.
        methods[method] = {**found.to_json(), "path": program.name, "reference": Path(reference).name}
    target.write_text(json.dumps(finite({"methods": methods}), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _report(asked: argparse.Namespace, reference: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reasons = None
        if asked.partition is not None and reference is None:
            of_method = json.loads(asked.partition.read_text(encoding="utf-8"))["methods"].get(asked.method)
            if of_method:
                reasons = Path(folder) / "partition.json"
                reasons.write_text(json.dumps(of_method[0]), encoding="utf-8")
        settings = report.Settings(method=asked.method, executions=asked.executions, reference=reference, partition_report=reasons)
        document = report.collect(asked.program, None, settings)
    asked.output.write_bytes(report.to_html(document).encode("utf-8", errors="backslashreplace"))
