"""Runs every case of coremltools' op suite, each process a part, and writes what became of them.

    tools/bazel run //tests/coremltools:run_suite -- --records=FOLDER [--jobs=2] [--report=$PWD/tests/results/coremltools.md]

FOLDER keeps a line of JSON for each case (conftest.py); cases that it has are not run again, so that an interrupted run goes on where
it stopped. `--again` runs the cases that failed once more. A case whose process dies, or that takes ten minutes, is recorded as
"crashed" or "timed out", and the process's other cases go on in another one.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import report as suite_report

# Not resolved: in Bazel's runfiles these are links, and pytest is to see the files beside each other as they lie there.
_HERE = pathlib.Path(__file__).absolute().parent
# A process's cases: the imports cost ten seconds, and the process's memory grows with the models it loads.
_BATCH = 500
_TIMEOUT = 600


def _pytest(arguments: list[str], log: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "pytest", "-c", str(_HERE.parents[1] / "tools/build_defs/pytest.ini"), f"--rootdir={_HERE}"]
    path = os.pathsep.join(entry for entry in sys.path if entry != str(_HERE))
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path}
    with log.open("ab") as output:
        return subprocess.Popen(
            [*command, "-q", *arguments, str(_HERE / "op_suite_test.py")], stdout=output, stderr=output, env=environment, cwd=_HERE
        )


def _collect(folder: pathlib.Path) -> list[str]:
    log = folder / "collection.txt"
    log.unlink(missing_ok=True)
    if _pytest(["--collect-only"], log).wait() != 0:
        raise SystemExit(f"the suite cannot be collected; see {log}")
    lines = log.read_text().splitlines()
    return [line.partition("::")[2] for line in lines if line.startswith("op_suite_test.py::")]


def _run(batch: list[str], name: str, folder: pathlib.Path) -> None:
    """Runs a batch to its end, through as many processes as it takes."""
    records = folder / f"{name}.jsonl"
    only = folder / f"{name}.only"
    left = batch
    while left:
        only.write_text("\n".join(left))
        process = _pytest([f"--only={only}", f"--record={records}"], folder / f"{name}.log")
        timed_out = _watch(process, records)
        done = suite_report.read(records)
        begun = suite_report.unfinished(records)
        if begun is None and process.returncode not in (0, 1):
            raise SystemExit(f"pytest ended with {process.returncode}; see {folder / f'{name}.log'}")
        if begun is not None:
            outcome = "timed out" if timed_out else "crashed"
            cause = f"over {_TIMEOUT} s" if timed_out else f"the process ended with {process.returncode}"
            with records.open("a") as out:
                out.write(
                    json.dumps({"id": begun, "outcome": outcome, "seconds": 0, "predictions": 0, "operations": {}, "cause": cause})
                    + "\n"
                )
            done[begun] = {}
        left = [case for case in left if case not in done]


def _watch(process: subprocess.Popen, records: pathlib.Path) -> bool:
    """Waits for `process`; kills it, and returns true, when no record has been written for a while."""
    began = time.time()
    while True:
        try:
            process.wait(timeout=5)
            return False
        except subprocess.TimeoutExpired:
            last = records.stat().st_mtime if records.exists() else began
            if time.time() - max(last, began) > _TIMEOUT:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return True


def _provenance() -> str:
    names = ("coremltools", "openvino", "numpy")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--only-report", action="store_true", help="run nothing; write the report of the records there are")
    parser.add_argument("--again", action="store_true", help="run what did not pass once more")
    options = parser.parse_args()
    folder = options.records.absolute()
    folder.mkdir(parents=True, exist_ok=True)

    cases = _collect(folder)
    done = suite_report.read_all(folder)
    again = ("failed", "crashed", "timed out", "excluded") if options.again else ()
    left = [case for case in cases if case not in done or done[case]["outcome"] in again]
    if options.only_report:
        left = []
    # In turn, so that the long ones of one file do not meet in one process.
    count = max(options.jobs, -(-len(left) // _BATCH)) if left else 0
    stamp = time.strftime("%Y%m%d-%H%M%S")
    batches = collections.deque((left[i::count], f"{stamp}-{i:03}") for i in range(count))
    print(f"{len(cases)} cases, {len(left)} to run in {count} parts", flush=True)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not batches:
                    return
                batch, name = batches.popleft()
            _run(batch, name, folder)
            print(f"{name}: {len(batch)} cases", flush=True)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for worker in [pool.submit(work) for _ in range(options.jobs)]:
            worker.result()
    text = suite_report.render(cases, suite_report.read_all(folder), _provenance())
    if options.report:
        options.report.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
