"""From a seed to a program: which families of calls, how many, and which of their values come out."""

from __future__ import annotations

import random

import from_samples
import from_schema
import idioms
import idioms_layers
import torch
from drawing import Configuration, Draw, Unfit
from program import FORMS, Program, reads

TARGETS = ("iOS15", "iOS16", "iOS17", "iOS18")
PRECISIONS = ("float32", "float16")
# One seed in so many is lowered for every target in every precision.
ALL_IN = 20

# What share of programs is lowered with another, as two methods.
_COMPANIONS = 0.06

# How often a family is drawn.
_WEIGHTS = {
    "schema": 40,
    "samples": 16,
    "masks": 8,
    "casts": 5,
    "arithmetic": 12,
    "indexing": 5,
    "writes": 4,
    "views": 6,
    "pads": 3,
    "reductions": 8,
    "joining": 5,
    "creation": 4,
    "elementwise": 8,
    "convolution": 2,
    "pooling": 4,
    "norms": 3,
    "resizing": 2,
    "attention": 5,
    "recurrent": 2,
    "products": 4,
    "einsum": 2,
    "waves": 0.6,
    "control flow": 1.2,
}
_FAMILIES = {
    "schema": [from_schema.draw_call],
    "samples": [from_samples.draw_call],
    **idioms.BASIC,
    **idioms_layers.LAYERS,
}


def configurations(seed: int) -> list[Configuration]:
    """What a seed is lowered with."""
    rng = random.Random(f"configuration {seed}")
    if seed % ALL_IN == 0:
        return [Configuration(target, precision) for target in TARGETS for precision in PRECISIONS]
    return [Configuration(rng.choice(TARGETS), rng.choice(PRECISIONS))]


def draw_program(seed: int, *, attempt: int = 0) -> Program:
    """The program of a seed. attempt: another one, when torch cannot export those before; from the second on without dynamic extents."""
    rng = random.Random(f"program {seed} {attempt}")
    program = _drawn(seed, attempt, rng)
    if attempt == 0 and not program.mutable and rng.random() < _COMPANIONS:
        companion = _drawn(seed, attempt, rng)
        if not companion.mutable:
            program.companion = companion
    return program


def _drawn(seed: int, attempt: int, rng: random.Random) -> Program:
    draw = Draw(rng.randrange(2**40), configurations(seed), dynamic=rng.random() < 0.3 and attempt < 2)
    draw.program.seed = seed
    wanted = rng.choice((3, 4, 5, 6, 8, 8, 10, 12, 16, 20, 28, 40))
    for _ in range(rng.choice((1, 2, 2, 3))):
        draw.leaf(
            rng.choice((torch.float32, torch.float32, torch.float32, torch.int64, torch.int32, torch.bool, torch.float16)),
            kind="input",
        )
    names = list(_WEIGHTS)
    # A program has a few families that it prefers, so that the calls of one meet.
    weights = [_WEIGHTS[name] * rng.choice((0.2, 1, 1, 4)) for name in names]
    families = dict(_FAMILIES)
    if draw.may_mutate:
        families, names, weights = {**families, **idioms.STATE}, [*names, "state"], [*weights, 15.0]
    failed = 0
    while len(draw.program.calls) < wanted and failed < 60:
        (family,) = rng.choices(names, weights)
        draw.family = family
        try:
            with draw.attempt():
                draw.rng.choice(families[family])(draw)
        except Unfit:
            failed += 1
    return _finished(draw, rng)


def _finished(draw: Draw, rng: random.Random) -> Program:
    program = draw.program
    read: set[str] = set().union(*(reads(call) for call in program.calls)) if program.calls else set()
    computed = [call.out for call in program.calls if call.out and isinstance(draw.value(call.out), torch.Tensor)]
    results = [name for name in computed if name not in read]
    results += [name for name in computed if name in read and rng.random() < 0.12]
    rng.shuffle(results)
    if len(results) > 8:
        results = results[:8]
    if not results:
        results = computed[-1:] or [program.leaves[0].name]
    if rng.random() < 0.08:
        results.append(rng.choice(results))
    if rng.random() < 0.05 and program.inputs:
        results.append(program.inputs[0].name)
    program.results = results
    # torch.export has no way to say which extents of a dataclass are dynamic.
    forms = [form for form in FORMS if form != "dataclass" or not program.dynamic]
    program.input_form = rng.choice(forms) if rng.random() < 0.16 and len(program.inputs) > 1 else "flat"
    program.result_form = rng.choice(FORMS) if rng.random() < 0.16 else "tuple"
    return trimmed(program)


def trimmed(program: Program) -> Program:
    """Without the calls, leaves, modules and extents that nothing needs."""
    needed, kept = set(program.results), []
    for call in reversed(program.calls):
        if call.writes or call.out in needed:
            needed |= reads(call)
            kept.append(call)
    calls = kept[::-1]
    functions = {call.function[5:] for call in calls if call.function.startswith("self.")}
    leaves = [leaf for leaf in program.leaves if leaf.name in needed]
    if not any(leaf.kind == "input" for leaf in leaves):
        leaves += [leaf for leaf in program.leaves if leaf.kind == "input"][:1]
    used = {name for leaf in leaves for name in leaf.dims.values() if leaf.kind == "input"}
    return Program(
        leaves,
        {name: text for name, text in program.modules.items() if name in functions},
        calls,
        program.results,
        {name: spec for name, spec in program.dynamic.items() if name in used},
        program.input_form if len([leaf for leaf in leaves if leaf.kind == "input"]) > 1 else "flat",
        program.result_form,
        program.seed,
        program.companion,
    )
