"""Numbers for people. The page marks each with its place in the JSON, so that a test can compare the two."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

from executorch_coreml.sdk.commands.output import size


def milliseconds(value: float) -> str:
    return f"{value * 1e3:.3f} ms"


def scientific(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:.2e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def count(value: float) -> str:
    return f"{value:,.0f}"


def times(value: float) -> str:
    return f"{value:.2f}x"


FORMATS = {"ms": milliseconds, "sci": scientific, "count": count, "size": lambda value: size(int(value)), "times": times}


def key(name: str) -> str:
    """A name from a model as one part of a path."""
    return name.replace("%", "%25").replace(".", "%2E")


def at(document: Mapping[str, Any], path: str) -> Any:
    """The value at "summary.p50_seconds" or "operations.3.range.max"."""
    value: Any = document
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part.replace("%2E", ".").replace("%25", "%")]
    return value


class Numbers:
    """Writes numbers of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def __call__(self, path: str, form: str) -> str:
        """The number at `path` as HTML; a dash where there is none."""
        value = at(self._document, path)
        if value is None:
            return '<span class="none">&ndash;</span>'
        return f'<span class="n" data-path="{html.escape(path)}" data-form="{form}">{html.escape(FORMATS[form](value))}</span>'
