"""Everything that a report shows, as one JSON value. docs/report.md describes it."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml.sdk import files, inspection, package_facts, profiling, running, verify_package
from executorch_coreml.sdk.commands.output import finite
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.report import findings, instructions, left_outside, reference, values

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to run and how. reference: as verify() takes it, None for no comparison with PyTorch. partition_report: a file of
    PartitionReport.to_json(). compare: a file of an earlier report."""

    method: str = "forward"
    executions: int = 20
    seed: int = 0
    threads: int = 0
    numeric_mode: str = "float32"
    reference: Any = None
    partition_report: Path | None = None
    compare: Path | None = None


def collect(path: Path, given: Mapping[str, np.ndarray] | None = None, settings: Settings | None = None) -> dict[str, Any]:
    """Runs a .pte or a .mlpackage and returns what there is to tell about it.

    Args:
        path: The program or package, of this exporter or another.
        given: Inputs by number for a .pte, by name for a package. Those not given are the reference's, or made up.

    Raises:
        ToolError: for what cannot be read or run.
    """
    settings = settings or Settings()
    given = dict(given or {})
    earlier = read_earlier(settings.compare) if settings.compare else None
    facts = inspection.inspect(path)
    if facts["what"] not in ("program", "package"):
        raise ToolError(f"{path} is a {facts['what']}: a report can be made of a .pte or a .mlpackage")
    model = reference.load(settings.reference)
    given = reference.inputs(model, path, settings.method, given)
    measured = profiling.profile(
        path,
        given,
        executions=settings.executions,
        method=settings.method,
        seed=settings.seed,
        threads=settings.threads,
        numeric_mode=settings.numeric_mode,
    )
    runnable = running.prepare(path, given, method=settings.method, seed=settings.seed, threads=settings.threads)
    with verify_package.open_packages(path, settings.method) as packages:
        chain = instructions.read(path, settings.method, packages)
        operations = _operations(packages)
        inside = values.inside(chain, packages, runnable.inputs)
        values.describe(operations, inside)
        remarks = list(inside.remarks)
        verification = None
        if model is not None:
            verification, more = reference.compare(model, path, packages, operations, inside, runnable.inputs, settings)
            remarks += more
        weights = _weights(packages)
        targets = sorted({p.target for p in packages if p.target})
        lowered_with = packages[-1].lowered_with if packages else {}
    left = left_outside.read(chain, model, lowered_with, settings.partition_report)
    unplaced = _add_times(operations, measured)
    document: dict[str, Any] = {
        "report": VERSION,
        "file": {"name": path.name, "what": facts["what"], "size": _size(path), "made_by": _producers(facts, settings.method)},
        "settings": {
            "method": settings.method,
            "executions": settings.executions,
            "threads": settings.threads,
            "numeric_mode": settings.numeric_mode,
            "made_up_inputs": list(runnable.made_up),
            "seed": settings.seed,
            "inputs": [f"{name}: {array.dtype}{list(array.shape)}" for name, array in runnable.inputs.items()],
            "reference": model.name if model is not None else None,
            "targets": targets,
        },
        "instructions": [step.to_json() for step in chain],
        "left": left,
        "weights": weights,
        "time": _time(measured, operations, unplaced),
        "operations": operations,
        "verification": verification,
        "remarks": remarks,
    }
    document["summary"] = _summary(document)
    document["compared"] = compared(document, earlier) if earlier else None
    document["findings"] = findings.of(document)
    plain: dict[str, Any] = finite(document)
    return plain


def read_earlier(path: Path) -> dict[str, Any]:
    """What compared() needs of a report's JSON. ToolError for what is none."""
    files.check_file(path, "the report to compare with,")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ToolError(f"the report to compare with, {path}, cannot be read: {files.sentence(error)}") from error
    try:
        if document["report"] != VERSION:
            raise ValueError("another version")
        return _comparable(document)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ToolError(f"{path} is not a report of this version: write one with coreml report --json > {path.name}") from error


def _comparable(document: Any) -> dict[str, Any]:
    """The parts of a report that compared() reads, with the types that it expects; anybody may have written the file."""
    summary = document["summary"]
    return {
        "file": {"name": _as(str, document["file"]["name"])},
        "summary": {
            "p50_seconds": _number(summary["p50_seconds"]),
            "weight_bytes": _as(int, summary["weight_bytes"]),
            "operators_outside": _as(int, summary["operators_outside"]),
            "largest_error": _number_or_none(summary["largest_error"]),
        },
        "operations": [
            {
                "package": _as(int, o["package"]),
                "name": _as(str, o["name"]),
                "type": _as(str, o["type"]),
                "seconds": _number_or_none(o["seconds"]),
                "error": o["error"] and {"l2_relative": _number_or_none(o["error"]["l2_relative"])},
            }
            for o in document["operations"]
        ],
    }


def _as(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if not math.isfinite(number := float(_as((int, float), value))):  # type: ignore[arg-type]
        raise ValueError("not a finite number")
    return number


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)


def _operations(packages: Sequence[verify_package.Package]) -> list[dict[str, Any]]:
    """The operations of all packages in order; `id` is the place in the list."""
    found: list[dict[str, Any]] = []
    for place, package in enumerate(packages):
        for operation in package.operations:
            found.append(
                {
                    "id": len(found),
                    "package": place,
                    "name": operation.name,
                    "type": operation.type,
                    "dtype": operation.dtype.lower(),
                    "shape": list(operation.shape),
                    "reads": list(dict.fromkeys(operation.reads)),
                    "debug_handles": list(package.handles.get(operation.name, ())),
                    "seconds": None,
                    "error": None,
                    "range": None,
                    "source": None,
                    "module": "",
                    "edge_op": "",
                }
            )
    return found


def _add_times(operations: list[dict[str, Any]], measured: profiling.Profile) -> list[dict[str, Any]]:
    """Puts the mean time of each group of fused operations at its last one; returns what the engine added by itself."""
    by_name = {(o["name"], o["type"]): o for o in operations}
    unplaced = []
    for timed in measured.operations:
        operation = by_name.get((timed.name, timed.operation))
        mean = float(timed.seconds.mean())
        if operation is None:
            unplaced.append({"name": timed.name, "seconds": mean})
        else:
            operation["seconds"] = (operation["seconds"] or 0.0) + mean
    return sorted(unplaced, key=lambda item: -item["seconds"])


def _time(measured: profiling.Profile, operations: list[dict[str, Any]], unplaced: list[dict[str, Any]]) -> dict[str, Any]:
    kinds: dict[str, list[float]] = {}
    for operation in operations:
        if operation["seconds"] is not None:
            kinds.setdefault(operation["type"], []).append(operation["seconds"])
    if unplaced:
        kinds["(added by the engine)"] = [item["seconds"] for item in unplaced]
    outside: Counter[str] = Counter()
    for timed in measured.outside:
        outside[timed.name] += float(timed.seconds.mean())  # type: ignore[assignment]
    method = measured.method_seconds.tolist()
    return {
        "loading": dict(measured.loading),
        "method": method,
        "delegates": measured.delegate_seconds.tolist(),
        "engine": measured.engine_seconds.tolist(),
        "between": float(measured.between_seconds.mean()),
        "beside": float(measured.beside_seconds.mean()),
        "p50": statistics.median(method),
        "p90": float(np.quantile(method, 0.9)),
        "mean": statistics.fmean(method),
        "operations": sum(sum(times) for times in kinds.values()),
        "kinds": [
            {"kind": kind, "groups": len(times), "seconds": sum(times)}
            for kind, times in sorted(kinds.items(), key=lambda item: -sum(item[1]))
        ],
        "added_by_engine": unplaced,
        "outside": [{"name": name, "seconds": seconds} for name, seconds in outside.most_common()],
    }


def _weights(packages: Sequence[verify_package.Package]) -> dict[str, Any]:
    bytes_by_type: Counter[str] = Counter()
    seen: set[str] = set()
    for package in packages:
        facts = package_facts.read_package(package.path)
        # Functions of one package share its weights.
        if str(package.path) not in seen:
            seen.add(str(package.path))
            bytes_by_type.update(facts.constant_bytes)
    return {"by_type": dict(bytes_by_type.most_common()), "total": sum(bytes_by_type.values())}


def _summary(document: Mapping[str, Any]) -> dict[str, Any]:
    operations, steps = document["operations"], document["instructions"]
    errors = [o["error"]["l2_relative"] for o in operations if o["error"] and o["error"]["l2_relative"] is not None]
    ranges = [o["range"]["largest"] for o in operations if o["range"] and o["range"]["largest"] is not None]
    return {
        "delegates": sum(step["kind"] == "delegate" for step in steps),
        "operators_outside": sum(step["kind"] == "operator" for step in steps),
        "operations": len(operations),
        "timed_groups": sum(o["seconds"] is not None for o in operations),
        "p50_seconds": document["time"]["p50"],
        "weight_bytes": document["weights"]["total"],
        "largest_error": max(errors, default=None),
        "largest_value": max(ranges, default=None),
        "overflows": sum(bool(o["range"] and o["range"]["overflows"]) for o in operations),
    }


def compared(document: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What became of the times since an earlier report. Operations are matched by package, name and type."""

    def times(of: Mapping[str, Any]) -> dict[tuple[int, str, str], float]:
        return {(o["package"], o["name"], o["type"]): o["seconds"] for o in of["operations"] if o["seconds"] is not None}

    def errors(of: Mapping[str, Any]) -> dict[tuple[int, str, str], float | None]:
        return {(o["package"], o["name"], o["type"]): (o["error"] or {}).get("l2_relative") for o in of["operations"]}

    now, before = times(document), times(earlier)
    now_errors, before_errors = errors(document), errors(earlier)
    rows: list[dict[str, Any]] = [
        {
            "package": key[0],
            "name": key[1],
            "type": key[2],
            "before": before.get(key),
            "now": now.get(key),
            "change": (now.get(key) or 0.0) - (before.get(key) or 0.0),
            "error_before": before_errors.get(key),
            "error_now": now_errors.get(key),
        }
        for key in sorted(now.keys() | before.keys())
    ]
    summary, old = document["summary"], earlier["summary"]
    return {
        "name": earlier["file"]["name"],
        "p50_before": old["p50_seconds"],
        "p50_now": summary["p50_seconds"],
        "ratio": summary["p50_seconds"] / old["p50_seconds"] if old["p50_seconds"] else 1.0,
        "weight_bytes_before": old["weight_bytes"],
        "weight_bytes_now": summary["weight_bytes"],
        "operators_outside_before": old["operators_outside"],
        "operators_outside_now": summary["operators_outside"],
        "largest_error_before": old["largest_error"],
        "largest_error_now": summary["largest_error"],
        "operations": sorted(rows, key=lambda row: -abs(row["change"])),
    }


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def _producers(facts: Mapping[str, Any], method: str) -> list[str]:
    if facts["what"] == "package":
        return []
    found = [d.get("producer", "") for m in facts["methods"] if m["name"] == method for d in m["delegates"]]
    return sorted({producer for producer in found if producer})
