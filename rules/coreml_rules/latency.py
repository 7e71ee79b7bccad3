"""coreml_latency_baseline: measures programs on this machine and writes the times into the source tree; it judges nothing."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any


def machine() -> str:
    """The processor, as Linux names it, and how many of its threads this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {count} threads"


def measure(program: Path, method: str, executions: int) -> dict[str, Any]:
    """What `coreml bench --json` says of it, from a process of its own. Milliseconds."""
    words = ["from executorch_coreml.sdk.command_line import main; import sys; sys.exit(main())"]
    command = [sys.executable, "-c", *words, "bench", "--json", f"-n{executions}", f"--method={method}", str(program)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip() or f"coreml bench ended with {done.returncode}")
    return json.loads(done.stdout)["milliseconds"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="coreml_latency_baseline")
    parser.add_argument(
        "--program", action="append", default=[], nargs=3, metavar=("LABEL", "METHOD", "PTE"), help=argparse.SUPPRESS
    )
    parser.add_argument("--out", required=True, type=Path, help="from the workspace's folder")
    parser.add_argument("-n", type=int, default=50, help="executions of each (default: 50)")
    asked = parser.parse_args()
    found = {}
    for label, method, path in asked.program:
        try:
            times = measure(Path(path), method, asked.n)
        except ValueError as error:
            print(f"ERROR: {label}: {error}", file=sys.stderr)
            return 1
        found[label] = {name: round(value, 4) for name, value in times.items()}
        print(f"{label}: {found[label]['p50']:.3f} ms")
    target = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")) / asked.out
    document = {"executions": asked.n, "machine": machine(), "programs": found}
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"-> {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
