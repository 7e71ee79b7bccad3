"""The outcomes as a table in Markdown."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping, Sequence

import module_cases
from module_kinds import CONFIGURATIONS, FINDINGS, KINDS, Outcome

_TITLES = {"modules": "Modules", "functional": "Functions", "operations": "Other operations"}
_REASON = re.compile(r"^(?P<op>\S+): (?P<reason>.*) \[(?P<code>\w+)\]$", re.DOTALL)
_SHORT = 160


def line(text: str) -> str:
    """A text as a cell, not too long."""
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."


def _left(outcomes: Sequence[Outcome]) -> str:
    """What stayed outside, `op [code]`, most frequent first."""
    counts: collections.Counter[str] = collections.Counter()
    for outcome in outcomes:
        for reason in outcome.reasons:
            if found := _REASON.match(reason):
                counts[f"{found['op'].removeprefix('aten.')} [{found['code']}]"] += 1
    names = [name for name, _ in counts.most_common()]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    counts = collections.Counter(outcome.kind for outcome in outcomes)
    raised = sum(counts[kind] for kind in FINDINGS if kind != "wrong")
    cells = [counts[kind] for kind in KINDS if kind not in FINDINGS] + [counts["wrong"], raised]
    samples = len({outcome.case for outcome in outcomes})
    return f"| {name} | {samples} | {' | '.join(str(c) if c else '' for c in cells)} | {_left(outcomes)} |"


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """A table of why calls stayed outside, over all outcomes."""
    ops: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        for reason in outcome.reasons:
            if found := _REASON.match(reason):
                text = "its conversion fails" if found["code"] == "conversion" else found["reason"]
                ops[found["code"], text][found["op"].removeprefix("aten.")] += 1
    lines = ["| code | reason | calls | operations |", "|---|---|---|---|"]
    for (code, text), names in sorted(ops.items(), key=lambda item: -item[1].total()):
        most = ", ".join(name for name, _ in names.most_common(8))
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        lines.append(f"| {code} | {line(text)} | {names.total()} | {most}{more} |")
    return lines


def _sentences(outcomes: Sequence[Outcome], kind: str) -> list[str]:
    """What was said, each once, with where it was said first."""
    first: dict[str, Outcome] = {}
    counts: collections.Counter[str] = collections.Counter()
    for outcome in outcomes:
        if outcome.kind == kind:
            key = re.sub(r"\d+", "N", outcome.text)[:70]
            first.setdefault(key, outcome)
            counts[key] += 1
    return [f"- {n} x {line(first[key].text)} ({first[key].case})" for key, n in counts.most_common()]


def text(outcomes: Sequence[Outcome], *, command: str, commit: str, versions: Mapping[str, str]) -> str:
    """The whole file."""
    families = module_cases.families()
    by_family: dict[str, list[Outcome]] = collections.defaultdict(list)
    for outcome in outcomes:
        by_family[outcome.family].append(outcome)
    counts = collections.Counter(outcome.kind for outcome in outcomes)
    lines = [
        "# Families of modules: what was run",
        "",
        "Every `torch.nn` module, `torch.nn.functional` function and other operation of the installed torch, with the arguments of torch's own",
        "ModuleInfo and OpInfo samples: exported whole, forward in eval mode, lowered with `CoreMLPartitioner`, run on the portable engine (a",
        "float16 program in both numeric modes), and compared with torch in a tolerance derived from the program's own conditioning",
        "(`tests/modules/module_judge.py`). The tensors of a sample are inputs; a function of several is also run with the first as the only",
        "input and the others as constants.",
        "",
        f"`{command}`, on commit {commit}; {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        "",
        "| outcome | meaning | " + " | ".join(CONFIGURATIONS) + " | all |",
        "|---|---|" + "---|" * (len(CONFIGURATIONS) + 1),
    ]
    per = collections.Counter((outcome.kind, outcome.configuration) for outcome in outcomes)
    for kind, meaning in KINDS.items():
        cells = " | ".join(str(per[kind, c]) for c in CONFIGURATIONS)
        lines.append(f"| {kind} | {meaning} | {cells} | {counts[kind]} |")
    lines += ["", f"{len({o.case for o in outcomes})} cases of {len(by_family)} families, {len(outcomes)} programs.", ""]
    heads = [kind for kind in KINDS if kind not in FINDINGS] + ["wrong", "raised"]
    for tier, title in _TITLES.items():
        rows = [_row(name, by_family[name]) for name, f in families.items() if f.tier == tier and name in by_family]
        if rows:
            lines += [
                f"## {title}",
                "",
                f"| name | samples | {' | '.join(heads)} | left outside |",
                "|---|" + "---|" * (len(heads) + 2),
            ]
            lines += [*rows, ""]
    lines += ["## Why calls stayed outside", "", *reasons(outcomes), ""]
    for kind, title in (
        ("refused", "Refused"),
        ("executorch", "What ExecuTorch does not do without Core ML either"),
        ("unexported", "What torch does not export"),
        *((kind, f"Findings: {kind}") for kind in FINDINGS),
    ):
        said = _sentences(outcomes, kind)
        if said:
            lines += [f"## {title}", "", *said, ""]
    return "\n".join(lines)
