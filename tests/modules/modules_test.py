"""Every torch.nn module, torch.nn.functional function and operation is right, left outside or refused; nothing is wrong, raises, dies or hangs.

By default a fixed sample, each case in one configuration; with COREML_DELEGATE_FULL_TESTS=1 every sample of torch's in all configurations.
"""

from __future__ import annotations

import collections
import hashlib
import os
from collections.abc import Iterator

import module_campaign
import module_cases
import pytest
from module_kinds import CONFIGURATIONS, FINDINGS, Job, Outcome
from module_workers import Worker

FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
SEED = os.environ.get("COREML_DELEGATE_TEST_SEED", "1")
# Families of each tier that the default run has, with one case of each.
SAMPLE = {"modules": 8, "functional": 10, "operations": 6}
counts: collections.Counter[str] = collections.Counter()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{SEED}:{text}".encode()).digest()[:4], "big")


def _sampled() -> Iterator[tuple[str, tuple[str, ...]]]:
    for tier, count in SAMPLE.items():
        families = [family for family in module_cases.families().values() if family.tier == tier]
        for family in sorted(families, key=lambda family: _number(family.name))[:count]:
            names = [case.name for case in family.cases()]
            if names:
                name = names[_number(f"{family.name}/") % len(names)]
                yield name, (list(CONFIGURATIONS)[_number(name) % len(CONFIGURATIONS)],)


SAMPLED = [] if FULL else list(_sampled())
FAMILIES = list(module_cases.families()) if FULL else []


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()
    print(f"\nseed {SEED}: {counts.total()} programs: {dict(counts)}")


def _findings(outcomes: list[Outcome]) -> list[str]:
    counts.update(outcome.kind for outcome in outcomes)
    return [f"{o.case} {o.configuration} {o.kind}: {o.call} {o.text}" for o in outcomes if o.kind in FINDINGS]


def test_families_are_there():
    tiers = collections.Counter(family.tier for family in module_cases.families().values())
    assert set(tiers) == set(module_campaign.TIERS)
    assert tiers["modules"] >= 110
    assert tiers["functional"] >= 110
    assert tiers["operations"] >= 500


@pytest.mark.parametrize(("case", "configurations"), SAMPLED, ids=[name for name, _ in SAMPLED])
def test_sampled(worker: Worker, case: str, configurations: tuple[str, ...]):
    assert not _findings(worker.outcomes(Job(case, configurations)))


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_family(worker: Worker, family: str):
    found = [
        finding
        for case in module_cases.families()[family].cases()
        for finding in _findings(worker.outcomes(Job(case.name, tuple(CONFIGURATIONS))))
    ]
    assert not found, "\n".join(found)
