"""coreml_size_test: a program is not larger than allowed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from coreml_rules import junit


def largest_parts(facts: dict[str, Any]) -> list[tuple[int, str]]:
    """(bytes, what) of a program's parts, the largest first."""
    found = [(size, f"named data {name}") for name, size in facts["named_data"].items()]
    for method in facts["methods"]:
        for index, delegate in enumerate(method["delegates"]):
            found.append((delegate["processed_bytes"], f"delegate {index} of {method['name']}"))
    return sorted(found, reverse=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="coreml_size_test")
    parser.add_argument("--label", required=True)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--max-bytes", type=int, required=True)
    asked = parser.parse_args()
    facts = json.loads(asked.facts.read_text(encoding="utf-8"))
    size = facts["size"]
    case = junit.Case(asked.label, "size", properties={"bytes": size, "max_bytes": asked.max_bytes})
    print(f"{asked.label}: {size:,} bytes, {asked.max_bytes:,} allowed")
    if size <= asked.max_bytes:
        junit.write([case])
        return 0
    parts = "; ".join(f"{what} {count:,}" for count, what in largest_parts(facts)[:3])
    why = f"{asked.label} is {size - asked.max_bytes:,} bytes larger than allowed. Its largest parts: {parts}. Compress the weights (docs/quantization.md), or raise max_bytes"
    print(why)
    junit.write([case.failed(why)])
    return 1


if __name__ == "__main__":
    sys.exit(main())
