"""Whatever the partitioner takes converts, loads, runs and matches PyTorch; whatever it leaves runs outside. Nothing raises.

Each pattern of op_patterns is lowered, run through ExecuTorch on the portable engine and compared. By default a fixed sample of them in
float32 for iOS 15; with COREML_DELEGATE_FULL_TESTS=1 all of them, and again in float16 for iOS 18.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator

import coremltools as ct
import op_patterns
import pytest
import torch
from aot_lowering import calls, export, lower, outside
from executorch.exir import EdgeProgramManager, to_edge
from running import differences, module_of

FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
SEED = os.environ.get("COREML_DELEGATE_TEST_SEED", "1")
# One in this many patterns is the default run's.
SAMPLE = 14

CONFIGURATIONS = {
    "float32": {"compute_precision": ct.precision.FLOAT32},
    "float16": {"compute_precision": ct.precision.FLOAT16, "minimum_deployment_target": ct.target.iOS18},
}
# What no float16 program can match: the values are beyond float16, or the function's slope there makes of its rounding more than a few units.
NOT_IN_FLOAT16 = {
    "acos": "slope",
    "asin": "slope",
    "atanh": "slope",
    "diff": "cancellation",
    "div_floor": "steps",
    "div_floor_floats": "steps",
    "div_trunc": "steps",
    "div_of_integers": "range",
    "exp_large": "range",
    "floor_divide_scalar": "steps",
    "floor_divide_tensors": "steps",
    "fmod_scalar": "steps",
    "remainder_scalar": "steps",
    "remainder_tensors": "steps",
    "fmod_tensors": "steps",
    "frac": "steps",
    "log_small": "range",
    "logit": "slope",
    "reciprocal_small": "range",
    "rsqrt_small": "range",
    "tan": "slope",
}
# What goes through float16 in either program, which the engine rounds to in its float16 mode only.
THROUGH_FLOAT16 = {"to_half"}
outcomes: Counter[str] = Counter()


def _is_sampled(name: str, seed: str) -> bool:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:4], "big") % SAMPLE == 0


def _cases() -> Iterator[tuple[str, op_patterns.Pattern]]:
    for pattern in op_patterns.patterns():
        if FULL or _is_sampled(pattern.name, SEED):
            yield "float32", pattern
        if FULL and pattern.name not in NOT_IN_FLOAT16:
            yield "float16", pattern


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)
    print(f"\nseed {SEED}: {sum(outcomes.values())} patterns: {dict(outcomes)}")


def test_names_are_unique():
    names = [pattern.name for pattern in op_patterns.patterns()]
    assert len(names) == len(set(names))
    assert len(names) >= 450


def _failure(edge: EdgeProgramManager, module: torch.nn.Module, precision: str, pattern: op_patterns.Pattern) -> str:
    """What executing a program fails with, or is wrong with its outputs; empty for nothing."""
    try:
        compared_in = "float16" if pattern.name in THROUGH_FLOAT16 else precision
        return "; ".join(differences(edge, module, pattern.inputs, compared_in, values=not pattern.random))
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize(("precision", "pattern"), [pytest.param(p, c, id=f"{p}-{c.name}") for p, c in _cases()])
def test_pattern(precision: str, pattern: op_patterns.Pattern):
    module = module_of(pattern.function, len(pattern.inputs))
    torch.manual_seed(0)
    edge = lower(export(module, pattern.inputs, pattern.dynamic), **CONFIGURATIONS[precision])
    left, taken = outside(edge), calls(edge)
    outcome = ("taken whole" if not left else "taken in part") if taken else "left outside"
    outcomes[outcome] += 1
    wrong = _failure(edge, module, precision, pattern)
    if wrong and not taken:
        # No kernel, or another's fault: nothing of this project is in the program.
        alone = to_edge(export(module, pattern.inputs, pattern.dynamic))
        if wrong == _failure(alone, module, precision, pattern):
            outcomes["fails in ExecuTorch alone"] += 1
            return
    assert not wrong, f"{outcome}: {wrong}; outside: {left}"
