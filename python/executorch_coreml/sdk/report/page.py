"""The report as one HTML file: no network, no library; readable without its script, which sorts, filters and colours.

page.html.jinja is the page; here is what it is handed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from executorch_coreml.sdk.report import charts
from executorch_coreml.sdk.report.numbers import Numbers, key

_FOLDER = Path(__file__).parent
# Rows of a table of the largest.
_TOP = 15


def _shape(operation: Mapping[str, Any]) -> str:
    extents = ", ".join("?" if extent is None else str(extent) for extent in operation["shape"])
    return f"{operation['dtype']}[{extents}]"


def _short_source(source: str) -> str:
    """The file's name without its folders, and the line."""
    file, colon, line = source.partition(":")
    return file.rpartition("/")[2] + colon + line


def _any_located(operations: Iterable[Mapping[str, Any]]) -> bool:
    return any(operation["module"] or operation["source"] for operation in operations)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["any_located"] = _any_located
    environment.globals.update(colours=charts.COLOURS, key=key, shape=_shape, short_source=_short_source, top=_TOP)
    return environment.from_string((_FOLDER / "page.html.jinja").read_text(encoding="utf-8"))


def to_html(document: Mapping[str, Any]) -> str:
    """The page of what collect() returned."""
    number = Numbers(document)
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    operations = document["operations"]
    return _template().render(
        document=document,
        number=lambda path, form: Markup(number(path, form)),
        chain=list(_chain(document["instructions"])),
        slowest=sorted((o for o in operations if o["seconds"]), key=lambda o: -o["seconds"])[:_TOP],
        worst=sorted((o for o in operations if o["error"]), key=_error)[:_TOP],
        nearest=sorted((o for o in operations if o["range"]), key=_danger, reverse=True)[:_TOP],
        charts=_charts(document),
        remarks=[line for line in _remarks(document) if line],
        style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        # "<" is written so that no text in the data can end the element.
        data=Markup(json.dumps(document, allow_nan=False).replace("<", "\\u003c")),
    )


def _error(operation: Mapping[str, Any]) -> float:
    """The largest first; one that cannot be measured before all."""
    error = operation["error"]["l2_relative"]
    return -(error if error is not None else 1e300)


def _danger(operation: Mapping[str, Any]) -> tuple[int, float]:
    found = operation["range"]
    return (found["overflows"] + found["not_a_number"], found["largest"] or 0.0)


def _chain(steps: list[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """The steps of the program, operators that follow each other as one."""
    pending: list[str] = []
    for index, step in enumerate(steps):
        if step["kind"] != "operator":
            has_package = step["package"] is not None
            yield {"outside": False, "index": index if has_package else None, "name": step["name"], "backend": step["backend"]}
            continue
        pending.append(step["name"])
        if index + 1 == len(steps) or steps[index + 1]["kind"] != "operator":
            names = list(dict.fromkeys(pending))
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield {"outside": True, "count": len(pending), "names": ", ".join(names[:3]) + more}
            pending = []


def _charts(document: Mapping[str, Any]) -> dict[str, Any]:
    """The drawings, which escape what they show themselves."""
    packages: dict[int, list[Mapping[str, Any]]] = {}
    for operation in document["operations"]:
        packages.setdefault(operation["package"], []).append(operation)
    return {
        "kinds": Markup(charts.stacked([(kind["kind"], kind["seconds"]) for kind in document["time"]["kinds"]])),
        "errors": Markup(charts.errors(document["operations"])),
        "ranges": Markup(charts.ranges(document["operations"])),
        "weights": Markup(charts.stacked(list(document["weights"]["by_type"].items()))),
        "graphs": [(place, Markup(charts.graph(operations))) for place, operations in packages.items()],
    }


def _remarks(document: Mapping[str, Any]) -> Iterable[str]:
    settings = document["settings"]
    yield from document["remarks"]
    if settings["made_up_inputs"]:
        yield (
            f"Inputs {', '.join(settings['made_up_inputs'])} were made up from seed {settings['seed']}: real inputs may give other ranges and errors."
        )
    yield "Computed by the engine of this machine; agreement with Apple's own runtime is not established by it."
