"""The table of MIL's operations, filled by mil_elements.py and mil_layers.py: how a random call of each is drawn and what it is
compared with.

A row's reference is a function of mil_references.py, or None for coremltools' own value inference; an operation without `draw` has
the reason. COMPOSITES are operations that only make sense together: lists, and the two of control flow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import mil_references as references

Draw = Callable[..., dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Row:
    draw: Draw | None = None
    reference: Callable[..., Any] | None = None
    reason: str = ""
    # Further operations that a composite is made of.
    of: tuple[str, ...] = ()
    build: Callable[..., Any] | None = None


OPERATIONS: dict[str, Row] = {}
COMPOSITES: dict[str, Row] = {}


def operation(*names: str, reference: Any = "by name") -> Callable[[Draw], Draw]:
    """Rows for operations drawn alike, compared with the functions of their names, or with what coremltools infers."""

    def register(draw: Draw) -> Draw:
        for name in names:
            found = getattr(references, name, None) if reference == "by name" else reference
            OPERATIONS[name] = Row(draw, found)
        return draw

    return register


def not_compared(reason: str, *names: str) -> None:
    for name in names:
        OPERATIONS[name] = Row(reason=reason)
