"""What commands print: tables for people, one JSON value with --json."""

from __future__ import annotations

import json
import sys
from typing import Any

import rich.box
import rich.console
import rich.table


class Output:
    """Where a command's result goes. Standard output has the result alone; progress and remarks go to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # Another program's input is not wrapped at the width of a terminal.
        self._console = rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else 240)
        self._remarks = rich.console.Console(stderr=True, highlight=False)

    def value(self, value: Any) -> None:
        """The result, with --json."""
        print(json.dumps(value, indent=2))

    def line(self, text: str = "") -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def remark(self, text: str) -> None:
        self._remarks.print(text, markup=False, style="dim")

    def table(self, rows: list[tuple[str, ...]], *, header: tuple[str, ...] = (), right: tuple[int, ...] = ()) -> None:
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD if header else None, show_header=bool(header), pad_edge=False)
        for index in range(len(rows[0]) if rows else len(header)):
            table.add_column(header[index] if header else "", justify="right" if index in right else "left")
        for row in rows:
            table.add_row(*(rich.markup.escape(cell) for cell in row))
        self._console.print(table)


def size(count: int) -> str:
    """Bytes for people: "1.5 MB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
