"""What to look at first, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executorch_coreml.sdk.commands.output import size

# An operation's share of the time, and an operation's error, from which it is worth a word.
_SHARE = 0.15
_ERROR = 1e-2


def of(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """level: "bad", "look" or "good"; text: one sentence or two; anchor: the section that has more."""
    found: list[dict[str, str]] = []

    def add(level: str, anchor: str, text: str) -> None:
        found.append({"level": level, "anchor": anchor, "text": text})

    _outputs(document, add)
    _range(document, add)
    _outside(document, add)
    _time(document, add)
    _error(document, add)
    _compared(document, add)
    order = {"bad": 0, "look": 1, "good": 2}
    return sorted(found, key=lambda item: order[item["level"]])


def _outputs(document: Mapping[str, Any], add: Any) -> None:
    verification = document["verification"]
    if verification is None:
        return
    if verification["passed"]:
        add("good", "numbers", f"Every output is within the normal difference from {verification['reference']}.")
        return
    for mode in verification["modes"]:
        missed = [output["name"] for output in mode["outputs"] if not output["passed"]]
        if missed:
            blame = (mode["blame"] or {}).get("explanation", "")
            add(
                "bad",
                "numbers",
                f"In {mode['numeric_mode']} mode output {', '.join(missed)} is outside the tolerance. {blame}".strip(),
            )


def _range(document: Mapping[str, Any], add: Any) -> None:
    beyond = [o for o in document["operations"] if o["range"] and o["range"]["overflows"]]
    if beyond:
        first = beyond[0]
        where = f" ({first['source']})" if first["source"] else ""
        add(
            "bad",
            "range",
            f"{len(beyond)} operations have values beyond float16's largest, 65504; the first is {first['type']} {first['name']}{where}. "
            "Keep them in float32, or scale what they read.",
        )
        return
    largest = document["summary"]["largest_value"]
    if largest is not None and largest > 65504 / 4:
        add("look", "range", f"The largest value is {largest:.3g}, within a factor of four of float16's limit, 65504.")
    elif largest is not None:
        add(
            "good",
            "range",
            f"No value leaves float16: the largest is {largest:.3g}, {65504 / largest if largest else 0:,.0f} times below it.",
        )


def _outside(document: Mapping[str, Any], add: Any) -> None:
    left = document["left"]
    if not left:
        add("good", "program", "Everything runs in Core ML delegates.")
        return
    count = sum(item["count"] for item in left)
    delegates = document["summary"]["delegates"]
    seconds = sum(item["seconds"] for item in document["time"]["outside"])
    share = seconds / document["time"]["mean"] if document["time"]["mean"] else 0.0
    text = f"{count} operators run outside Core ML ({', '.join(item['operator'] for item in left[:3])}), {share:.0%} of the time"
    add("look", "program", text + (f", and split the model into {delegates} delegates." if delegates > 1 else "."))


def _groups(count: int) -> str:
    return "1 group" if count == 1 else f"{count} groups"


def _time(document: Mapping[str, Any], add: Any) -> None:
    total = document["time"]["operations"]
    slow = sorted((o for o in document["operations"] if o["seconds"]), key=lambda o: -o["seconds"])[:1]
    if slow and total and slow[0]["seconds"] / total >= _SHARE:
        one = slow[0]
        add("look", "time", f"One group, {one['type']} {one['name']}, takes {one['seconds'] / total:.0%} of the operations' time.")
    kinds = document["time"]["kinds"]
    if len(kinds) > 1 and total:
        add(
            "look",
            "time",
            f"{kinds[0]['kind']} takes {kinds[0]['seconds'] / total:.0%} of the operations' time, in {_groups(kinds[0]['groups'])}.",
        )
    added = sum(item["seconds"] for item in document["time"]["added_by_engine"])
    if total and added / total > 0.1:
        add("look", "time", f"Changes of layout and type that the engine added take {added / total:.0%} of the operations' time.")


def _error(document: Mapping[str, Any], add: Any) -> None:
    with_error = [o for o in document["operations"] if o["error"] and o["error"]["l2_relative"] is not None]
    if not with_error:
        return
    worst = max(with_error, key=lambda o: o["error"]["l2_relative"])
    value = worst["error"]["l2_relative"]
    level = "look" if value > _ERROR else "good"
    add(
        level,
        "numbers",
        f"The largest error of an operation is {value:.2e} l2-relative, at {worst['type']} {worst['name']} ({worst['error']['against']}).",
    )


def _compared(document: Mapping[str, Any], add: Any) -> None:
    compared = document["compared"]
    if compared is None:
        return
    ratio = compared["ratio"]
    # Differences under 10 % are noise on a shared machine.
    if abs(ratio - 1) < 0.1:
        add("good", "compared", f"As fast as {compared['name']} within 10 %.")
    else:
        add("bad" if ratio > 1 else "good", "compared", f"{ratio:.2f} times the time of {compared['name']}.")
    grown = compared["weight_bytes_now"] - compared["weight_bytes_before"]
    if grown:
        add(
            "look",
            "compared",
            f"The weights are {size(abs(grown))} {'larger' if grown > 0 else 'smaller'} than those of {compared['name']}.",
        )
