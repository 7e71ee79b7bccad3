"""What became of coremltools' op suite, from the records that conftest.py writes: the page tests/results/coremltools.md."""

from __future__ import annotations

import collections
import json
import pathlib
from collections.abc import Iterable, Mapping

_COUNTED = ("passed", "failed", "crashed", "timed out", "excluded")


def _lines(path: pathlib.Path) -> Iterable[dict]:
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue  # Cut off where a process ended.


def read(path: pathlib.Path) -> dict[str, dict]:
    """The records of the cases in one file that have ended, by id; the last of each."""
    return {line["id"]: line for line in _lines(path) if "id" in line}


def unfinished(path: pathlib.Path) -> str | None:
    """The case that had begun and not ended when its process did."""
    begun = None
    for line in _lines(path):
        begun = line.get("begun")
    return begun


def read_all(folder: pathlib.Path) -> dict[str, dict]:
    """The records of all files of a folder; where a case has several, the one of the last file by name."""
    records: dict[str, dict] = {}
    for path in sorted(folder.glob("*.jsonl")):
        records.update(read(path))
    return records


def _percent(part: int, whole: int) -> str:
    # Never rounded up to 100.
    return f"{int(1000 * part / whole) / 10:.1f} %" if whole else "-"


def _pass_counts(records: Iterable[Mapping]) -> tuple[dict[tuple[str, str], list[int]], dict[str, list[int]]]:
    """[passed, run] by (operation, opset) and by opset, of the cases that made predictions."""
    by_operation: dict[tuple[str, str], list[int]] = collections.defaultdict(lambda: [0, 0])
    by_opset: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for record in records:
        for opset, names in record["operations"].items():
            for counts in (by_opset[opset], *(by_operation[name, opset] for name in names)):
                counts[0] += record["outcome"] == "passed"
                counts[1] += 1
    return by_operation, by_opset


def _interrupted(ran: int, cases: int) -> list[str]:
    if ran == cases:
        return []
    return [
        f"The run was interrupted with {cases - ran} cases left. Processes take every nth case of the suite's order, so that what ran is a sample of",
        "every test; the same command goes on with the rest.",
        "",
    ]


def render(cases: list[str], records: Mapping[str, dict], provenance: str = "") -> str:
    """The page's text. `cases` are all ids of the suite; `provenance` says on what it ran."""
    ran = [records[case] for case in cases if case in records]
    outcomes = collections.Counter(record["outcome"] for record in ran)
    counted = [record for record in ran if record["outcome"] in _COUNTED]
    predicting = [record for record in counted if record["predictions"] > 0]
    passed = sum(record["outcome"] == "passed" for record in counted)
    lines = [
        "# coremltools' tests of MIL operations on the portable engine",
        "",
        "Written by `tools/bazel run //tests/coremltools:run_suite -- --records=FOLDER --report=$PWD/tests/results/coremltools.md`, in numeric mode",
        f"float32{provenance and '; ' + provenance}. coremltools makes these predictions on a Mac only; what they are compared with is coremltools'",
        "own expectation. That Apple's runtime gives the same is not established by this.",
        "",
        "| | cases |",
        "|---|---|",
        f"| collected | {len(cases)} |",
        f"| run | {len(ran)} |",
        f"| passed | {outcomes['passed']} |",
        f"| failed | {outcomes['failed']} |",
        f"| process died or hung | {outcomes['crashed'] + outcomes['timed out']} |",
        f"| excluded here, each must fail (`op_suite_exclusions.txt`) | {outcomes['excluded']} |",
        f"| skipped by coremltools | {outcomes['skipped']} |",
        f"| expected failures of coremltools' own | {outcomes['expected failure']} |",
        "",
        f"**{_percent(passed, len(counted))}** of the {len(counted)} that coremltools neither skips nor expects to fail passed, with"
        f" {sum(record['predictions'] for record in ran)} predictions made; of the {len(predicting)} among them that",
        f"made predictions {_percent(sum(record['outcome'] == 'passed' for record in predicting), len(predicting))}.",
        "",
        *_interrupted(len(ran), len(cases)),
        "## By opset and operation",
        "",
        "Passed / run, of the cases that made predictions: a case counts for every operation of the programs it ran, in the opset these were serialised",
        "for.",
        "",
    ]
    by_operation, by_opset = _pass_counts(counted)
    opsets = sorted(by_opset)
    lines += [f"| operation | {' | '.join(opsets)} |", "|---" * (len(opsets) + 1) + "|"]
    cell = lambda counts: f"{counts[0]} / {counts[1]}" if counts[1] else ""  # noqa: E731
    lines.append(f"| all | {' | '.join(cell(by_opset[opset]) for opset in opsets)} |")
    for name in sorted({name for name, _ in by_operation}):
        lines.append(f"| {name} | {' | '.join(cell(by_operation.get((name, opset), [0, 0])) for opset in opsets)} |")
    lines += ["", "## What did not pass", ""]
    causes: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for record in counted:
        if record["outcome"] != "passed":
            first = (record.get("cause") or "").strip().splitlines() or [""]
            causes[record["id"].partition("[")[0], f"{record['outcome']}: {first[0][:200]}"].append(record["id"])
    if not causes:
        lines.append("Nothing.")
    else:
        lines += ["| test | cases | outcome |", "|---|---|---|"]
        for (test, cause), ids in sorted(causes.items()):
            lines.append(f"| {test} | {len(ids)} | {cause.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"
