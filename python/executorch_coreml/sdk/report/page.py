"""The report as one HTML file: no network, no library; readable without its script, which sorts, filters and colours."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from executorch_coreml.sdk.report import charts
from executorch_coreml.sdk.report.numbers import Numbers, key

_STYLE = Path(__file__).with_name("page.css")
_SCRIPT = Path(__file__).with_name("page.js")

_TOP = 15


def to_html(document: Mapping[str, Any]) -> str:
    """The page of what collect() gave."""
    number = Numbers(document)
    sections = [
        ("program", "What runs where", _program(document, number)),
        ("time", "Where the time goes", _time(document, number)),
        ("numbers", "Error of each operation", _numbers(document, number)),
        ("range", "Values and the limits of float16", _range(document, number)),
        ("weights", "Weights", _weights(document, number)),
        ("compared", "Compared", _compared(document, number)),
        ("graph", "The graph", _graph(document)),
        ("operations", "All operations", _operations(document, number)),
    ]
    shown = [(anchor, title, body) for anchor, title, body in sections if body]
    navigation = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in shown)
    body = "".join(f'<section id="{anchor}"><h2>{title}</h2>{content}</section>' for anchor, title, content in shown)
    # "<" is written so that no text in the data can end the element.
    data = json.dumps(document, allow_nan=False).replace("<", "\\u003c")
    script = _SCRIPT.read_text(encoding="utf-8")
    name = _text(document["file"]["name"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">'
        f'<link rel="icon" href="data:,"><title>{name} &ndash; Core ML report</title><style>{_STYLE.read_text(encoding="utf-8")}</style></head>'
        f"<body><header>{_header(document, number)}</header><nav>{navigation}</nav><main>{body}{_remarks(document)}</main>"
        f'<script type="application/json" id="data">{data}</script><script>{script}</script></body></html>'
    )


def _policy(script: str) -> str:
    """Names come from the model, which may be anybody's. Each is escaped; should one not be, a browser still runs no other script and
    asks no network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    rows = list(rows)
    # A column that nothing is known for only takes room.
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    head = "".join(f"<th{' class=r' if i in right else ''}>{header[i]}</th>" for i in kept)
    body = "".join("<tr>" + "".join(f"<td{' class=r' if i in right else ''}>{row[i]}</td>" for i in kept) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _op(operation: Mapping[str, Any]) -> str:
    """A link to an operation in the graph and the table."""
    return f'<a class="op" href="#op{operation["id"]}" data-op="{operation["id"]}">{_text(operation["name"])}</a>'


def _bar(part: float, whole: float) -> str:
    share = 100 * part / whole if whole else 0.0
    return f'<span class="bar"><i style="width:{share:.2f}%"></i></span><span class="share">{share:.1f} %</span>'


def _header(document: Mapping[str, Any], number: Numbers) -> str:
    settings, file = document["settings"], document["file"]
    facts = [
        f"method {_text(settings['method'])}",
        number("file.size", "size"),
        *(_text(f"made by {producer}") for producer in file["made_by"]),
        *(_text(target) for target in settings["targets"]),
        _text(f"inputs {', '.join(settings['inputs'])}"),
    ]
    tiles = [
        (number("summary.p50_seconds", "ms"), f"median of {settings['executions']} executions"),
        (number("summary.operations", "count"), "operations in Core ML"),
        (number("summary.operators_outside", "count"), "operators outside"),
        (number("summary.weight_bytes", "size"), "constants"),
        (number("summary.largest_error", "sci"), "largest error of an operation"),
        (number("summary.largest_value", "sci"), "largest value"),
    ]
    cards = "".join(f'<div class="tile"><b>{value}</b><span>{label}</span></div>' for value, label in tiles)
    findings = "".join(
        f'<li class="{finding["level"]}"><a href="#{finding["anchor"]}">{_text(finding["text"])}</a></li>'
        for finding in document["findings"]
    )
    return (
        f'<p class="kind">Core ML report</p><h1>{_text(file["name"])}</h1><p class="facts">{" · ".join(facts)}</p>'
        f'<div class="tiles">{cards}</div><ul class="findings">{findings}</ul>'
    )


def _program(document: Mapping[str, Any], number: Numbers) -> str:
    blocks, pending = [], 0
    steps = document["instructions"]
    for index, step in enumerate(steps):
        if step["kind"] == "operator":
            pending += 1
            last = index + 1 == len(steps) or steps[index + 1]["kind"] != "operator"
            if last:
                names = list(dict.fromkeys(s["name"] for s in steps[index + 1 - pending : index + 1]))
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                blocks.append(
                    f'<div class="step outside"><b>{pending} outside</b><span>{_text(", ".join(names[:3]) + more)}</span></div>'
                )
                pending = 0
        else:
            size = f"{number(f'instructions.{index}.operations', 'count')} operations" if step["package"] is not None else ""
            blocks.append(
                f'<div class="step delegate"><b>{_text(step["name"])}</b><span>{_text(step["backend"])} {size}</span></div>'
            )
    chain = '<div class="chain">' + '<i class="arrow">→</i>'.join(blocks) + "</div>"
    if not document["left"]:
        return chain + '<p class="good">Nothing runs outside the delegates.</p>'
    rows = [
        (
            f"<code>{_text(item['operator'])}</code>",
            number(f"left.{index}.count", "count"),
            _text(item["reason"])
            + (f' <span class="code">{_text(item["code"])}</span>' if item["code"] else "")
            + (f'<br><span class="source">{_text(item["source"])}</span>' if item["source"] else ""),
        )
        for index, item in enumerate(document["left"])
    ]
    return chain + "<h3>Left outside, and why</h3>" + _table(("operator", "calls", "reason"), rows, right=(1,))


def _time(document: Mapping[str, Any], number: Numbers) -> str:
    time = document["time"]
    whole = time["operations"]
    kinds = time["kinds"]
    legend = "".join(
        f'<tr><td><i class="swatch c{min(i, charts.COLOURS - 1)}"></i>{_text(kind["kind"])}</td><td class=r>{number(f"time.kinds.{i}.groups", "count")}</td>'
        f"<td class=r>{number(f'time.kinds.{i}.seconds', 'ms')}</td><td>{_bar(kind['seconds'], whole)}</td></tr>"
        for i, kind in enumerate(kinds)
    )
    operations = sorted((o for o in document["operations"] if o["seconds"]), key=lambda o: -o["seconds"])[:_TOP]
    rows = [
        (
            _op(o),
            _text(o["type"]),
            number(f"operations.{o['id']}.seconds", "ms"),
            _bar(o["seconds"], whole),
            _text(_shape(o)),
            _where(o),
        )
        for o in operations
    ]
    outside = [
        (f"<code>{_text(item['name'])}</code>", number(f"time.outside.{i}.seconds", "ms")) for i, item in enumerate(time["outside"])
    ]
    loading = " · ".join(f"{_text(name)} {number(f'time.loading.{key(name)}', 'ms')}" for name in time["loading"])
    return (
        f'<p class="lead">Median {number("time.p50", "ms")}, 90 % within {number("time.p90", "ms")}; operations in delegates '
        f"{number('time.operations', 'ms')} of a mean of {number('time.mean', 'ms')}; the engine between them, waiting for a processor included, "
        f"{number('time.between', 'ms')}; binding of inputs and outputs, and recording, {number('time.beside', 'ms')}. {loading}</p>"
        f"{charts.stacked([(kind['kind'], kind['seconds']) for kind in kinds])}"
        f'<div class="scroll"><table class="legend"><thead><tr><th>kind</th><th class=r>groups</th><th class=r>time</th><th>share</th></tr></thead>'
        f"<tbody>{legend}</tbody></table></div>"
        + (
            "<h3>Slowest</h3>"
            + _table(("operation, by its output", "kind", "time", "share", "shape", "in the model"), rows, right=(2,))
            if rows
            else ""
        )
        + ("<h3>Outside the delegates</h3>" + _table(("operator", "time"), outside, right=(1,)) if outside else "")
        + '<p class="note">Means of the executions, measured while profiling, which itself takes time; the median above includes it. Fused '
        "operations are one group, under the name of the last. This machine&rsquo;s CPU: not the time of an Apple device.</p>"
    )


def _shape(operation: Mapping[str, Any]) -> str:
    extents = ", ".join("?" if extent is None else str(extent) for extent in operation["shape"])
    return f"{operation['dtype']}[{extents}]"


def _where(operation: Mapping[str, Any]) -> str:
    parts = [_text(operation["module"])] if operation["module"] else []
    if operation["source"]:
        # The file's name will do; the whole path is in the JSON.
        file, colon, line = operation["source"].partition(":")
        parts.append(f'<span title="{_text(file)}">{_text(file.rpartition("/")[2] + colon + line)}</span>')
    return f'<span class="source">{"<br>".join(parts)}</span>' if parts else ""


def _numbers(document: Mapping[str, Any], number: Numbers) -> str:
    operations = [o for o in document["operations"] if o["error"]]
    verification = document["verification"]
    text = ""
    if verification is not None:
        outputs: list[tuple[str, ...]] = []
        for m, mode in enumerate(verification["modes"]):
            for i, output in enumerate(mode["outputs"]):
                path = f"verification.modes.{m}.outputs.{i}"
                outputs.append(
                    (
                        _text(output["name"]),
                        _text(mode["numeric_mode"]),
                        number(f"{path}.l2_relative", "sci"),
                        number(f"{path}.normal_l2_relative", "sci"),
                        number(f"{path}.tolerance", "sci"),
                        number(f"{path}.max_abs", "sci"),
                        number(f"{path}.snr_db", "sci"),
                        number(f"{path}.cosine", "sci"),
                        '<b class="goodtext">right</b>' if output["passed"] else '<b class="badtext">outside</b>',
                    )
                )
            if mode["blame"]:
                text += f'<p class="blame">{_text(mode["blame"].get("explanation", ""))}</p>'
        header = ("output", "numeric mode", "l2-relative", "normal", "allowed", "max abs", "SNR dB", "cosine", "")
        text = (
            f"<h3>Outputs against {_text(verification['reference'])}</h3>"
            + _table(header, outputs, right=(2, 3, 4, 5, 6, 7))
            + text
        )
    if not operations:
        empty = "No value of the program is float16, so there is no rounding to show: give the model with --reference to compare with PyTorch."
        return text + f'<p class="note">{empty}</p>'
    against = operations[0]["error"]["against"]
    worst = sorted(operations, key=lambda o: -(o["error"]["l2_relative"] if o["error"]["l2_relative"] is not None else 1e300))[
        :_TOP
    ]
    largest = [
        (
            _op(o),
            _text(o["type"]),
            number(f"operations.{o['id']}.error.l2_relative", "sci"),
            number(f"operations.{o['id']}.error.max_abs", "sci"),
            number(f"operations.{o['id']}.error.snr_db", "sci"),
            number(f"operations.{o['id']}.error.misplaced", "count"),
            _where(o),
        )
        for o in worst
    ]
    columns = ("operation, by its output", "kind", "l2-relative", "max abs", "SNR dB", "NaN or infinite", "in the model")
    return (
        text
        + f'<p class="lead">{_text(against[0].upper() + against[1:])}, accumulated from the inputs on.</p>'
        + charts.errors(document["operations"])
        + "<h3>Largest</h3>"
        + _table(columns, largest, right=(2, 3, 4, 5))
    )


def _range(document: Mapping[str, Any], number: Numbers) -> str:
    operations = [o for o in document["operations"] if o["range"]]
    if not operations:
        return ""

    def danger(o: Mapping[str, Any]) -> tuple[int, float]:
        return (o["range"]["overflows"] + o["range"]["not_a_number"], o["range"]["largest"] or 0.0)

    rows = [
        (
            _op(o),
            _text(o["type"]),
            number(f"operations.{o['id']}.range.min", "sci"),
            number(f"operations.{o['id']}.range.max", "sci"),
            number(f"operations.{o['id']}.range.overflows", "count"),
            number(f"operations.{o['id']}.range.loses_bits", "count"),
            number(f"operations.{o['id']}.range.vanishes", "count"),
            number(f"operations.{o['id']}.range.elements", "count"),
            _where(o),
        )
        for o in sorted(operations, key=danger, reverse=True)[:_TOP]
    ]
    header = (
        "operation, by its output",
        "kind",
        "min",
        "max",
        "beyond 65504",
        "loses bits",
        "vanishes",
        "elements",
        "in the model",
    )
    return (
        '<p class="lead">The sizes of the values of each operation for these inputs. Beyond 65504 a float16 is infinite, below 6.1e-5 it loses '
        "bits, below 3e-8 it is zero.</p>"
        + charts.ranges(document["operations"])
        + "<h3>Nearest to the limit</h3>"
        + _table(header, rows, right=(2, 3, 4, 5, 6, 7))
    )


def _weights(document: Mapping[str, Any], number: Numbers) -> str:
    by_type = document["weights"]["by_type"]
    if not by_type:
        return '<p class="note">The program has no constants.</p>'
    total = document["weights"]["total"]
    rows = [
        (f'<i class="swatch c{i}"></i>{_text(name)}', number(f"weights.by_type.{key(name)}", "size"), _bar(count, total))
        for i, (name, count) in enumerate(by_type.items())
    ]
    return (
        f'<p class="lead">{number("weights.total", "size")} of constants in the model, weights among them.</p>'
        + charts.stacked(list(by_type.items()))
        + _table(("type", "size", "share"), rows, right=(1,))
    )


def _compared(document: Mapping[str, Any], number: Numbers) -> str:
    compared = document["compared"]
    if compared is None:
        return ""
    totals = [
        ("median time", number("compared.p50_before", "ms"), number("compared.p50_now", "ms"), number("compared.ratio", "times")),
        ("constants", number("compared.weight_bytes_before", "size"), number("compared.weight_bytes_now", "size"), ""),
        (
            "operators outside",
            number("compared.operators_outside_before", "count"),
            number("compared.operators_outside_now", "count"),
            "",
        ),
        ("largest error", number("compared.largest_error_before", "sci"), number("compared.largest_error_now", "sci"), ""),
    ]
    rows = [
        (
            _text(row["name"]),
            _text(row["type"]),
            number(f"compared.operations.{i}.before", "ms"),
            number(f"compared.operations.{i}.now", "ms"),
            f'<span class="{"badtext" if row["change"] > 0 else "goodtext"}">{number(f"compared.operations.{i}.change", "ms")}</span>',
        )
        for i, row in enumerate(compared["operations"][: 2 * _TOP])
    ]
    return (
        _table(("", _text(compared["name"]), "this one", ""), totals, right=(1, 2, 3))
        + "<h3>Largest changes of time</h3>"
        + _table(("operation, by its output", "kind", "before", "now", "change"), rows, right=(2, 3, 4))
    )


def _graph(document: Mapping[str, Any]) -> str:
    packages: dict[int, list[Mapping[str, Any]]] = {}
    for operation in document["operations"]:
        packages.setdefault(operation["package"], []).append(operation)
    if not packages:
        return ""
    modes = "".join(f'<button data-colour="{mode}">{label}</button>' for mode, label in _COLOURINGS.items())
    drawn = "".join(
        (f"<h3>delegate {place}</h3>" if len(packages) > 1 else "") + f'<div class="canvas">{charts.graph(operations)}</div>'
        for place, operations in packages.items()
    )
    return (
        f'<div class="controls"><span>colour by</span>{modes}<span class="spacer"></span><button data-zoom="-1">&minus;</button>'
        f'<button data-zoom="1">+</button></div><div class="split"><div class="canvases">{drawn}</div>'
        '<aside id="details"><p class="note">Choose an operation.</p></aside></div>'
    )


_COLOURINGS = {"seconds": "time", "error": "error", "range": "largest value", "type": "kind"}


def _operations(document: Mapping[str, Any], number: Numbers) -> str:
    rows = []
    for o in document["operations"]:
        path = f"operations.{o['id']}"
        rows.append(
            f'<tr id="op{o["id"]}" data-op="{o["id"]}"><td class=r data-v="{o["id"]}">{o["id"]}</td><td>{_text(o["name"])}</td><td>{_text(o["type"])}</td>'
            f'<td>{_text(_shape(o))}</td><td class=r data-v="{o["seconds"] or 0}">{number(f"{path}.seconds", "ms")}</td>'
            f'<td class=r data-v="{(o["error"] or {}).get("l2_relative") or 0}">'
            f'{number(f"{path}.error.l2_relative", "sci") if o["error"] else ""}</td><td class=r data-v="{(o["range"] or {}).get("largest") or 0}">'
            f"{number(f'{path}.range.largest', 'sci') if o['range'] else ''}</td><td>{_where(o)}</td></tr>"
        )
    head = "".join(
        f'<th data-sort="{i}"{" class=r" if i in (0, 4, 5, 6) else ""}>{title}</th>'
        for i, title in enumerate(
            ("#", "operation, by its output", "kind", "type", "time", "error", "largest value", "in the model")
        )
    )
    return (
        '<div class="controls"><input id="filter" type="search" placeholder="filter by name, kind, type or module"></div>'
        f'<div class="scroll tall"><table id="all" class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _remarks(document: Mapping[str, Any]) -> str:
    settings = document["settings"]
    made_up = (
        f"Inputs {', '.join(settings['made_up_inputs'])} were made up from seed {settings['seed']}: real inputs may give other ranges and errors."
        if settings["made_up_inputs"]
        else ""
    )
    lines = [
        *document["remarks"],
        made_up,
        "Computed by the engine of this machine; agreement with Apple's own runtime is not established by it.",
    ]
    return "<footer>" + "".join(f"<p>{_text(line)}</p>" for line in lines if line) + "</footer>"
