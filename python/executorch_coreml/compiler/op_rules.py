"""The rule table: what is done with calls of an op otherwise than coremltools would do it, and why.

A rule is one of four kinds, which are asked in this order. Each kind is a class of its own, beside its rows:

    Constraint       the call stays outside Core ML                     partition/constraints.py
    Decomposition    ExecuTorch takes the op apart before it is asked   partition/decompositions.py
    Rewrite          the call becomes another one in the graph          compiler/rewrites.py
    Correction       a converter of ours makes MIL of the call          compiler/corrections_*.py, torch_ops.py, control_flow.py

What all rules have is here: why they are there, where that is known from, and the version of coremltools from which on they step aside.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import coremltools as ct
from packaging.version import Version


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """One row.

    ops: the ops that it is about, as its kind names them. reason: what is wrong without it, in words. reference: the address of a report, or empty.
    fixed_in: the coremltools version from which on the rule is not needed and steps aside; None while there is none.
    """

    ops: tuple[str, ...]
    reason: str
    reference: str = ""
    fixed_in: str | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether the installed coremltools is older than the version that does not need the rule."""
        return self.fixed_in is None or Version(ct.__version__) < Version(self.fixed_in)


_Kind = TypeVar("_Kind", bound=Rule)

# Kind -> its rules, in the order in which they are asked. Filled when the modules that have them are imported.
TABLE: dict[type[Rule], list[Any]] = {}


def add(*rules: Rule) -> None:
    """Puts rules behind those of their kinds."""
    for rule in rules:
        TABLE.setdefault(type(rule), []).append(rule)


def rules_of(kind: type[_Kind]) -> list[_Kind]:
    """Every rule of a kind, those that have stepped aside included."""
    return TABLE.get(kind, [])


def every() -> Iterator[Rule]:
    for rules in TABLE.values():
        yield from rules
