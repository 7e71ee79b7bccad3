"""A process that runs cases: reads jobs as JSON lines, and answers each with a line of its outcomes. Started by module_workers.py.

module_worker.py MODULE: the module whose `case(name)` gives the cases.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import json
import logging
import os
import sys
from typing import TextIO


def _serve(answers: TextIO, cases: str) -> None:
    # Imported here: libraries print while they are, and by now that goes nowhere.
    import module_outcomes
    import torch

    case = importlib.import_module(cases).case
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    module_outcomes.list_operations_once()
    # coremltools collects garbage in every conversion, which takes a second when it looks at all that was imported.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        found = module_outcomes.outcomes_of(job["case"], case, tuple(job["configurations"]))
        answers.write(json.dumps([dataclasses.asdict(outcome) for outcome in found]) + "\n")
        answers.flush()


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    _serve(answers, sys.argv[1])


if __name__ == "__main__":
    main()
