"""The actions of builder.py: `lower`, `reference`, `packages`, `package`, `facts`."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from executorch_coreml.partition.report import PartitionReport
from executorch_coreml.sdk import inspection, package_facts
from executorch_coreml.sdk.commands import extract
from executorch_coreml.sdk.commands.output import Output
from executorch_coreml.sdk.errors import ToolError

from coreml_rules import lowering, request
from coreml_rules.errors import ActionError


def run(arguments: Sequence[str]) -> str:
    """Does one action; returns what the build's output shows of it. ActionError names the target first."""
    parser = argparse.ArgumentParser(prog="builder")
    parser.add_argument("action", choices=("lower", "reference", "packages", "package", "facts"))
    parser.add_argument("--label", required=True, help="of the target, for messages")
    parser.add_argument("--spec", default="{}", help="a lowering.Spec as JSON")
    parser.add_argument("--main", default="", help="the name of the main repository's folder in the runfiles")
    parser.add_argument("--file", action="append", default=[], help="a file's path as Bazel's short_path=PATH")
    parser.add_argument("--import", action="append", default=[], dest="imports", help="a folder in the runfiles to import from")
    parser.add_argument("--pte", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--reference", action="append", default=[], help="METHOD=PATH")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--source", action="append", default=[], type=Path, help="a file of a .mlpackage")
    asked = parser.parse_args(list(arguments))
    try:
        if asked.action == "packages":
            _extract(asked.pte, asked.folder)
            return ""
        if asked.action == "package":
            _copy_package(asked.source, asked.folder)
            return ""
        if asked.action == "facts":
            _facts(asked.pte, asked.json)
            return ""
        spec = lowering.Spec(**json.loads(asked.spec))
        if asked.action == "reference":
            targets = {name: Path(path).absolute() for name, path in (text.split("=", 1) for text in asked.reference)}
            with request.runfiles(asked.file, asked.imports, asked.main) as folder:
                lowering.save_references(spec, str(folder), targets)
            return ""
        pte, text, document = (path.absolute() for path in (asked.pte, asked.text, asked.json))
        with request.runfiles(asked.file, asked.imports, asked.main) as folder:
            reports = lowering.lower(spec, str(folder), pte)
    except (ActionError, ToolError) as error:
        raise ActionError(f"{asked.label}: {error}") from error
    said = _text(reports)
    text.write_text(said, encoding="utf-8")
    methods = {name: [json.loads(report.to_json()) for report in found] for name, found in reports.items()}
    document.write_text(json.dumps({"methods": methods}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return "".join(f"{asked.label}: {line}\n" for line in said.splitlines() if not line.startswith("Decomposed"))


def _text(reports: dict[str, list[PartitionReport]]) -> str:
    lines = []
    for name, found in reports.items():
        for report in found:
            first, *rest = report.text().splitlines()
            lines += [f"{name}: {first}" if len(reports) > 1 else first, *rest]
    return "".join(line + "\n" for line in lines)


def _extract(pte: Path, folder: Path) -> None:
    extract.run(argparse.Namespace(file=pte, output=folder, method=None), Output(as_json=True))


def _facts(pte: Path, target: Path) -> None:
    """What `coreml inspect --json` says, under the file's own name: its folder is the build's."""
    document = {**inspection.inspect(pte), "path": pte.name}
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _copy_package(sources: Sequence[Path], folder: Path) -> None:
    """Puts the files of one .mlpackage into `folder`, and reads it once. ActionError for files of none, or of several."""
    roots = {parent for source in sources for parent in (source, *source.parents) if parent.suffix == ".mlpackage"}
    if len(roots) != 1:
        names = ", ".join(sorted(root.name for root in roots)) or "none"
        raise ActionError(f'the files are of {names}, but must be those of one .mlpackage: glob(["x.mlpackage/**"])')
    (root,) = roots
    for source in sources:
        if source != root and not source.is_relative_to(root):
            raise ActionError(f"{source} is not a file of {root.name}")
        target = folder / source.relative_to(root)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    package_facts.read_package(folder)
