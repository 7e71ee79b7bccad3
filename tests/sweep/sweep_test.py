"""A fixed sample of the list agrees with torch; and the list is what it says."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import pytest
import sweep
import sweep_markdown
import sweep_models
from module_kinds import Outcome
from module_workers import Worker

# Name -> the share of its nodes that Core ML has at least: complex numbers, a mixture of experts, an encoder of text.
SAMPLED = {"transformers/FNetModel": 1.0, "transformers/MixtralForCausalLM": 1.0, "transformers/MobileBertModel": 1.0}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker(cases="sweep_models", timeout_s=sweep.TIMEOUT_S)
    yield worker
    worker.close()


def test_list_has_every_library():
    counts = collections.Counter(model.family for model in sweep_models.MODELS.values())
    assert set(counts) == set(sweep_models.LIBRARIES)
    assert counts["transformers"] >= 200
    assert counts["torchvision"] >= 40
    assert counts["timm"] >= 100
    assert {f"{model.family}/{model.name}" for model in sweep_models.MODELS.values()} == set(sweep_models.MODELS)


@pytest.mark.parametrize("name", SAMPLED)
def test_sampled(worker: Worker, name: str):
    decides = sweep.judged(worker, name)[-1]
    assert sweep_markdown.agrees(decides), decides
    assert sweep_markdown.share(decides) >= SAMPLED[name], decides.reasons


def outcome(name: str, configuration: str, kind: str, difference: float | None, delegated: int, left: int) -> Outcome:
    reasons = ["aten.sort.default: coremltools has no conversion for it [no_converter]"] if left else []
    return Outcome(name, configuration, kind, "", "what was wrong", reasons, delegated, left, 1, difference, 2.0)


def test_table_says_what_became_of_each():
    names = [name for name, model in sweep_models.MODELS.items() if model.family == "timm"]
    found = [
        outcome(names[0], sweep.DEFAULT, "whole", 1e-3, 10, 0),
        outcome(names[1], sweep.DEFAULT, "inconclusive", 0.2, 10, 0),
        outcome(names[1], sweep.PRECISE, "part", 1e-6, 9, 1),
        outcome(names[2], sweep.DEFAULT, "inconclusive", 2e-3, 10, 0),
        outcome(names[3], sweep.DEFAULT, "wrong", 0.5, 10, 0),
        outcome(names[4], sweep.DEFAULT, "unexported", None, 0, 0),
    ]
    text = sweep_markdown.text(found, default=sweep.DEFAULT, commit="abc", versions={"torch": "2"})
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:] for line in text.splitlines() if line.startswith("| ")}
    short = [name.partition("/")[2] for name in names]
    assert rows[short[0]][:4] == ["yes", "1.0e-03", "10", "100 %"]
    assert rows[short[1]][:4] == ["in float32", "1.0e-06", "10", "90 %"]
    assert rows[short[1]][-1].startswith("sort.default [no_converter]")
    assert rows[short[2]][0] == "close"
    assert rows[short[3]][0] == "wrong"
    assert rows[short[3]][-1].startswith("what was wrong")
    assert rows[short[4]][0] == "not exported"
    # Three of the four that were exported agree; one is a finding; one is not exported; the rest is not run.
    assert rows["timm"] == [str(len(names)), "3", "75.0 %", "3", "1", "0", "0", "0", "0", "1", f"{len(names) - 5} |"]
