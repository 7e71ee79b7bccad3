"""What the installed coremltools still needs a correction for: each pattern of wrong_numbers_test.py with its guard and without it, one line
of JSON for each.

    next_coremltools.py                     the coremltools of this workspace
    PYTHONPATH=FOLDER next_coremltools.py   another one, as `pip install --target FOLDER --no-deps coremltools==VERSION` puts it there

Arguments are names of patterns, all when there are none.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import coremltools as ct
import pytest
import wrong_numbers_test
from executorch.backends.apple.coreml.compiler import op_rules
from executorch.backends.apple.coreml.compiler.correction_table import Correction


def _row_of(op: str) -> Correction:
    return next(row for row in op_rules.rules_of(Correction) if op in row.ops)


def main(patterns: list[str]) -> None:
    """`corrected`: the op of the correction's row that stands for it. `guarded`, `without`: what is wrong with the result, empty if nothing."""
    logging.disable(logging.ERROR)
    for row in wrong_numbers_test.ROWS:
        if not row.correction or (patterns and row.pattern not in patterns):
            continue
        corrected = _row_of(row.correction)
        found: dict[str, Any] = {"coremltools": ct.__version__, "pattern": row.pattern}
        found |= {"corrected": corrected.ops[0], "fixed_in": corrected.fixed_in}
        found["guarded"] = wrong_numbers_test.wrong_or_raised(row)
        with pytest.MonkeyPatch.context() as patch, wrong_numbers_test.without(row, patch):
            found["without"] = wrong_numbers_test.wrong_or_raised(row)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
