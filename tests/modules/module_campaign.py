"""Chooses cases, and keeps what became of each in a file of JSON lines, so that a campaign goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import module_cases
from module_kinds import Job, Outcome

TIERS = ("modules", "functional", "operations")
# A campaign runs so many cases of each family, then some more of each, so that one that is stopped has seen all families.
_ROUNDS = (2, 6, 16, 48)


def _order(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def chosen(family: module_cases.Family, most: int, seed: int) -> list[str]:
    """Names of at most so many cases of a family: the first, the last, and others by chance, in the order in which to run them."""
    names = [case.name for case in family.cases()]
    first = [names[0], names[-1]] if len(names) > 1 else names
    rest = sorted((name for name in names if name not in first), key=lambda name: _order(name, seed))
    return [*first, *rest][:most]


def jobs(
    families: Sequence[module_cases.Family],
    *,
    configurations: Sequence[str],
    most: int,
    seed: int,
    drawn: bool,
    done: set[tuple[str, str]],
) -> Iterator[Job]:
    """What is to be run and is not `done`: (case, configuration). `drawn`: each case in one configuration, by chance."""
    wanted = {family.name: chosen(family, most, seed) for family in families}
    start = 0
    for end in (*(end for end in _ROUNDS if end < most), most):
        for names in wanted.values():
            for case in names[start:end]:
                asked = sorted(configurations, key=lambda c: _order(f"{case}:{c}", seed))[:1] if drawn else configurations
                left = tuple(c for c in asked if (case, c) not in done)
                if left:
                    yield Job(case, left)
        start = end


def again(outcomes: Sequence[Outcome], kinds: Sequence[str], families: Sequence[module_cases.Family]) -> Iterator[Job]:
    """What became one of these kinds, family by family."""
    left: dict[str, list[str]] = {}
    names = {family.name for family in families}
    for outcome in outcomes:
        if outcome.kind in kinds and outcome.family in names:
            left.setdefault(outcome.case, []).append(outcome.configuration)
    for case in sorted(left):
        yield Job(case, tuple(left[case]))


def until(jobs: Iterator[Job], deadline: float) -> Iterator[Job]:
    """The jobs up to a time, as of time.monotonic()."""
    for job in jobs:
        if time.monotonic() > deadline:
            return
        yield job


def read(path: Path) -> list[Outcome]:
    """The outcomes in a file, the last of each case and configuration."""
    found: dict[tuple[str, str], Outcome] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.endswith("}"):  # Else it was being written when the campaign was stopped.
            outcome = Outcome(**json.loads(line))
            found[outcome.case, outcome.configuration] = outcome
    return list(found.values())
