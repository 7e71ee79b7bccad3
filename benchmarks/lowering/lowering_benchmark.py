"""Wall time, memory and size of lowering, against the Core ML backend in the executorch wheel.

    tools/bazel run -c opt //benchmarks/lowering:lowering_benchmark -- [--models mobilenet_v2 lstm_50_steps] [--rounds 3]

Each lowering runs in a process of its own, ours and theirs in turn. Time and memory count from the exported program to the written .pte;
memory is what the process's peak rises by. Ratios are theirs / ours: above 1 ours is faster or smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODELS = ("mobilenet_v2", "bert_base", "lstm_50_steps", "mlp_200m")


def search_path(*, ours: bool) -> str:
    """sys.path, for theirs without the folders that hold this project's package."""
    kept = [p for p in sys.path if p and (ours or not (Path(p) / "executorch_coreml").exists())]
    return os.pathsep.join(kept)


def lower(model: str, *, ours: bool) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": search_path(ours=ours), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "lower_once.py"), model],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise RuntimeError(f"{model}, {'ours' if ours else 'theirs'}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT "))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'model':<16}{'':<8}{'seconds':>9}{'added MB':>10}{'.pte MB':>9}{'left':>6}")
    for model in options.models:
        runs: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for _ in range(options.rounds):
            for ours in (True, False):
                runs[ours].append(lower(model, ours=ours))
        middle = {
            ours: {key: statistics.median(run[key] for run in found) for key in ("seconds", "added_mb", "pte_mb", "left")}
            for ours, found in runs.items()
        }
        assert len({run["backend"] for run in runs[True] + runs[False]}) == 2, "both lowered with the same backend"
        for ours, label in ((True, "ours"), (False, "theirs")):
            m = middle[ours]
            print(f"{model:<16}{label:<8}{m['seconds']:>9.2f}{m['added_mb']:>10.0f}{m['pte_mb']:>9.1f}{m['left']:>6.0f}")
        o, t = middle[True], middle[False]
        print(f"{'':<16}{'ratio':<8}{t['seconds'] / o['seconds']:>9.2f}{t['added_mb'] / max(o['added_mb'], 1):>10.2f}", flush=True)


if __name__ == "__main__":
    main()
