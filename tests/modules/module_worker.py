"""A process that runs cases: reads jobs as JSON lines, and answers each with a line of its outcomes. Started by module_workers.py."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import os
import sys
from typing import TextIO


def _serve(answers: TextIO) -> None:
    # Imported here: libraries print while they are, and by now that goes nowhere.
    import module_cases
    import module_outcomes
    import torch

    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    module_outcomes.list_operations_once()
    families = module_cases.families()
    # coremltools collects garbage in every conversion, which takes a second when it looks at all that was imported.
    gc.collect()
    gc.freeze()
    family, cases = "", {}
    for line in sys.stdin:
        job = json.loads(line)
        name = job["case"].rpartition("/")[0]
        if name != family:
            family, cases = name, {case.name: case for case in families[name].cases()}
        found = module_outcomes.outcomes(cases[job["case"]], tuple(job["configurations"]))
        answers.write(json.dumps([dataclasses.asdict(outcome) for outcome in found]) + "\n")
        answers.flush()


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    _serve(answers)


if __name__ == "__main__":
    main()
