"""Campaigns of generated programs, by hand:

campaign.py run RESULTS.jsonl --first 0 --count 10000 --workers 2   # resumable: seeds that are in the file are not run again
campaign.py show RESULTS.jsonl                                      # totals, and findings by kind
campaign.py shrink SEED [--case NAME]                               # the smallest program, as a script; as a case of the tree
campaign.py print SEED                                              # the program of a seed
campaign.py report RESULTS.jsonl... > tests/results/generated.md    # the last campaign of each commit
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import time
from collections import Counter
from typing import Any

FINDINGS = ("wrong", "raised", "not loaded", "failed", "crashed", "hung", "generator")
CASES = pathlib.Path(__file__).with_name("cases")


def read(paths: list[pathlib.Path]) -> dict[int, dict[str, Any]]:
    """The answers by seed; the last of a seed counts."""
    answers = {}
    for path in paths:
        for line in path.read_text().splitlines() if path.exists() else []:
            answer = json.loads(line)
            answers[answer["seed"]] = answer
    return answers


def summary(answers: dict[int, dict[str, Any]]) -> list[str]:
    outcomes = Counter(answer["outcome"] for answer in answers.values())
    delegated = sum(answer.get("delegated", 0) for answer in answers.values())
    total = delegated + sum(answer.get("left", 0) for answer in answers.values())
    judged = sum(count for outcome, count in outcomes.items() if outcome not in ("not exported", "executorch"))
    share = outcomes["inconclusive"] / max(judged, 1)
    return [
        f"{len(answers)} programs: " + ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common()),
        f"call nodes delegated: {delegated} of {total} ({100 * delegated / max(total, 1):.1f} %); inconclusive {100 * share:.1f} % of those judged",
    ]


def findings(answers: dict[int, dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Findings by kind, most frequent first."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for answer in answers.values():
        if answer["outcome"] in FINDINGS:
            kinds.setdefault(answer.get("shrunk_kind") or answer["kind"], []).append(answer)
    return sorted(kinds.items(), key=lambda item: -len(item[1]))


def commit() -> str:
    folder = pathlib.Path(__file__).resolve().parent
    made = subprocess.run(["git", "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return made.stdout.strip()


def run(options: argparse.Namespace) -> None:
    from workers import judge_all

    path = pathlib.Path(options.results)
    known = read([path])
    seeds = [seed for seed in range(options.first, options.first + options.count) if seed not in known]
    ends = time.monotonic() + options.minutes * 60 if options.minutes else None
    version = options.commit or commit()
    # One program of each kind is shrunk; wrong numbers say what kind they are only when they are.
    shrunk = {answer["kind"] for answer in known.values() if "shrunk" in answer}
    with path.open("a") as file:
        for answer in judge_all(
            ({"seed": seed} for seed in seeds),
            options.workers,
            lambda: ends is not None and time.monotonic() > ends,
            timeout_s=options.timeout,
        ):
            is_new = answer["outcome"] == "wrong" or answer.get("kind") not in shrunk
            if answer["outcome"] in FINDINGS and options.shrink and "program" in answer and is_new:
                from shrinking import Shrinker, kind_of

                shrinker = Shrinker(answer, seconds=options.shrink)
                smallest = shrinker.shrink()
                answer["shrunk"], answer["shrunk_kind"] = smallest.to_json(), kind_of(smallest, shrinker.answer)
                answer["shrunk_detail"] = shrinker.answer.get("detail", "")
                shrunk.add(answer["kind"])
            answer["commit"] = version
            file.write(json.dumps(answer) + "\n")
            file.flush()
            if answer["outcome"] in FINDINGS:
                print(answer["seed"], answer["outcome"], answer.get("shrunk_kind") or answer["kind"], flush=True)
    print("\n".join(summary(read([path]))))


def show(options: argparse.Namespace) -> None:
    answers = read([pathlib.Path(path) for path in options.results])
    print("\n".join(summary(answers)))
    for kind, found in findings(answers):
        print(
            f"{len(found):4d} x {kind}\n       seeds {[answer['seed'] for answer in found][:8]}; {found[0].get('shrunk_detail') or found[0]['detail'][:200]}"
        )
    others = Counter(
        (a["outcome"], a["kind"]) for a in answers.values() if a["outcome"] in ("refused", "executorch", "not exported")
    )
    for (outcome, kind), count in others.most_common(15):
        print(f"{count:4d} {outcome}: {kind[:150]}")


def shrink(options: argparse.Namespace) -> None:
    from shrinking import Shrinker, kind_of, script
    from workers import Worker

    answer = read([pathlib.Path(options.results)]).get(options.seed) if options.results else None
    if answer is None or "program" not in answer:
        worker = Worker(timeout_s=options.timeout)
        answer = worker.ask({"seed": options.seed})
        worker.stop()
    if answer["outcome"] not in FINDINGS:
        sys.exit(f"Seed {options.seed} is no finding: {answer['outcome']} {answer.get('kind', '')}.")
    shrinker = Shrinker(answer, seconds=options.shrink, say=lambda line: print(line, file=sys.stderr))
    smallest = shrinker.shrink()
    configuration = {**shrinker.configuration, **shrinker.answer.get("configuration", {})}
    print(f"# Seed {options.seed}: {shrinker.outcome}, {kind_of(smallest, shrinker.answer)}\n# {shrinker.answer.get('detail', '')}")
    print(script(smallest, configuration))
    if options.case:
        case = {"symptom": shrinker.answer.get("detail", ""), "kind": kind_of(smallest, shrinker.answer), "seed": options.seed}
        case |= {"configuration": shrinker.configuration, "program": json.loads(smallest.to_json())}
        (CASES / f"{options.case}.json").write_text(json.dumps(case, indent=1) + "\n")


def print_program(options: argparse.Namespace) -> None:
    from program import PRELUDE
    from vocabulary import configurations, draw_program

    print(f"# {configurations(options.seed)}\n{PRELUDE}\n\n{draw_program(options.seed, attempt=options.attempt).source()}")


def report(options: argparse.Namespace) -> None:
    from reporting import written

    print(written([pathlib.Path(path) for path in options.results]), end="")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    made = commands.add_parser("run")
    made.add_argument("results")
    made.add_argument("--first", type=int, default=0)
    made.add_argument("--count", type=int, default=100)
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--minutes", type=float, default=0.0, help="end after so long; 0 for when all seeds are done")
    made.add_argument("--shrink", type=float, default=0.0, help="seconds for shrinking each finding; 0 for not at all")
    made.add_argument("--timeout", type=float, default=60.0, help="seconds without a sign of life after which a program hangs")
    made.add_argument("--commit", default="", help="what ran; git's HEAD where not given")
    made.set_defaults(command=run)
    made = commands.add_parser("show")
    made.add_argument("results", nargs="+")
    made.set_defaults(command=show)
    made = commands.add_parser("shrink")
    made.add_argument("seed", type=int)
    made.add_argument("--results", default="", help="where the seed's finding was written")
    made.add_argument("--case", default="", help="also write cases/NAME.json")
    made.add_argument("--shrink", type=float, default=240.0)
    made.add_argument("--timeout", type=float, default=60.0)
    made.set_defaults(command=shrink)
    made = commands.add_parser("print")
    made.add_argument("seed", type=int)
    made.add_argument("--attempt", type=int, default=0)
    made.set_defaults(command=print_program)
    made = commands.add_parser("report")
    made.add_argument("results", nargs="+")
    made.set_defaults(command=report)
    options = parser.parse_args()
    options.command(options)


if __name__ == "__main__":
    main()
