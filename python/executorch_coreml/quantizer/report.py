"""What a quantizer annotated, and what it left float."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Annotated:
    """One pattern that is quantized.

    pattern: such as "conv2d + relu". nodes: the graph nodes it covers. module: the path of the innermost module that called its anchor. entry:
    the configuration entry that decided. what: such as "weight int8 per channel, activations uint8".
    """

    pattern: str
    nodes: tuple[str, ...]
    module: str
    entry: str
    what: str


@dataclasses.dataclass(frozen=True)
class LeftFloat:
    """One op that stays float, and why."""

    op: str
    node: str
    module: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of annotating one program. `str()` is a table for people.

    unused: the configuration entries that asked for quantization and got none.
    """

    annotated: tuple[Annotated, ...]
    left_float: tuple[LeftFloat, ...]
    unused: tuple[str, ...]

    def of_module(self, path: str) -> tuple[Annotated | LeftFloat, ...]:
        """What became of a module's own ops."""
        items: list[Annotated | LeftFloat] = [*self.annotated, *self.left_float]
        return tuple(item for item in items if item.module == path)

    def __str__(self) -> str:
        lines = [f"{len(self.annotated)} patterns quantized, {len(self.left_float)} ops left float"]
        if self.annotated:
            rows = [(item.module or "(model)", item.pattern, item.what, item.entry) for item in self.annotated]
            lines += ["", *_table(("module", "quantized", "as", "decided by"), rows)]
        if self.left_float:
            grouped: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
            for item in self.left_float:
                grouped[item.op, item.reason].append(item.module or "(model)")
            rows = [(op, str(len(where)), reason, _some(where)) for (op, reason), where in grouped.items()]
            lines += ["", *_table(("left float", "times", "because", "in"), rows)]
        for label in self.unused:
            lines += ["", f"{label} quantized nothing."]
        return "\n".join(lines)


def _some(names: list[str], most: int = 3) -> str:
    unique = list(dict.fromkeys(names))
    more = len(unique) - most
    return ", ".join(unique[:most]) + (f" and {more} more" if more > 0 else "")


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: tuple[str, ...]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    return [line(header), "  ".join("-" * width for width in widths), *map(line, rows)]
