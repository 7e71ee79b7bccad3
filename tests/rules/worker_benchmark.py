"""What a worker saves: ten models lowered by ten processes, and by one worker, with the same programs as the result.

tools/bazel run //tests/rules:worker_benchmark
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile
import time

from tests.rules.worker_client import Worker

BUILDER = str(pathlib.Path("rules/builder").absolute())
MODELS = pathlib.Path("tests/rules/models.py").absolute()
COUNT = 10


def arguments(folder: pathlib.Path, index: int) -> list[str]:
    folder.mkdir(parents=True)
    spec = {"methods": {"forward": "tests.rules.models:gate"}, "inputs": [f"float32[{index + 1}, 8]"]}
    found = [
        "lower",
        f"--label=//pkg:model{index}",
        f"--spec={json.dumps(spec)}",
        "--main=main",
        f"--file=tests/rules/models.py={MODELS}",
    ]
    return [*found, f"--pte={folder / 'm.pte'}", f"--text={folder / 'm.txt'}", f"--json={folder / 'm.json'}"]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        began = time.monotonic()
        for index in range(COUNT):
            lines = work / "arguments"
            lines.write_text("\n".join(arguments(work / "cold" / str(index), index)))
            subprocess.run([BUILDER, f"@{lines}"], check=True, capture_output=True)
        cold = time.monotonic() - began
        began = time.monotonic()
        worker = Worker(BUILDER, work)
        for index in range(COUNT):
            code, said = worker.ask(arguments(work / "warm" / str(index), index))
            if code:
                raise SystemExit(said)
            if index == 0:
                first = time.monotonic() - began
        warm = time.monotonic() - began
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        worker.process.wait()
        for index in range(COUNT):
            a, b = (work / kind / str(index) / "m.pte" for kind in ("cold", "warm"))
            if a.read_bytes() != b.read_bytes():
                raise SystemExit(f"model {index}: the worker's bytes are others")
    print(f"{COUNT} models: {cold:.1f} s in {COUNT} processes, {warm:.1f} s in one worker, {cold / warm:.1f} times as fast")
    # At most: what the processes after the first take, all of it.
    print(f"saved: {(cold - warm) / (cold * (COUNT - 1) / COUNT):.0%} of what the {COUNT - 1} processes after the first take")
    print(f"the worker's first model {first:.1f} s, each of the others {(warm - first) / (COUNT - 1):.2f} s")


if __name__ == "__main__":
    main()
