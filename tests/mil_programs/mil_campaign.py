"""Campaigns of random MIL programs, by hand:

mil_campaign.py run RESULTS.jsonl --first 0 --count 10000 --workers 2   # resumable: seeds that are in the file are not run again
mil_campaign.py show RESULTS.jsonl                                      # totals, findings by kind, programs of each operation
mil_campaign.py print SEED                                              # the program of a seed
mil_campaign.py report RESULTS.jsonl... > tests/results/mil_programs.md
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from collections import Counter
from typing import Any

import campaign

WORKER = pathlib.Path(__file__).with_name("mil_worker.py")

_HEAD = """\
# Random programs of MIL operations

What came of campaigns of `tests/mil_programs` (how it works is in [docs/testing.md](../../docs/testing.md)). A program of 1 to 12
operations is drawn from its seed with coremltools' builder for iOS 15 to 18, run on the portable engine in both numeric modes without any
pass of coremltools, and compared with coremltools' own value inference, or with NumPy where it has none; the tolerance comes from the
program's own conditioning, and integers must be equal. Written by

```
mil_campaign.py run RESULTS.jsonl --first FIRST --count COUNT
mil_campaign.py report RESULTS.jsonl... > tests/results/mil_programs.md
```

"""


def summary(answers: dict[int, dict[str, Any]]) -> list[str]:
    outcomes = Counter(answer["outcome"] for answer in answers.values())
    counted = Counter(op for answer in answers.values() for op in answer.get("ops", ()))
    lines = [f"{len(answers)} programs: " + ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common())]
    if counted:
        rarest, few = counted.most_common()[-1]
        lines.append(f"{len(counted)} operations; the rarest, `{rarest}`, is in {few} programs")
    return lines


def run(options: argparse.Namespace) -> None:
    from workers import judge_all

    path = pathlib.Path(options.results)
    known = campaign.read([path])
    seeds = [seed for seed in range(options.first, options.first + options.count) if seed not in known]
    ends = time.monotonic() + options.minutes * 60 if options.minutes else None
    version = options.commit or campaign.commit()
    requests = ({"seed": seed} | ({"only": options.only.split(",")} if options.only else {}) for seed in seeds)
    with path.open("a") as file:
        for answer in judge_all(requests, options.workers, lambda: ends is not None and time.monotonic() > ends, worker=WORKER):
            answer["commit"] = version
            file.write(json.dumps(answer) + "\n")
            file.flush()
            if answer["outcome"] in campaign.FINDINGS:
                print(answer["seed"], answer["outcome"], answer["kind"], flush=True)
    print("\n".join(summary(campaign.read([path]))))


def show(options: argparse.Namespace) -> None:
    answers = campaign.read([pathlib.Path(path) for path in options.results])
    print("\n".join(summary(answers)))
    for kind, found in campaign.findings(answers):
        print(f"{len(found):4d} x {kind}\n       seeds {[answer['seed'] for answer in found][:8]}; {found[0]['detail'][:300]}")
        print("\n".join("         " + line for line in found[0].get("program", "").splitlines()))
    others = Counter((a["outcome"], a["kind"]) for a in answers.values() if a["outcome"] in ("refused", "inconclusive"))
    for (outcome, kind), count in others.most_common(15):
        print(f"{count:4d} {outcome}: {kind[:150]}")


def print_program(options: argparse.Namespace) -> None:
    from mil_drawing import draw_program

    print(draw_program(options.seed).source())


def report(options: argparse.Namespace) -> None:
    from mil_operations import COMPOSITES, OPERATIONS

    text = _HEAD
    for path in map(pathlib.Path, options.results):
        answers = campaign.read([path])
        commits = Counter(str(answer.get("commit", "")) for answer in answers.values())
        text += (
            f"## Seeds {min(answers)} to {max(answers)}, {', '.join(f'{name} ({count})' for name, count in commits.items())}\n\n"
        )
        text += "\n\n".join(summary(answers)) + "\n\n"
        kinds = campaign.findings(answers)
        if kinds:
            text += "| programs | kind of finding | seeds |\n|---|---|---|\n"
            for kind, found in kinds:
                text += f"| {len(found)} | {kind.replace('|', '/')} | {', '.join(str(answer['seed']) for answer in found[:6])} |\n"
        else:
            text += "No finding.\n"
        text += "\n"
    text += "## Operations\n\n| compared with | operations |\n|---|---|\n"
    rows: dict[str, list[str]] = {}
    for name, row in sorted(OPERATIONS.items()):
        rows.setdefault(row.reason or ("NumPy" if row.reference else "coremltools' value inference"), []).append(name)
    for composite, row in COMPOSITES.items():
        rows[f"NumPy, in the composite {composite}"] = rows.pop(f"in the composite {composite}", list(row.of))
    for how, names in sorted(rows.items(), key=lambda item: -len(item[1])):
        is_compared = how.startswith(("NumPy", "coremltools' value"))
        text += f"| {how if is_compared else 'not compared here: ' + how} | {', '.join(names)} |\n"
    print(text, end="")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    made = commands.add_parser("run")
    made.add_argument("results")
    made.add_argument("--first", type=int, default=0)
    made.add_argument("--count", type=int, default=100)
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--minutes", type=float, default=0.0, help="end after so long; 0 for when all seeds are done")
    made.add_argument("--only", default="", help="operations to draw from, with commas")
    made.add_argument("--commit", default="", help="what ran; git's HEAD where not given")
    made.set_defaults(command=run)
    made = commands.add_parser("show")
    made.add_argument("results", nargs="+")
    made.set_defaults(command=show)
    made = commands.add_parser("print")
    made.add_argument("seed", type=int)
    made.set_defaults(command=print_program)
    made = commands.add_parser("report")
    made.add_argument("results", nargs="+")
    made.set_defaults(command=report)
    options = parser.parse_args()
    options.command(options)


if __name__ == "__main__":
    sys.exit(main())
