"""A report whose every text wants to become part of the page."""

from __future__ import annotations

import copy

ATTACK = "</script></title></svg><img src=x onerror=console.log(1)>\"'><script>console.log(2)</script><!--"


def attacked(document: dict) -> dict:
    """Every text of the report that comes from a file is the attack."""

    def change(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name if key not in ("loading", "by_type") else ATTACK: change(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [change(inner, key) for inner in value]
        # These are the report's own.
        own = key in ("level", "anchor", "against") or (key == "kind" and value in ("delegate", "operator"))
        return ATTACK if isinstance(value, str) and not own else value

    found = copy.deepcopy(document)
    found["left"] = [{"operator": "", "count": 1, "code": "c", "reason": "r", "reference": "f", "source": "s"}]
    found["time"]["outside"] = [{"name": "n", "seconds": 1.0}]
    return change(found)  # type: ignore[return-value]
