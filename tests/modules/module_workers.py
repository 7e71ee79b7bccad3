"""Runs cases in processes of their own, which may die or hang without taking the campaign with them."""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from module_kinds import ALONE, Job, Outcome

# Seconds for one case in all its configurations, on a machine with other work; and for the first, when libraries are imported.
TIMEOUT_S = 150.0
FIRST_TIMEOUT_S = 400.0
_PROGRAM = Path(__file__).with_name("module_worker.py")


class Worker:
    """One process, replaced when it ends or does not answer. Close it. For one thread at a time.

    cases: the module whose `case(name)` gives the cases. timeout_s: for one job, by the clock.
    """

    def __init__(self, *, cases: str = "module_cases", timeout_s: float = TIMEOUT_S) -> None:
        self._cases, self._timeout_s = cases, timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def outcomes(self, job: Job) -> list[Outcome]:
        """One for each configuration. A job that its process does not survive is run again, one configuration at a time."""
        timeout = self._timeout_s
        if self._process is None:
            self._process = self._start()
            timeout = max(timeout, FIRST_TIMEOUT_S)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"case": job.case, "configurations": job.configurations}).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._line(time.monotonic() + timeout)
        except BrokenPipeError:
            answer = None
        if answer:
            return [Outcome(**found) for found in json.loads(answer)]
        kind, text = (
            ("hung", f"no answer in {timeout:.0f} s") if answer is not None else ("died", f"the process ended: {self._ended()}")
        )
        self.close()
        if len(job.configurations) > 1:
            return [outcome for c in job.configurations for outcome in self.outcomes(Job(job.case, (c,)))]
        if job.configurations == (ALONE,):
            return [Outcome(job.case, ALONE, kind, text=text)]
        # The same without Core ML: then it is ExecuTorch that ends the process.
        alone = self.outcomes(Job(job.case, (ALONE,)))[0]
        return [Outcome(job.case, job.configurations[0], "executorch" if alone.kind == kind else kind, text=text)]

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        self._unread = b""
        environment: dict[str, Any] = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, str(_PROGRAM), self._cases],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def _line(self, deadline: float) -> bytes | None:
        """A line of the process; empty when none comes in time, None when none will."""
        assert self._process is not None and self._process.stdout is not None
        file = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            if not select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return b""
            more = os.read(file, 1 << 16)
            if not more:
                return None
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _ended(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"code {code}"


def run(jobs: Iterator[Job], *, processes: int) -> Iterator[list[Outcome]]:
    """The outcomes of each job, as they come."""
    lock, answers = threading.Lock(), queue.Queue[list[Outcome] | BaseException | None]()

    def work() -> None:
        worker = Worker()
        try:
            while True:
                with lock:
                    job = next(jobs, None)
                if job is None:
                    break
                answers.put(worker.outcomes(job))
        except BaseException as error:
            answers.put(error)
        finally:
            worker.close()
            answers.put(None)

    for _ in range(processes):
        threading.Thread(target=work, daemon=True).start()
    running = processes
    while running:
        answer = answers.get()
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            running -= 1
        else:
            yield answer
