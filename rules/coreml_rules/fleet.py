"""coreml_fleet: one table over many programs, as JSON and as a page."""

from __future__ import annotations

import argparse
import html
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VERSION = 1


class FleetError(Exception):
    """A sentence on what cannot be read."""


def read(path: Path, what: str) -> Any:
    """A JSON file. FleetError, which calls it `what`, for none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FleetError(f"{what} {path} cannot be read as JSON: {error}") from error


def row(label: str, facts: Any, partition: Any, verified: Any, latency: Mapping[str, Any]) -> dict[str, Any]:
    """What the table has of one program. Sizes in bytes; errors l2-relative, the largest of all outputs; times in milliseconds."""
    reports = [report for found in partition["methods"].values() for report in found]
    measured = latency.get("programs", {}).get(label)
    errors: dict[str, float | None] = {}
    passed = None
    if verified is not None:
        passed = all(method["passed"] for method in verified["methods"].values())
        for method in verified["methods"].values():
            for mode in method["modes"]:
                for output in mode["outputs"]:
                    error = output["l2_relative"]
                    before = errors.get(mode["numeric_mode"], 0.0)
                    errors[mode["numeric_mode"]] = None if error is None or before is None else max(error, before)
    return {
        "label": label,
        "bytes": facts["size"],
        "methods": [method["name"] for method in facts["methods"]],
        "partitions": sum(len(report["partitions"]) for report in reports),
        "operations": sum(report["delegated_nodes"] for report in reports),
        "outside": sorted({reason["op"] for report in reports for reason in report["reasons"]}),
        "target": max((report["deployment_target"] for report in reports), default=""),
        "errors": errors,
        "passed": passed,
        "milliseconds": measured["p50"] if measured else None,
    }


def compared(now: Sequence[Mapping[str, Any]], before: Any, name: str) -> list[dict[str, Any]]:
    """What is different from an earlier table, in the order of this one, and the programs that are gone. FleetError for no table."""
    try:
        if before["fleet"] != VERSION:
            raise ValueError("another version")
        earlier = {str(old["label"]): old for old in before["programs"]}
        found = []
        for new in now:
            old = earlier.pop(new["label"], None)
            if old is None:
                found.append({"label": new["label"], "change": "is new"})
                continue
            changes = [
                f"{what} {old[key]} -> {new[key]}"
                for key, what in (("bytes", "bytes"), ("partitions", "partitions"), ("target", "target"), ("passed", "right"))
                if old[key] != new[key]
            ]
            changes += [f"{op} is outside now" for op in new["outside"] if op not in old["outside"]]
            changes += [f"{op} is inside now" for op in old["outside"] if op not in new["outside"]]
            for mode, error in new["errors"].items():
                other = old["errors"].get(mode)
                if error != other:
                    changes.append(f"error in {mode} {_error(other)} -> {_error(error)}")
            if old["milliseconds"] and new["milliseconds"] and old["milliseconds"] != new["milliseconds"]:
                changes.append(f"time x {new['milliseconds'] / old['milliseconds']:.2f}")
            if changes:
                found.append({"label": new["label"], "change": "; ".join(changes)})
        return [*found, *({"label": label, "change": "is gone"} for label in earlier)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FleetError(f"{name} is not a table of coreml_fleet of this version") from error


def to_html(document: Mapping[str, Any]) -> str:
    """A page that needs no network and runs no script."""
    columns = (
        "program",
        "size",
        "partitions",
        "operations",
        "outside",
        "target",
        "error, float32",
        "error, float16",
        "right",
        "ms",
    )
    rows = []
    for found in document["programs"]:
        cells = (
            found["label"],
            f"{found['bytes'] / 1e6:.2f} MB",
            str(found["partitions"]),
            str(found["operations"]),
            ", ".join(found["outside"]) or "-",
            found["target"],
            _error(found["errors"].get("float32")),
            _error(found["errors"].get("float16")),
            {None: "-", True: "yes", False: "NO"}[found["passed"]],
            "-" if found["milliseconds"] is None else f"{found['milliseconds']:.2f}",
        )
        kind = ' class="wrong"' if found["passed"] is False else ""
        rows.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    total = sum(found["bytes"] for found in document["programs"])
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{html.escape(document['name'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(document['name'])}</h1>",
        f"<p>{len(document['programs'])} programs, {total / 1e6:.1f} MB. Computed by the engine of the machine that built them: agreement with Apple's own "
        "runtime is not established by it.</p>",
        "<table><thead><tr>" + "".join(f"<th>{column}</th>" for column in columns) + "</tr></thead>",
        "<tbody>" + "\n".join(rows) + "</tbody></table>",
    ]
    if document["latency"]:
        parts.append(f"<p>Times: median of one execution, {html.escape(document['latency'])}.</p>")
    if document["compared"] is not None:
        parts.append(f"<h2>Since {html.escape(document['compared']['with'])}</h2>")
        changes = document["compared"]["changes"]
        parts.append("<ul>" + "".join(f"<li>{html.escape(c['label'])}: {html.escape(c['change'])}</li>" for c in changes) + "</ul>")
        if not changes:
            parts.append("<p>Nothing is different.</p>")
    return "\n".join([*parts, "</body></html>", ""])


def to_text(document: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    lines = []
    for found in document["programs"]:
        errors = ", ".join(f"{mode} {_error(error)}" for mode, error in found["errors"].items())
        outside = f", outside: {', '.join(found['outside'])}" if found["outside"] else ""
        right = " NOT RIGHT" if found["passed"] is False else ""
        time = "" if found["milliseconds"] is None else f", {found['milliseconds']:.2f} ms"
        lines.append(
            f"{found['label']}: {found['bytes']:,} bytes, {found['partitions']} partition(s){outside}; error {errors or 'not measured'}{right}{time}"
        )
    if document["compared"] is not None:
        changes = document["compared"]["changes"]
        lines.append(f"since {document['compared']['with']}: {'nothing is different' if not changes else ''}".rstrip())
        lines += [f"  {change['label']}: {change['change']}" for change in changes]
    return "\n".join(lines)


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    "table{border-collapse:collapse}th,td{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "th:first-child,td:first-child,th:nth-child(5),td:nth-child(5){text-align:left}"
    ".wrong td{background:#fdd}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}.wrong td{background:#522}}"
)


def make(asked: argparse.Namespace) -> dict[str, Any]:
    """The table of programs, from the files that the rule names."""
    latency = read(asked.latency, "the baseline of times") if asked.latency else {}
    programs = [
        row(label, read(Path(f), "the facts"), read(Path(p), "the report"), read(Path(v), "the measures") if v else None, latency)
        for label, f, p, v in asked.program
    ]
    return {"fleet": VERSION, "name": asked.label, "latency": latency.get("machine", ""), "programs": programs, "compared": None}


def main(arguments: Sequence[str]) -> int:
    """Makes a table, or shows one. 1 after an error, which is one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="coreml_fleet", description="One table over many programs.")
    parser.add_argument("--label", default="coreml_fleet", help=argparse.SUPPRESS)
    parser.add_argument("--program", action="append", default=[], nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--latency", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--compare", type=Path, help="the JSON of an earlier table: what is different since")
    parser.add_argument("--json", type=Path, help="where to write the table")
    parser.add_argument("--html", type=Path, help="where to write the page")
    asked = parser.parse_args(list(arguments))
    # `bazel run` starts in the runfiles; what a person names is from where they are.
    here = Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    try:
        document = read(asked.table, "the table") if asked.table else make(asked)
        if asked.compare:
            earlier = read(here / asked.compare, "the table to compare with,")
            changes = compared(document["programs"], earlier, str(asked.compare))
            document["compared"] = {"with": asked.compare.name, "changes": changes}
        for target, text in ((asked.json, json.dumps(document, indent=1, sort_keys=True) + "\n"), (asked.html, to_html(document))):
            if target:
                (here / target).write_text(text, encoding="utf-8")
    except (FleetError, OSError) as error:
        print(f"ERROR: {asked.label}: {error}", file=sys.stderr)
        return 1
    if asked.table:
        print(to_text(document))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
