"""A process that judges MIL programs: reads {"seed": 7, "only": [...]} a line, tells each phase, answers with one line.

Started by tests/generated/workers.py, which replaces it when it dies or does not answer.
"""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

from worker import serve


def answer(request: dict[str, Any], tell: Any) -> dict[str, Any]:
    from mil_drawing import draw_program
    from mil_judging import judge

    tell("draw")
    program = draw_program(request["seed"], request.get("only", ()))
    tell("program " + program.source())
    return {
        **dataclasses.asdict(judge(program, tell)),
        "seed": request["seed"],
        "calls": len(program.calls),
        "opset": program.opset,
    }


def prepare() -> None:
    import mil_judging  # noqa: F401  imports coremltools before the clock of a request runs
    from executorch.backends.apple.coreml.runtime import MLModel  # noqa: F401

    # ct.convert() ends with a full collection, most of a program's time when it walks over all modules every time.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    serve(answer, prepare)
