"""Random MIL programs give on the portable engine what coremltools and NumPy say they give.

A fixed shard of seeds; COREML_DELEGATE_FULL_TESTS=1 makes it 1,000. A failure prints the smallest program that shows it.
"""

from __future__ import annotations

import os
from typing import Any

import campaign
import mil_campaign
import numpy as np
import pytest
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry
from mil_drawing import draw_program
from mil_judging import Expected
from mil_operations import COMPOSITES, DRAWN, OPERATIONS
from mil_program import INPUT, Call, Program, Ref
from workers import judge_all

FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
FIRST = 1
COUNT = 1000 if FULL else 60
PROCESSES = 2


def test_every_operation_has_a_row() -> None:
    assert set(OPERATIONS) == set(SSAOpRegistry.core_ops)
    assert all((row.draw is None) == bool(row.reason) for row in OPERATIONS.values())
    assert set(DRAWN) == {name for name, row in OPERATIONS.items() if row.draw} | set(COMPOSITES)


@pytest.fixture(scope="module")
def answers() -> dict[int, dict[str, Any]]:
    requests = ({"seed": seed} for seed in range(FIRST, FIRST + COUNT))
    made = {answer["seed"]: answer for answer in judge_all(requests, PROCESSES, worker=mil_campaign.WORKER)}
    print("\n" + "\n".join(mil_campaign.summary(made)))
    return made


def test_no_program_is_a_finding(answers: dict[int, dict[str, Any]]) -> None:
    found = [
        f"seed {answer['seed']}: {answer['outcome']}, {answer['kind']}: {answer['detail'][:300]}\n{answer.get('program', '')}"
        for answer in answers.values()
        if answer["outcome"] in campaign.FINDINGS
    ]
    assert len(answers) == COUNT
    assert not found, "\n".join(found)


def test_few_programs_are_inconclusive_or_refused(answers: dict[int, dict[str, Any]]) -> None:
    others = [(seed, answer["kind"]) for seed, answer in answers.items() if answer["outcome"] in ("inconclusive", "refused")]
    assert len(others) <= 0.1 * COUNT, others


def test_a_seed_replays() -> None:
    for seed in (3, 17):
        assert draw_program(seed).source() == draw_program(seed).source()


def test_a_wrong_number_is_seen() -> None:
    x = np.array([[1.0, -2.0, 0.25]], np.float32)
    program = Program(7, "iOS17", [Call(INPUT, {"value": x}, ["fp32"], [x.shape]), Call("sin", {"x": Ref(0)}, ["fp32"], [x.shape])])
    expected = Expected.of(program, "float32")
    right = np.sin(x)
    assert expected.compare(1, right, "float32")[0] == "right"
    assert expected.compare(1, right + np.float32(3e-6), "float32")[0] == "wrong"
    assert expected.compare(1, np.where(right > 0, right, np.nan).astype(np.float32), "float32")[0] == "wrong"
    assert expected.compare(1, right[:, :2], "float32")[0] == "wrong"
