"""Draws a program from its seed: calls of random operations over the values so far, new inputs and constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mil_program import DTYPES, INPUT, NAMES, OPSETS, REALS, Call, Program, Ref, Unsuited, evaluate_call, infer_types, widened

MOST_ELEMENTS = 4096
MOST_CALLS = 12
INTEGERS = ("int32",)
# What reals of a program look like.
STYLES = ("normal", "normal", "normal", "small integers", "wide", "tiny", "large", "special")
# What a model takes as an input.
INPUT_DTYPES = {
    "iOS15": ("fp32", "int32"),
    "iOS16": ("fp16", "fp32", "int32"),
    "iOS17": ("fp16", "fp32", "int32"),
    "iOS18": ("fp16", "fp32", "int32"),
}


class Drawer:
    """A program being drawn. What the operations' rows draw their arguments with."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([0x4D494C, seed])
        self.program = Program(seed, str(self.rng.choice(list(OPSETS))))
        self.style = str(self.rng.choice(STYLES))
        self.real_dtype = "fp32" if self.program.opset == "iOS15" or self.rng.random() < 0.6 else "fp16"
        # As float32 where float16, with each result rounded.
        self.values: list[np.ndarray] = []

    # --- Numbers ---

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def choice(self, options: Sequence[Any]) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def shape(self, rank: int) -> tuple[int, ...]:
        shape = tuple(self.choice((1, 1, 2, 3, 4, 5, 7, 16)) for _ in range(rank))
        return shape if np.prod(shape, initial=1) <= 1024 else self.shape(rank)

    def array(self, dtype: str, shape: Sequence[int]) -> np.ndarray:
        shape = tuple(int(extent) for extent in shape)
        if dtype == "bool":
            return self.rng.random(shape) < 0.5
        if dtype not in REALS:
            limits = np.iinfo(DTYPES[dtype])
            if dtype == "int32" and self.chance(0.2):
                return self.rng.integers(limits.min, limits.max, shape, dtype=np.int64).astype(np.int32)
            return self.rng.integers(max(limits.min, -9), 10, shape).astype(DTYPES[dtype])
        value = self.rng.normal(size=shape)
        if self.style == "small integers":
            value = np.rint(2 * value)
        elif self.style == "wide":
            value *= np.exp2(self.rng.integers(-12, 12, shape))
        elif self.style == "tiny":
            value *= 2.0**-12 if dtype == "fp16" else 2.0**-40
        elif self.style == "large":
            value *= 2.0**11 if dtype == "fp16" else 2.0**40
        elif self.style == "special":
            chosen = self.rng.random(shape)
            for limit, special in ((0.05, np.nan), (0.1, np.inf), (0.15, -np.inf), (0.2, 0.0), (0.25, -0.0), (0.3, 65504.0)):
                value = np.where((chosen < limit) & (chosen >= limit - 0.05), special, value)
        return value.astype(DTYPES[dtype])

    def plain(self, shape: Sequence[int], low: float = -1.0, high: float = 1.0, dtype: str = "") -> np.ndarray:
        """A constant of usual reals, as weights are."""
        return self.rng.uniform(low, high, tuple(shape)).astype(DTYPES[dtype or self.real_dtype])

    def scalar(self, value: Ref, low: float, high: float) -> Any:
        """A number of the value's dtype."""
        return DTYPES[self.dtype(value)](self.rng.uniform(low, high))

    # --- Values ---

    def of(self, ref: Ref) -> np.ndarray:
        return self.values[ref.index]

    def dtype(self, ref: Ref) -> str:
        return self.program.dtypes()[ref.index]

    def rank(self, ref: Ref) -> int:
        return self.of(ref).ndim

    def given(self, array: np.ndarray) -> Ref:
        """A value with these elements: a new input, cast where a model takes no such dtype."""
        name = NAMES[array.dtype]
        kept = array if name in INPUT_DTYPES[self.program.opset] else array.astype(np.int32)
        made = Ref(len(self.values))
        self.program.calls.append(Call(INPUT, {"value": kept}, [NAMES[kept.dtype]], [kept.shape]))
        self.values.append(widened(kept))
        return made if kept is array else self.add("cast", {"x": made, "dtype": name})[0]

    def value(
        self, dtypes: Sequence[str], rank: tuple[int, int] = (1, 5), shape: Sequence[int] | None = None, *, fresh: float = 0.3
    ) -> Ref:
        """One of the values so far, or a new input."""
        names = self.program.dtypes()
        fitting = [
            index
            for index, value in enumerate(self.values)
            if names[index] in dtypes and (value.shape == tuple(shape) if shape is not None else rank[0] <= value.ndim <= rank[1])
        ]
        if fitting and not self.chance(fresh):
            return Ref(self.choice(fitting[-4:]))
        usable = [
            dtype
            for dtype in dtypes
            if dtype in INPUT_DTYPES[self.program.opset] or dtype == "bool" or self.program.opset >= "iOS17"
        ]
        if self.real_dtype in usable and self.chance(0.8):
            usable = [self.real_dtype]
        if not usable:
            raise Unsuited("no such dtype in the opset")
        return self.given(self.array(self.choice(usable), self.shape(self.integer(*rank)) if shape is None else shape))

    def real(self, rank: tuple[int, int] = (1, 5), shape: Sequence[int] | None = None, **options: Any) -> Ref:
        return self.value((self.real_dtype,), rank, shape, **options)

    def number(self, rank: tuple[int, int] = (1, 5), shape: Sequence[int] | None = None) -> Ref:
        return self.value((self.real_dtype, "int32") if self.chance(0.8) else REALS, rank, shape)

    def like(self, ref: Ref, shape: Sequence[int] | None = None) -> Ref | np.ndarray:
        """A value or a constant of the same dtype."""
        wanted = self.of(ref).shape if shape is None else tuple(shape)
        dtype = self.dtype(ref)
        return self.array(dtype, wanted) if self.chance(0.3) else self.value((dtype,), shape=wanted)

    def broadcast(self, ref: Ref) -> Ref | np.ndarray | Any:
        """A value, constant or scalar that broadcasts with another."""
        if self.chance(0.2):
            return self.array(self.dtype(ref), ())[()]
        shape = list(self.of(ref).shape)
        for axis in range(len(shape)):
            if self.chance(0.25):
                shape[axis] = 1
        return self.like(ref, shape[self.integer(0, len(shape) - 1) :] if self.chance(0.25) else shape)

    def axis(self, ref: Ref) -> int:
        rank = self.rank(ref)
        return self.integer(-rank, rank - 1)

    def axes(self, ref: Ref) -> list[int]:
        rank = self.rank(ref)
        chosen = self.rng.choice(rank, self.integer(1, rank), replace=False)
        return [int(axis) - rank if self.chance(0.3) else int(axis) for axis in chosen]

    def indices(self, shape: Sequence[int], limit: int) -> Ref | np.ndarray:
        if limit <= 0:
            raise Unsuited("an index into nothing")
        array = self.rng.integers(0, limit, tuple(shape)).astype(np.int32)
        return array if self.chance(0.5) else self.given(array)

    # --- Calls ---

    def add(self, op: str, arguments: dict[str, Any]) -> list[Ref]:
        """A call, if coremltools takes it and something defines what it gives."""
        call = Call(op, arguments)
        wanted = infer_types(self.program.opset, op, arguments, [_typed(v, d) for v, d in zip(self.values, self.program.dtypes())])
        call.dtypes, call.shapes = [dtype for dtype, _ in wanted], [shape for _, shape in wanted]
        if any(np.prod(shape, initial=1) > MOST_ELEMENTS or len(shape) > 5 for shape in call.shapes):
            raise Unsuited(f"{op}: a large result")
        results = evaluate_call(self.program.opset, call, self.values, is_half=True)
        for result, shape in zip(results, call.shapes):
            if result.shape != shape:
                raise AssertionError(f"{op}: the reference gives the shape {result.shape}, coremltools infers {shape}")
        first = len(self.values)
        self.program.calls.append(call)
        self.values += results
        return [Ref(first + i) for i in range(len(results))]


def _typed(value: np.ndarray, dtype: str) -> np.ndarray:
    return value.astype(DTYPES[dtype]) if dtype == "fp16" else value


def draw_program(seed: int, only: Sequence[str] = ()) -> Program:
    """The program of a seed. `only`: operations to draw from."""
    from mil_operations import DRAWN, draw_call

    drawer = Drawer(seed)
    names = [name for name in (only or DRAWN)]
    wanted = 1 if drawer.chance(0.3) else drawer.integer(2, MOST_CALLS)
    made = 0
    for _ in range(20 * wanted):
        if made == wanted:
            break
        # What a refused call has added is taken away again.
        calls, values = list(drawer.program.calls), list(drawer.values)
        try:
            draw_call(drawer, str(drawer.choice(names)))
            made += 1
        except Unsuited:
            drawer.program.calls, drawer.values = calls, values
    return drawer.program.only(drawer.program.ends())[0]
