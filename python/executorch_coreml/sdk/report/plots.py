"""The report's figures as PNG, for a document or a slide. They are drawn with Pillow; docs/architecture.md says why not with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from executorch_coreml.sdk import files
from executorch_coreml.sdk.commands.output import printable
from executorch_coreml.sdk.report import numbers, values

_WIDTH, _HEIGHT = 1400, 620
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 40, 70, 50
_INK, _SOFT, _LINE, _BLUE, _RED, _AMBER = "#1a1d23", "#5d6675", "#e2e6ec", "#2563c9", "#c02a37", "#fdf2de"
_TOP_OPERATIONS = 20


def write(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes the figures that the document has numbers for, and returns their paths. ToolError when they cannot be written."""
    timed = sorted((o for o in document["operations"] if o["seconds"]), key=lambda o: -o["seconds"])[:_TOP_OPERATIONS]
    kinds = document["time"]["kinds"][:_TOP_OPERATIONS]
    wrong = [(o["id"], o["error"]["l2_relative"]) for o in document["operations"] if o["error"] and o["error"]["l2_relative"]]
    sized = [(o["id"], o["range"]) for o in document["operations"] if o["range"] and o["range"]["largest"]]
    name = document["file"]["name"]
    drawn: list[tuple[str, Image.Image]] = []
    if timed:
        drawn.append(("times", _bars(f"{name}: slowest operations", [(f"{o['type']}  {o['name']}", o["seconds"]) for o in timed])))
    if kinds:
        drawn.append(("kinds", _bars(f"{name}: time by kind of operation", [(k["kind"], k["seconds"]) for k in kinds])))
    if wrong:
        drawn.append(("errors", _errors(f"{name}: error of each operation, l2-relative", wrong, len(document["operations"]))))
    if sized:
        drawn.append(("ranges", _ranges(f"{name}: sizes of values and float16's limits", sized, len(document["operations"]))))
    paths = []
    for stem, image in drawn:
        path = folder / f"{stem}.png"
        with files.written(path, "the figure") as sink:
            image.quantize(64).save(sink, format="PNG", optimize=True)
        paths.append(path)
    return paths


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _canvas(title: str, height: int = _HEIGHT) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (_WIDTH, height), "white")
    draw = ImageDraw.Draw(image)
    draw.text((_LEFT - 60, 18), printable(title), fill=_INK, font=_font(26))
    return image, draw


def _bars(title: str, rows: Sequence[tuple[str, float]]) -> Image.Image:
    row, label = 30, 560
    image, draw = _canvas(title, _TOP + row * len(rows) + 20)
    most = max(value for _, value in rows) or 1.0
    for index, (name, value) in enumerate(rows):
        y = _TOP + index * row
        text = name if len(name) <= 56 else f"…{name[-55:]}"
        draw.text((label - 12, y + 10), printable(text), fill=_INK, font=_font(17), anchor="rm")
        end = label + (_WIDTH - label - 150) * value / most
        draw.rounded_rectangle((label, y, max(end, label + 3), y + 20), 4, fill=_BLUE)
        draw.text((end + 8, y + 10), numbers.milliseconds(value), fill=_SOFT, font=_font(17), anchor="lm")
    return image


def _axes(draw: ImageDraw.ImageDraw, low: int, high: int) -> Callable[[float], float]:
    """Draws a logarithmic axis and returns where a logarithm lies on it."""

    def y(log: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - log) / (high - low)

    for power in range(low, high + 1, max(1, (high - low) // 8)):
        draw.line((_LEFT, y(power), _WIDTH - _RIGHT, y(power)), fill=_LINE, width=2)
        draw.text((_LEFT - 10, y(power)), f"1e{power}", fill=_SOFT, font=_font(17), anchor="rm")
    draw.text((_LEFT, _HEIGHT - 30), "operations in the order of the program", fill=_SOFT, font=_font(17))
    return y


def _x(index: int, count: int) -> float:
    return _LEFT + 12 + (_WIDTH - _LEFT - _RIGHT - 24) * index / max(count - 1, 1)


def _errors(title: str, points: Sequence[tuple[int, float]], count: int) -> Image.Image:
    image, draw = _canvas(title)
    logs = [(index, math.log10(value)) for index, value in points]
    low = math.floor(min(log for _, log in logs))
    y = _axes(draw, low, max(math.ceil(max(log for _, log in logs)), low + 1))
    for index, log in logs:
        x = _x(index, count)
        draw.ellipse((x - 5, y(log) - 5, x + 5, y(log) + 5), fill=_BLUE)
    return image


def _ranges(title: str, points: Sequence[tuple[int, Mapping[str, Any]]], count: int) -> Image.Image:
    image, draw = _canvas(title)
    low, high = -9, max(6, math.ceil(max(math.log10(facts["largest"]) for _, facts in points)))
    scale = (_HEIGHT - _TOP - _BOTTOM) / (high - low)
    limits = [math.log10(v) for v in (values.FLOAT16_LARGEST, values.FLOAT16_SMALLEST_NORMAL, values.FLOAT16_SMALLEST)]
    tops = [_TOP + scale * (high - limit) for limit in limits]
    right = _WIDTH - _RIGHT
    draw.rectangle((_LEFT, _TOP, right, tops[0]), fill="#fce8ea")
    draw.rectangle((_LEFT, tops[1], right, tops[2]), fill=_AMBER)
    draw.rectangle((_LEFT, tops[2], right, _TOP + scale * (high - low)), fill="#fce8ea")
    y = _axes(draw, low, high)
    for index, facts in points:
        x = _x(index, count)
        top = y(math.log10(facts["largest"]))
        bottom = y(max(math.log10(facts["smallest"]), low)) if facts["smallest"] else top
        draw.line((x, top, x, max(bottom, top + 3)), fill=_RED if facts["overflows"] else _BLUE, width=4)
    for text, place in (("infinite in float16", tops[0] - 14), ("loses bits", tops[1] + 14), ("zero in float16", tops[2] + 14)):
        draw.text((right - 8, place), text, fill=_SOFT, font=_font(16), anchor="rm")
    return image
