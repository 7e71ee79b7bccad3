"""The page's drawings, as SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from executorch_coreml.sdk.report import layout, values

# In the order of use; the style sheet has the colours.
COLOURS = 10


def stacked(parts: Sequence[tuple[str, float]], height: int = 26) -> str:
    """One bar of parts, widths in percent, with a legend's class for each."""
    total = sum(value for _, value in parts) or 1.0
    x, drawn = 0.0, []
    for index, (label, value) in enumerate(parts):
        width = 100 * value / total
        title = f"<title>{html.escape(label)} {value / total:.1%}</title>"
        drawn.append(f'<rect class="c{min(index, COLOURS - 1)}" x="{x:.3f}%" width="{width:.3f}%" height="{height}">{title}</rect>')
        x += width
    return f'<svg class="stacked" width="100%" height="{height}" role="img">{"".join(drawn)}</svg>'


def errors(operations: Sequence[Mapping[str, Any]]) -> str:
    """l2-relative error of each operation, in the order of the program, on a logarithmic axis."""
    points = [(o["id"], o["error"]["l2_relative"], o) for o in operations if o["error"] and o["error"]["l2_relative"] is not None]
    if not points:
        return ""
    floor = 1e-8
    logs = [math.log10(max(value, floor)) for _, value, _ in points]
    low, high = math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)
    frame = _Frame(len(operations), low, high)
    dots = "".join(
        f'<circle data-op="{identity}" class="dot" cx="{frame.x(identity):.1f}" cy="{frame.y(log):.1f}" r="3">'
        f"<title>{html.escape(o['type'])} {html.escape(o['name'])}: {value:.2e}</title></circle>"
        for (identity, value, o), log in zip(points, logs, strict=True)
    )
    line = " ".join(f"{frame.x(identity):.1f},{frame.y(log):.1f}" for (identity, _, _), log in zip(points, logs, strict=True))
    return frame.svg(
        f'<polyline class="line" points="{line}"/>{dots}', lambda power: f"1e{power}", "operations in the order of the program"
    )


def ranges(operations: Sequence[Mapping[str, Any]]) -> str:
    """From the smallest to the largest size of each operation's values, beside the limits of float16."""
    shown = [o for o in operations if o["range"] and o["range"]["largest"]]
    if not shown:
        return ""
    logs = [math.log10(o["range"]["largest"]) for o in shown]
    low, high = -9, max(6, math.ceil(max(logs)))
    frame = _Frame(len(operations), low, high)
    smallest, normal, largest = (
        math.log10(v) for v in (values.FLOAT16_SMALLEST, values.FLOAT16_SMALLEST_NORMAL, values.FLOAT16_LARGEST)
    )
    left, right = frame.left, frame.left + frame.width
    bands = (
        f'<rect class="beyond" x="{left}" y="{frame.y(high):.1f}" width="{frame.width}" height="{frame.y(largest) - frame.y(high):.1f}"/>'
        f'<rect class="faint" x="{left}" y="{frame.y(normal):.1f}" width="{frame.width}" height="{frame.y(smallest) - frame.y(normal):.1f}"/>'
        f'<rect class="beyond" x="{left}" y="{frame.y(smallest):.1f}" width="{frame.width}" height="{frame.y(low) - frame.y(smallest):.1f}"/>'
        f'<text class="band" x="{right - 6}" y="{frame.y(largest) - 6:.1f}" text-anchor="end">infinite in float16</text>'
        f'<text class="band" x="{right - 6}" y="{frame.y(normal) + 13:.1f}" text-anchor="end">loses bits</text>'
        f'<text class="band" x="{right - 6}" y="{frame.y(smallest) + 13:.1f}" text-anchor="end">zero in float16</text>'
    )
    lines = []
    for operation, log in zip(shown, logs, strict=True):
        facts = operation["range"]
        bottom = max(math.log10(facts["smallest"]), low) if facts["smallest"] else log
        css = "bar bad" if facts["overflows"] else "bar"
        x = frame.x(operation["id"])
        lines.append(
            f'<line data-op="{operation["id"]}" class="{css}" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(log):.1f}" '
            f'y2="{max(frame.y(bottom), frame.y(log) + 2):.1f}"><title>{html.escape(operation["type"])} {html.escape(operation["name"])}: '
            f"{facts['smallest'] or 0:.2e} to {facts['largest']:.4g}</title></line>"
        )
    return frame.svg(bands + "".join(lines), lambda power: f"1e{power}", "operations in the order of the program")


class _Frame:
    """Axes for a value of each operation."""

    width, height, left, top = 980, 260, 46, 10

    def __init__(self, count: int, low: int, high: int) -> None:
        self._count, self._low, self._high = max(count, 2), low, high

    def x(self, index: int) -> float:
        return self.left + 8 + (self.width - 16) * index / (self._count - 1)

    def y(self, value: float) -> float:
        return self.top + self.height * (self._high - value) / (self._high - self._low)

    def svg(self, inner: str, label: Any, below: str) -> str:
        step = max(1, (self._high - self._low) // 8)
        grid = "".join(
            f'<line class="grid" x1="{self.left}" x2="{self.left + self.width}" y1="{self.y(p):.1f}" y2="{self.y(p):.1f}"/>'
            f'<text class="tick" x="{self.left - 6}" y="{self.y(p) + 4:.1f}" text-anchor="end">{label(p)}</text>'
            for p in range(self._low, self._high + 1, step)
        )
        full = f"0 0 {self.left + self.width + 10} {self.top + self.height + 24}"
        caption = f'<text class="tick" x="{self.left}" y="{self.top + self.height + 18}">{below} →</text>'
        return f'<svg class="chart" viewBox="{full}" role="img">{grid}{inner}{caption}</svg>'


def graph(operations: Sequence[Mapping[str, Any]]) -> str:
    """The operations of one package and what they read. The script colours the nodes."""
    found = layout.lay_out(operations)  # type: ignore[arg-type]
    half = layout.NODE_WIDTH / 2
    paths = []
    for source, target in found.edges:
        (x1, y1), (x2, y2) = found.positions[source], found.positions[target]
        x1, y1, x2 = x1 + half, y1 + layout.NODE_HEIGHT, x2 + half
        bend = max(12.0, (y2 - y1) / 2)
        paths.append(
            f'<path class="edge" d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"/>'
        )
    nodes = []
    for operation in operations:
        x, y = found.positions[operation["id"]]
        name = operation["name"]
        short = name if len(name) <= 26 else f"…{name[-25:]}"
        nodes.append(
            f'<g class="node" data-op="{operation["id"]}" transform="translate({x:.0f} {y:.0f})" tabindex="0">'
            f'<rect rx="6" width="{layout.NODE_WIDTH}" height="{layout.NODE_HEIGHT}"/>'
            f'<text class="type" x="8" y="14">{html.escape(operation["type"])}</text>'
            f'<text class="name" x="8" y="27">{html.escape(short)}</text><title>{html.escape(name)}</title></g>'
        )
    size = f'width="{found.width:.0f}" height="{found.height:.0f}" viewBox="0 0 {found.width:.0f} {found.height:.0f}"'
    return f'<svg class="graph" {size} data-width="{found.width:.0f}" data-height="{found.height:.0f}">{"".join(paths)}{"".join(nodes)}</svg>'
