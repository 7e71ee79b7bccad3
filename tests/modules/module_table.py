"""Runs every torch.nn module, torch.nn.functional function and operation, and writes what became of them as a table.

    tools/bazel run //tests/modules:module_table -- --outcomes /tmp/outcomes.jsonl --table $PWD/tests/results/modules.md

The file of outcomes has a line for each case and configuration; run again with it, the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import module_campaign
import module_cases
import module_markdown
import module_workers
from module_kinds import CONFIGURATIONS, FINDINGS, KINDS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outcomes", type=Path, required=True, help="file of JSON lines, read and added to")
    parser.add_argument("--table", type=Path, help="Markdown file to write at the end")
    parser.add_argument("--tier", action="append", choices=module_campaign.TIERS, help="what to run; all by default")
    parser.add_argument("--family", action="append", help="only this module or function, by name")
    parser.add_argument("--configuration", action="append", choices=list(CONFIGURATIONS), help="all by default")
    parser.add_argument("--most", type=int, default=10**6, help="cases of each family")
    parser.add_argument("--seed", type=int, default=1, help="which cases, where --most leaves some out")
    parser.add_argument("--drawn", action="store_true", help="each case in one configuration, by chance")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many; 0 runs nothing")
    parser.add_argument("--again", action="append", choices=list(KINDS), help="run only what became this, again")
    parser.add_argument("--findings", action="store_true", help="print what is wrong or raised")
    parser.add_argument("--commit", default="", help="what the table says it was run on; asked of git by default")
    return parser


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    families = [
        family
        for name, family in module_cases.families().items()
        if (name in options.family if options.family else family.tier in (options.tier or module_campaign.TIERS))
    ]
    before = module_campaign.read(options.outcomes)
    if options.again:
        jobs = module_campaign.again(before, options.again, families)
    else:
        jobs = module_campaign.jobs(
            families,
            configurations=options.configuration or list(CONFIGURATIONS),
            most=options.most,
            seed=options.seed,
            drawn=options.drawn,
            done={(outcome.case, outcome.configuration) for outcome in before},
        )
    start, counts = time.monotonic(), collections.Counter[str]()
    if options.seconds > 0:
        with options.outcomes.open("a") as file:
            for outcomes in module_workers.run(module_campaign.until(jobs, start + options.seconds), processes=options.processes):
                for outcome in outcomes:
                    file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
                    counts[outcome.kind] += 1
                file.flush()
        print(f"{counts.total()} programs in {time.monotonic() - start:.0f} s: {dict(counts)}")
    everything = module_campaign.read(options.outcomes)
    if options.findings:
        for outcome in everything:
            if outcome.kind in FINDINGS:
                print(f"{outcome.case} {outcome.configuration} {outcome.kind}: {outcome.call}\n    {outcome.text}")
    if options.table is not None:
        command = "tools/bazel run //tests/modules:module_table -- --outcomes FILE --table tests/results/modules.md"
        command += " --drawn" if options.drawn else ""
        if options.most < 10**6:
            command += f" --most {options.most} --seed {options.seed}"
        versions = {name: importlib.metadata.version(name) for name in ("torch", "executorch", "coremltools")}
        options.table.write_text(
            module_markdown.text(everything, command=command, commit=options.commit or _commit(), versions=versions)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
