"""Where the nodes of a package's graph are drawn: in layers from top to bottom, each node below what it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

NODE_WIDTH, NODE_HEIGHT = 168, 34
_GAP_X, _GAP_Y = 18, 26
_SWEEPS = 6


@dataclasses.dataclass(frozen=True)
class Layout:
    """positions: id -> (x, y) of the upper left corner. edges: (from, to). All in pixels."""

    positions: dict[int, tuple[float, float]]
    edges: list[tuple[int, int]]
    width: float
    height: float


def lay_out(operations: Sequence[dict[str, Any]]) -> Layout:
    """Lays out the operations of one package, which are in the order of the program: what is read comes before."""
    by_name: dict[str, int] = {}
    sources: dict[int, list[int]] = {}
    for operation in operations:
        sources[operation["id"]] = list(dict.fromkeys(by_name[name] for name in operation["reads"] if name in by_name))
        by_name[operation["name"]] = operation["id"]
    layer: dict[int, int] = {}
    for node, above in sources.items():
        layer[node] = 1 + max((layer[source] for source in above), default=-1)
    targets: dict[int, list[int]] = {node: [] for node in sources}
    for node, above in sources.items():
        for source in above:
            targets[source].append(node)
    # What reads no other operation is drawn right above its first reader, not at the very top.
    for node, above in sources.items():
        if not above and targets[node]:
            layer[node] = min(layer[target] for target in targets[node]) - 1
    rows: dict[int, list[int]] = {}
    for node in sources:
        rows.setdefault(layer[node], []).append(node)
    place = {node: float(index) for row in rows.values() for index, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        near = sources if sweep % 2 == 0 else targets
        for number in sorted(rows, reverse=sweep % 2 == 1):
            row = rows[number]
            wanted = {n: sum(place[m] for m in near[n]) / len(near[n]) if near[n] else place[n] for n in row}
            row.sort(key=lambda n: wanted[n])
            for index, node in enumerate(row):
                place[node] = index
    columns = max((len(row) for row in rows.values()), default=1)
    width = columns * (NODE_WIDTH + _GAP_X) + _GAP_X
    positions: dict[int, tuple[float, float]] = {}
    for row_number, number in enumerate(sorted(rows)):
        row = rows[number]
        left = (width - len(row) * (NODE_WIDTH + _GAP_X) + _GAP_X) / 2
        for index, node in enumerate(row):
            positions[node] = (left + index * (NODE_WIDTH + _GAP_X), _GAP_Y + row_number * (NODE_HEIGHT + _GAP_Y))
    edges = [(source, node) for node, above in sources.items() for source in above]
    return Layout(positions, edges, width, len(rows) * (NODE_HEIGHT + _GAP_Y) + _GAP_Y)
