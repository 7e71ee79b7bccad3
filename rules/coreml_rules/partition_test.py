"""coreml_partition_test: nothing of a program is outside Core ML but what is allowed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from coreml_rules import junit


def left_outside(document: dict[str, Any]) -> dict[str, list[str]]:
    """op -> sentences that say why and where."""
    found: dict[str, list[str]] = {}
    for method, reports in document["methods"].items():
        for report in reports:
            for reason in report["reasons"]:
                key = (reason["op"], reason["code"], reason["reason"])
                node = next((n for n in report["left"] if (n["op"], n["code"], n["reason"]) == key), None)
                source = node["source"] if node else None
                where = f", first at {source['file']}:{source['line']}" if source else ""
                found.setdefault(reason["op"], []).append(
                    f"{reason['count']} x {reason['op']} of {method}: {reason['reason']} [{reason['code']}]{where}"
                )
    return found


def _is_allowed(op: str, allowed: set[str]) -> bool:
    """By its whole name or by one without the overload: aten.add of aten.add.Tensor."""
    return op in allowed or op.rpartition(".")[0] in allowed


def main() -> int:
    parser = argparse.ArgumentParser(prog="coreml_partition_test")
    parser.add_argument("--label", required=True)
    parser.add_argument("--partition", type=Path, required=True)
    parser.add_argument("--outside", action="append", default=[])
    parser.add_argument("--max-partitions", type=int)
    asked = parser.parse_args()
    document = json.loads(asked.partition.read_text(encoding="utf-8"))
    outside = left_outside(document)
    partitions = sum(len(report["partitions"]) for reports in document["methods"].values() for report in reports)
    allowed = set(asked.outside)
    problems = [line for op, lines in outside.items() if not _is_allowed(op, allowed) for line in lines]
    if asked.max_partitions is not None and partitions > asked.max_partitions:
        problems.append(f"{partitions} partitions, where {asked.max_partitions} are allowed: ops that stay outside cut the program")
    unused = sorted(name for name in allowed if not any(_is_allowed(op, {name}) for op in outside))
    for name in unused:
        print(f"{asked.label}: {name} is allowed outside, but is inside now: remove it from `outside`")
    case = junit.Case(asked.label, "partition", properties={"partitions": partitions, "operators_outside": len(outside)})
    if problems:
        print(f"{asked.label}: these ops are outside Core ML, where `outside` allows {', '.join(sorted(allowed)) or 'nothing'}:")
        print("\n".join("  " + line for line in problems))
        junit.write([case.failed("\n".join(problems))])
        return 1
    print(f"{asked.label}: {partitions} partition(s), outside Core ML: {', '.join(outside) or 'nothing'}")
    junit.write([case])
    return 0


if __name__ == "__main__":
    sys.exit(main())
