"""The outcomes of the sweep as a table in Markdown."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import sweep_models
from module_kinds import FINDINGS, Outcome
from module_markdown import line, reasons

# Outcomes whose results were torch's.
AGREES = ("whole", "part")
# The l2-relative difference up to which a model agrees of which rounding may change single numbers a lot.
CLOSE = 1e-2
# What says nothing about Core ML: torch does not export it, or ExecuTorch does not run it either way.
NOT_JUDGED = ("unexported",)


def _by_model(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.case, []).append(outcome)
    return found


def deciding(outcomes: Sequence[Outcome], default: str) -> tuple[Outcome, Outcome]:
    """Of a model: the outcome by default, and the one that decides, which is float32's where float16 decides nothing."""
    first = next((outcome for outcome in outcomes if outcome.configuration == default), outcomes[0])
    others = [outcome for outcome in outcomes if outcome.configuration != default]
    return first, others[-1] if first.kind == "inconclusive" and others else first


def is_close(outcome: Outcome) -> bool:
    """Whether results agree as a whole, of which rounding to float16 says nothing number by number."""
    return outcome.kind == "inconclusive" and outcome.difference is not None and outcome.difference <= CLOSE


def agrees(outcome: Outcome) -> bool:
    return outcome.kind in AGREES or is_close(outcome)


def share(outcome: Outcome) -> float:
    """Of the call nodes, those that Core ML has."""
    total = outcome.delegated + outcome.left
    return outcome.delegated / total if total else 0.0


def _agrees(first: Outcome, decides: Outcome) -> str:
    if decides.kind in AGREES:
        return "yes" if decides is first else "in float32"
    if is_close(decides):
        return "close"
    return {"outside": "all outside", "inconclusive": "inconclusive", "unexported": "not exported"}.get(decides.kind, decides.kind)


def _why(outcome: Outcome) -> str:
    if agrees(outcome):
        ops = collections.Counter[str]()
        for reason in outcome.reasons:
            op, _, rest = reason.partition(": ")
            ops[f"{op.removeprefix('aten.')} [{rest.rpartition('[')[2]}"] += 1
        names = [name for name, _ in ops.most_common()]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return line(outcome.text)


def _row(name: str, outcomes: Sequence[Outcome], default: str) -> str:
    first, decides = deciding(outcomes, default)
    total = decides.delegated + decides.left
    difference = "" if decides.difference is None else f"{decides.difference:.1e}"
    cells = [
        name,
        _agrees(first, decides),
        difference,
        str(total or ""),
        f"{100 * share(decides):.0f} %" if total else "",
        str(decides.partitions or ""),
        f"{decides.seconds:.0f}" if decides.seconds else "",
        _why(decides),
    ]
    return f"| {' | '.join(cells)} |"


def text(outcomes: Sequence[Outcome], *, default: str, commit: str, versions: Mapping[str, str]) -> str:
    """The whole file."""
    models = {name: found for name, found in _by_model(outcomes).items() if name in sweep_models.MODELS}
    decided = {name: deciding(found, default)[1] for name, found in models.items()}
    lines = [
        "# Architectures that nobody tuned to",
        "",
        "The list of `tests/sweep`: models with random weights, small, each exported, lowered with `CoreMLPartitioner()` and nothing said, run through",
        "the .pte on the portable engine in both numeric modes, and compared with torch in float64 within what rounding to the program's precision",
        "does to the model (`tests/modules/module_judge.py`). Where rounding to float16 may change single numbers by more than a tenth, the results agree",
        "as a whole (`close`: an l2-relative difference of at most 1e-2) or as a float32 program (`in float32`). Difference: the largest l2-relative one of any result. Nodes: calls of the edge program; share: of them in Core ML; calls: of",
        "the delegate. Seconds: of processor time, to lower.",
        "",
        f"`tools/bazel run //tests/sweep -- --outcomes FILE --table tests/results/sweep.md`, on commit {commit}; "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}.",
        "",
        "| library | models | agree | of those exported | 90 % of the nodes and more | findings | outside | inconclusive | refused | ExecuTorch's | not exported | not run |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for library in sweep_models.LIBRARIES:
        names = [name for name, model in sweep_models.MODELS.items() if model.family == library]
        found = [decided[name] for name in names if name in decided]
        kinds = collections.Counter(outcome.kind for outcome in found)
        agree = [outcome for outcome in found if agrees(outcome)]
        judged = [outcome for outcome in found if outcome.kind not in NOT_JUDGED]
        enough = sum(share(outcome) >= 0.9 for outcome in agree)
        cells = [
            library,
            len(names),
            len(agree),
            f"{100 * len(agree) / len(judged):.1f} %" if judged else "",
            enough,
            sum(kinds[kind] for kind in FINDINGS),
            kinds["outside"],
            sum(outcome.kind == "inconclusive" and not agrees(outcome) for outcome in found),
            *(kinds[kind] for kind in ("refused", "executorch", "unexported")),
            len(names) - len(found),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines.append("")
    for library in sweep_models.LIBRARIES:
        rows = [
            _row(name.partition("/")[2], models[name], default)
            for name, model in sweep_models.MODELS.items()
            if model.family == library and name in models
        ]
        if rows:
            lines += [
                f"## {library}",
                "",
                "| model | agrees | difference | nodes | share | calls | seconds | outside, or why not |",
                "|---|---|---|---|---|---|---|---|",
                *rows,
                "",
            ]
    lines += ["## Why calls stayed outside", "", *reasons(list(decided.values())), ""]
    return "\n".join(lines)
