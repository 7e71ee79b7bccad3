"""Seeded faults, and whether `coreml verify` names them.

    verify_mutants.mutants(30, seed=0)  ->  rows of the table, one for each mutant
    verify_mutants.table(rows)          ->  text

A mutant is right when verify says that the program misses, and names the mutated operation or one that reads its result. Faults that change no
output by more than 1 % are drawn again: nobody could see them, and they are counted. The same seed gives the same mutants.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import random
import tempfile

import numpy as np
import torch
import verify_models
import verify_mutations
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk import running
from executorch.backends.apple.coreml.sdk.compare import l2_relative
from executorch.backends.apple.coreml.sdk.errors import ToolError
from executorch.backends.apple.coreml.sdk.verify import verify
from executorch.backends.apple.coreml.sdk.verify_reference import Reference, load
from executorch.exir import to_edge_transform_and_lower

# What changes less is no fault.
_VISIBLE = 1e-2


@dataclasses.dataclass(frozen=True)
class Row:
    """One mutant and what verify said of it. named: type and output of the operation."""

    model: str
    kind: str
    mutated: str
    what: str
    numeric_mode: str
    change: float
    named: str
    edge_op: str
    line: str
    # "the operation", "its consumer" or "WRONG".
    verdict: str

    @property
    def is_right(self) -> bool:
        return self.verdict != "WRONG"


@dataclasses.dataclass
class Subject:
    """A lowered model."""

    name: str
    reference: Reference
    victim: verify_mutations.Victim
    program: bytes
    inputs: dict[str, np.ndarray]

    @classmethod
    def of(cls, name: str) -> Subject:
        module, inputs = verify_models.build(name)
        # Lowering changes the program that it is given.
        exported, to_lower = torch.export.export(module, inputs), torch.export.export(module, inputs)
        program = bytes(to_edge_transform_and_lower(to_lower, partitioner=[CoreMLPartitioner()]).to_executorch().buffer)
        given = {str(index): tensor.numpy() for index, tensor in enumerate(inputs)}
        return cls(name, load(exported), verify_mutations.Victim(program), program, given)

    def outputs(self, program: bytes, folder: pathlib.Path, numeric_mode: str) -> list[np.ndarray]:
        path = folder / "run.pte"
        path.write_bytes(program)
        # Copies: the runtime's outputs live no longer than its method.
        return [np.array(o) for o in running.prepare(path, self.inputs, numeric_mode=numeric_mode).call().values()]


def mutants(count: int, *, seed: int, models: tuple[str, ...] = verify_models.MODELS) -> tuple[list[Row], int]:
    """`count` mutants, spread over the models and kinds, and how many were drawn that no output shows or no engine accepts."""
    generator = random.Random(seed)
    rows: list[Row] = []
    invisible = 0
    with tempfile.TemporaryDirectory(prefix="verify_mutants_") as folder:
        for index, name in enumerate(models):
            subject = Subject.of(name)
            share = count // len(models) + (index < count % len(models))
            found, drawn_again = _of_model(subject, share, generator, pathlib.Path(folder))
            rows += found
            invisible += drawn_again
    return rows, invisible


def _of_model(subject: Subject, count: int, generator: random.Random, folder: pathlib.Path) -> tuple[list[Row], int]:
    by_kind = collections.defaultdict(list)
    for site in subject.victim.sites():
        by_kind[site[0]].append(site)
    for sites in by_kind.values():
        generator.shuffle(sites)
    healthy = {mode: subject.outputs(subject.program, folder, mode) for mode in ("float32", "float16")}
    rows: list[Row] = []
    invisible = 0
    while len(rows) < count and any(by_kind.values()):
        for kind in verify_mutations.KINDS:
            if len(rows) == count or not by_kind[kind]:
                continue
            mutant = subject.victim.mutate(by_kind[kind].pop(), generator)
            mode = "float16" if kind == "overflow" else generator.choice(("float32", "float16"))
            change = _change(subject, mutant, healthy[mode], folder, mode) if mutant else None
            if change is None or not change > _VISIBLE:
                invisible += 1
                continue
            rows.append(_blamed(subject, mutant, mode, change, folder))
    return rows, invisible


def _change(
    subject: Subject, mutant: verify_mutations.Mutant, healthy: list[np.ndarray], folder: pathlib.Path, mode: str
) -> float | None:
    """How far the outputs are from the healthy program's; None when the engine refuses the mutant."""
    try:
        outputs = subject.outputs(mutant.program, folder, mode)
    except ToolError:
        return None
    return max(l2_relative(actual, right) for actual, right in zip(outputs, healthy, strict=True))


def _blamed(subject: Subject, mutant: verify_mutations.Mutant, mode: str, change: float, folder: pathlib.Path) -> Row:
    path = folder / "mutant.pte"
    path.write_bytes(mutant.program)
    result = verify(path, subject.reference, numeric_modes=(mode,))
    blame = result.modes[0].blame
    verdict = "WRONG"
    if blame is not None and blame.mil_name in mutant.names:
        verdict = "the operation"
    elif blame is not None and blame.mil_name in mutant.consumers:
        verdict = "its consumer"
    return Row(
        model=subject.name,
        kind=mutant.kind,
        mutated=" ".join(mutant.operation),
        what=mutant.what,
        numeric_mode=mode,
        change=change,
        named=f"{blame.mil_op} {blame.mil_name}" if blame else "(nothing)",
        edge_op=blame.edge_op if blame else "",
        line=f"{pathlib.Path(blame.line.file).name}:{blame.line.line}" if blame and blame.line else "",
        verdict=verdict,
    )


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| model | kind | mutated operation | change | mode | outputs off by | verify names | edge op | line | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.model} | {r.kind} | {r.mutated} | {r.what} | {r.numeric_mode} | {r.change:.1e} | {r.named} | {r.edge_op} | {r.line} | {r.verdict} |"
        for r in rows
    ]
    return "\n".join(lines)
