"""What commands print: tables for people, one JSON value with --json."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text


class Output:
    """Where a command's result goes. Standard output has the result alone; progress and remarks go to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # Another program's input is not wrapped at the width of a terminal.
        self._console = rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else 240)
        self._remarks = rich.console.Console(stderr=True, highlight=False)

    def value(self, value: Any) -> None:
        """The result, with --json. What is NaN or infinite is null, which is what JSON has for it."""
        print(json.dumps(finite(value), indent=2, allow_nan=False))

    def line(self, text: str = "") -> None:
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def remark(self, text: str) -> None:
        self._remarks.print(printable(text), markup=False, style="dim", soft_wrap=True)

    def table(self, rows: list[tuple[str, ...]], *, header: tuple[str, ...] = (), right: tuple[int, ...] = ()) -> None:
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD if header else None, show_header=bool(header), pad_edge=False)
        for index in range(len(rows[0]) if rows else len(header)):
            table.add_column(header[index] if header else "", justify="right" if index in right else "left")
        for row in rows:
            table.add_row(*(rich.text.Text(printable(cell)) for cell in row))
        self._console.print(table)


def printable(text: str) -> str:
    """Text from a file as it may go to a terminal: control characters, which could move its cursor or rename its window, are escaped, and so
    are those that change the direction of what follows."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def finite(value: Any) -> Any:
    """A value for JSON, with None where a number is NaN or infinite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value


def size(count: int) -> str:
    """Bytes for people: "1.5 MB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
