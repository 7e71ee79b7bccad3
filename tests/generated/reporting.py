"""Writes tests/results/generated.md from the results of campaigns."""

from __future__ import annotations

import pathlib
from collections import Counter

import campaign

_HEAD = """\
# Generated programs

What came of campaigns of `tests/generated` (how it works is in [docs/testing.md](../../docs/testing.md)). A program is drawn from its seed, lowered for one deployment
target in one precision (one seed in twenty: for all), run on the portable engine in both numeric modes and compared with PyTorch; the tolerance
comes from the program's own conditioning, and integers must be equal. Written by

```
campaign.py run RESULTS.jsonl --first FIRST --count COUNT
campaign.py report RESULTS.jsonl... > tests/results/generated.md
```

"""


def written(paths: list[pathlib.Path]) -> str:
    text = _HEAD
    for path in paths:
        answers = campaign.read([path])
        commits = Counter(str(answer.get("commit", "")) for answer in answers.values())
        seeds = sorted(answers)
        text += f"## {path.stem}: seeds {seeds[0]} to {seeds[-1]}, {', '.join(f'{name} ({count})' for name, count in commits.items())}\n\n"
        text += "\n".join(campaign.summary(answers)) + "\n\n"
        kinds = campaign.findings(answers)
        if kinds:
            text += "| programs | kind of finding | seeds |\n|---|---|---|\n"
            for kind, found in kinds:
                shown = ", ".join(str(answer["seed"]) for answer in found[:6])
                text += f"| {len(found)} | {kind.replace('|', '/')} | {shown} |\n"
        else:
            text += "No finding.\n"
        text += "\n"
    return text
