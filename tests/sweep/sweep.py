"""Exports, lowers and runs the models of the list, and writes what became of them as a table.

    sweep.py --outcomes FILE [--library timm] [--model transformers/BertModel]      # goes on where it was stopped
    sweep.py --outcomes FILE --seconds 0 --table tests/results/sweep.md

README.md of this folder says how the libraries are installed that are not in the lock.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import module_campaign
import sweep_markdown
import sweep_models
from module_kinds import FINDINGS, KINDS, Job, Outcome
from module_workers import Worker

# What a user gets who says nothing; and where rounding to float16 leaves nothing to compare, what shows the same in float32.
DEFAULT, PRECISE = "ios15-float16", "ios15-float32"
# By the clock, for one model, on a machine with other work.
TIMEOUT_S = 900.0


def judged(worker: Worker, name: str) -> list[Outcome]:
    """What becomes of a model by default, and in float32 where that says nothing."""
    found = worker.outcomes(Job(name, (DEFAULT,)))
    if found[0].kind == "inconclusive" and not sweep_markdown.is_close(found[0]):
        found += worker.outcomes(Job(name, (PRECISE,)))
    return found


def run(names: Sequence[str], deadline: float) -> Iterator[list[Outcome]]:
    """The outcomes of each model, in the order of the names, until a time as of time.monotonic()."""
    worker = Worker(cases="sweep_models", timeout_s=TIMEOUT_S)
    try:
        for name in names:
            if time.monotonic() > deadline:
                return
            yield judged(worker, name)
    finally:
        worker.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outcomes", type=Path, required=True, help="file of JSON lines, read and added to")
    parser.add_argument("--table", type=Path, help="Markdown file to write at the end")
    parser.add_argument("--library", action="append", choices=sweep_models.LIBRARIES, help="all by default")
    parser.add_argument("--model", action="append", help="only this model, as `library/name`, again where it has an outcome")
    parser.add_argument("--again", action="append", choices=list(KINDS), help="run only what became this, again")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no model after so many; 0 runs nothing")
    parser.add_argument("--commit", default="", help="what ran; asked of git by default")
    return parser


def _commit() -> str:
    folder = Path(__file__).resolve().parent
    made = subprocess.run(["git", "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return made.stdout.strip()


def _chosen(options: argparse.Namespace, before: Sequence[Outcome]) -> list[str]:
    if options.model:
        unknown = sorted(set(options.model) - set(sweep_models.MODELS))
        if unknown:
            raise SystemExit(f"The list has no {', '.join(unknown)}: its names are in tests/results/sweep.md.")
        return list(options.model)
    libraries = options.library or sweep_models.LIBRARIES
    names = [name for name, model in sweep_models.MODELS.items() if model.family in libraries]
    # A run that is stopped has seen something of everything.
    names.sort(key=lambda name: (libraries.index(sweep_models.MODELS[name].family), hashlib.sha256(name.encode()).digest()))
    if options.again:
        wanted = {outcome.case for outcome in before if outcome.kind in options.again}
        return [name for name in names if name in wanted]
    done = {outcome.case for outcome in before}
    return [name for name in names if name not in done]


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    before = module_campaign.read(options.outcomes)
    start, counts = time.monotonic(), collections.Counter[str]()
    if options.seconds > 0:
        with options.outcomes.open("a") as file:
            for outcomes in run(_chosen(options, before), start + options.seconds):
                for outcome in outcomes:
                    file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
                file.flush()
                last = outcomes[-1]
                counts[last.kind] += 1
                is_finding = last.kind in FINDINGS
                print(f"{last.case}: {last.kind}{f': {last.text}' if is_finding else ''}", flush=True)
        print(f"{counts.total()} models in {time.monotonic() - start:.0f} s: {dict(counts)}")
    if options.table is not None:
        versions = {}
        for name in ("torch", "executorch", "coremltools", *sweep_models.LIBRARIES):
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        everything = module_campaign.read(options.outcomes)
        options.table.write_text(
            sweep_markdown.text(everything, default=DEFAULT, commit=options.commit or _commit(), versions=versions)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
