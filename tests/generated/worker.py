"""A process that judges programs: reads one JSON object a line, tells each phase, answers with one line.

Started by workers.py, which replaces it when it dies or does not answer. A request is {"seed": 7}, or {"program": ..., "configurations": [...]}.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def _answer(request: dict[str, Any], tell: Any) -> dict[str, Any]:
    import vocabulary
    from judging import Verdict, configurations_of, judge
    from program import Program

    spent: dict[str, float] = {}
    current, since = "", time.process_time()

    def timed(phase: str) -> None:
        nonlocal current, since
        now = time.process_time()
        spent[current] = round(spent.get(current, 0.0) + now - since, 2)
        current, since = phase.split(" ")[0], now
        tell(phase)

    if "program" in request:
        program = Program.from_json(request["program"])
        return {**dataclasses.asdict(judge(program, configurations_of(request["configurations"]), tell)), "seed": program.seed}
    seed = request["seed"]
    verdict = Verdict("not exported")
    for attempt in range(request.get("attempts", 4)):
        timed("draw")
        program = vocabulary.draw_program(seed, attempt=attempt)
        timed("program " + program.to_json())
        verdict = judge(program, vocabulary.configurations(seed), timed)
        if verdict.outcome not in ("not exported", "executorch"):
            break
    answer = {**dataclasses.asdict(verdict), "seed": seed, "calls": len(program.calls), "attempt": attempt}
    timed("end")
    # Of the processor's time, by phase.
    answer["seconds"] = {phase: seconds for phase, seconds in spent.items() if seconds >= 0.01 and phase}
    if verdict.is_finding:
        answer["program"] = program.to_json()
    return answer


def serve(answer: Callable[[dict[str, Any], Callable[[str], None]], dict[str, Any]], prepare: Callable[[], None]) -> None:
    """Answers requests until there are no more. `prepare` runs before the clock of the first does."""
    # What libraries print must not come between the answers.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    faulthandler.enable()

    def send(kind: str, content: Any) -> None:
        channel.write(json.dumps({kind: content}) + "\n")
        channel.flush()

    prepare()
    send("ready", os.getpid())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            send("answer", answer(request, lambda phase: send("phase", phase)))
        except Exception as error:
            import traceback

            send(
                "answer",
                {
                    "outcome": "generator",
                    "kind": f"{type(error).__name__}: {error}"[:300],
                    "detail": traceback.format_exc()[-3000:],
                    **request,
                },
            )


def _prepare() -> None:
    import judging  # noqa: F401  imports torch, coremltools and ExecuTorch
    import quicker
    import torch
    import vocabulary  # noqa: F401

    quicker.install()
    torch.set_num_threads(1)


if __name__ == "__main__":
    serve(_answer, _prepare)
