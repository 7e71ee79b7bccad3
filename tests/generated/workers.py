"""Worker processes that judge programs, are given up when they hang, and are replaced when they die."""

from __future__ import annotations

import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

START_TIMEOUT_S = 1200
# Of the processor's time: lowering a large program for all targets takes seconds, and a loop that does not end takes for ever. Others may have
# the processor meanwhile, so that only what waits for something is judged by the clock.
TIMEOUT_S = 60.0
WAITING_TIMEOUT_S = 600.0
WORKER = pathlib.Path(__file__).with_name("worker.py")


def _processor_s(process: int) -> float:
    """The seconds of the processor that a process has had; 0 when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """One process. ask() answers with outcome "crashed" or "hung" when the process does not."""

    def __init__(self, timeout_s: float = TIMEOUT_S, *, script: pathlib.Path = WORKER) -> None:
        self.timeout_s = timeout_s
        self.script = script
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._asked = 0

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(self.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("GENERATED_VERBOSE") else subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._lines = queue.Queue()
        self._asked = 0

        def read(stream: Any, lines: queue.Queue[str | None]) -> None:
            for line in stream:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, args=(self._process.stdout, self._lines), daemon=True).start()
        line = self._lines.get(timeout=START_TIMEOUT_S)
        if line is None:
            raise RuntimeError("A worker process ended while it started; run with GENERATED_VERBOSE=1 to see what it says.")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        phase, program = "start", None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        heard, spent = time.monotonic(), _processor_s(self._process.pid)
        while True:
            try:
                line = self._lines.get(timeout=self.timeout_s / 4)
            except queue.Empty:
                is_late = _processor_s(self._process.pid) - spent > self.timeout_s
                if not is_late and time.monotonic() - heard < WAITING_TIMEOUT_S:
                    continue
                self.stop()
                return self._lost(request, "hung", f"{phase}: no end within {self.timeout_s} s", program)
            heard, spent = time.monotonic(), _processor_s(self._process.pid)
            if line is None:
                code = self._process.wait()
                self._process = None
                return self._lost(request, "crashed", f"{phase}: the process ended with {code}", program)
            message = json.loads(line)
            if "answer" in message:
                self._asked += 1
                if self._asked >= 400:
                    # What the libraries keep for good, a new process has not.
                    self.stop()
                answer: dict[str, Any] = message["answer"]
                return answer
            if message["phase"].startswith("program "):
                program = message["phase"][len("program ") :]
            else:
                phase = message["phase"]

    @staticmethod
    def _lost(request: dict[str, Any], outcome: str, detail: str, program: str | None) -> dict[str, Any]:
        seed = request.get("seed", -1)
        phase = detail.split(":")[0]
        made = {"outcome": outcome, "kind": f"{outcome} in {phase.split(' ')[0]}", "detail": detail, "seed": seed}
        if phase in ("draw", "export", "expect", "ExecuTorch alone"):
            made["outcome"] = "executorch" if phase == "ExecuTorch alone" else "not exported"
        words = phase.split(" ")
        if words[0] == "lower":
            made["configuration"] = {"target": words[1], "precision": words[2]}
        if program or "program" in request:
            made["program"] = program or request["program"]
        return made


def judge_all(
    requests: Iterable[dict[str, Any]],
    count: int,
    done: Callable[[], bool] = lambda: False,
    *,
    timeout_s: float = TIMEOUT_S,
    worker: pathlib.Path = WORKER,
) -> Iterator[dict[str, Any]]:
    """The answers to requests, in the order in which they come, from `count` processes."""
    waiting = iter(requests)
    lock = threading.Lock()
    answers: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def serve() -> None:
        process = Worker(timeout_s, script=worker)
        try:
            while not done():
                with lock:
                    request = next(waiting, None)
                if request is None:
                    return
                answers.put(process.ask(request))
        finally:
            process.stop()
            answers.put(None)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    left = count
    while left:
        answer = answers.get()
        if answer is None:
            left -= 1
        else:
            yield answer
