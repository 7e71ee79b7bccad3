"""Runs a program on the portable engine and compares every result with what it should be.

The tolerance comes from the program: it is evaluated again with each result some units of its last place off, and the engine may
differ by a small multiple of what becomes of that. Integers and booleans that such noise does not change must be equal, and so must be
what is infinite or NaN.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable

import numpy as np
from mil_program import INPUT, REALS, Call, Program, Ref, evaluate, refs, save

MODES = ("float32", "float16")
TRIALS = 4
# Above these shares of its largest element a result's tolerance says nothing.
LOOSE = {"float32": 1e-2, "float16": 1e-1}
# Whose kernels lose NaN in float32 mode, or of whose results a relu that runs inside of them does (docs/engine.md).
LOSES_NAN = {
    "conv",
    "conv_transpose",
    "einsum",
    "gru",
    "linear",
    "lstm",
    "matmul",
    "rnn",
    "max_pool",
    "softmax",
    "scaled_dot_product_attention",
}


@dataclasses.dataclass
class Verdict:
    outcome: str
    kind: str = ""
    detail: str = ""
    mode: str = ""
    program: str = ""
    ops: list[str] = dataclasses.field(default_factory=list)


def predict(program: Program, outputs: list[int], mode: str) -> list[np.ndarray]:
    from executorch.backends.apple.coreml.runtime import MLModel

    with tempfile.TemporaryDirectory() as folder:
        model = MLModel(save(program, outputs, folder), numeric_mode=mode)
        results = model.predict(program.inputs())
        return [np.asarray(results[f"result{position}"]) for position in range(len(outputs))]


@dataclasses.dataclass
class Expected:
    """A program's values, and how far off others may be."""

    values: list[np.ndarray]
    trials: list[list[np.ndarray]]
    dtypes: list[str]

    @staticmethod
    def of(program: Program, mode: str) -> Expected:
        is_half = mode == "float16"
        trials = [evaluate(program, is_half=is_half, noise=np.random.default_rng([program.seed, trial])) for trial in range(TRIALS)]
        return Expected(evaluate(program, is_half=is_half), trials, program.dtypes())

    def compare(self, index: int, actual: np.ndarray, mode: str) -> tuple[str, str]:
        """("right" or "wrong" or "inconclusive", what differs)."""
        expected = self.values[index]
        others = [trial[index] for trial in self.trials]
        shape = expected.shape or (1,)
        if actual.shape != shape:
            return "wrong", f"shape {list(actual.shape)}, expected {list(shape)}"
        expected, others = expected.reshape(shape), [other.reshape(shape) for other in others]
        if self.dtypes[index] not in REALS:
            settled = np.all([other == expected for other in others], axis=0)
            differs = settled & (actual.astype(np.int64) != expected.astype(np.int64))
            if differs.any():
                return "wrong", _difference(actual, expected, differs)
            return ("right" if settled.mean() > 0.5 or settled.size == 0 else "inconclusive"), ""
        dtype = np.float16 if self.dtypes[index] == "fp16" else np.float32
        with np.errstate(all="ignore"):
            # What the model gives is rounded to its dtype.
            expected, others = (
                expected.astype(dtype).astype(np.float64),
                [other.astype(dtype).astype(np.float64) for other in others],
            )
            actual = actual.astype(np.float64)
            finite = np.isfinite(expected)
            scale = float(np.abs(expected[finite]).max()) if finite.any() else 0.0
            spread = np.max([np.abs(other - expected) for other in others], axis=0)
            epsilon = float(np.finfo(dtype).eps)
            tolerance = (
                4 * spread + 4 * epsilon * np.abs(expected) + 8 * 2.0**-23 * scale + float(np.finfo(dtype).smallest_subnormal) * 8
            )
            alike = [(np.isfinite(other) == finite) & (finite | (np.isnan(other) == np.isnan(expected))) for other in others]
            settled = np.all(alike, axis=0)
            same = (np.isnan(actual) & np.isnan(expected)) | (actual == expected)
            differs = settled & ~same & ~(finite & (np.abs(actual - expected) <= tolerance))
        if differs.any():
            return "wrong", _difference(actual, expected, differs)
        loose = ~settled | (finite & (tolerance > LOOSE[mode] * max(scale, 1e-30)))
        return ("inconclusive" if expected.size and loose.mean() > 0.5 else "right"), ""


def _difference(actual: np.ndarray, expected: np.ndarray, differs: np.ndarray) -> str:
    first = tuple(int(i) for i in np.argwhere(differs)[0])
    return f"{int(differs.sum())} of {differs.size} elements, at {list(first)} {actual[first]!r}, expected {expected[first]!r}"


def ops_lose_nan(program: Program, expected: Expected, mode: str) -> bool:
    if not LOSES_NAN.intersection(call.op for call in program.calls):
        return False
    # In float16 mode float16 values are rounded between any two operations, and nothing runs inside another.
    is_kept = mode == "float16" and "fp32" not in expected.dtypes
    return not is_kept and any(np.isnan(value).any() for value in expected.values if value.dtype == np.float32)


def judge(program: Program, tell: Callable[[str], None] = lambda phase: None) -> Verdict:
    ops = sorted({call.op for call in program.calls if call.op != INPUT})
    ends = program.ends()
    loose = ""
    for mode in MODES:
        tell(f"expect {mode}")
        expected = Expected.of(program, mode)
        if ops_lose_nan(program, expected, mode):
            continue
        tell(f"run {mode}")
        try:
            results = predict(program, ends, mode)
        except Exception as error:
            return _failed(program, mode, error, ops)
        for index, actual in zip(ends, results):
            outcome, detail = expected.compare(index, actual, mode)
            if outcome == "wrong":
                tell("shrink")
                smallest, op, detail = shrink(program, index, mode, detail)
                return Verdict("wrong", f"{op} in {mode}", detail, mode, smallest.source(), ops)
            loose = loose or (f"{program.owners()[index].op} in {mode}" if outcome == "inconclusive" else "")
    return Verdict("inconclusive", loose, ops=ops) if loose else Verdict("right", ops=ops)


def _failed(program: Program, mode: str, error: Exception, ops: list[str]) -> Verdict:
    text = f"{type(error).__name__}: {error}"
    outcome = "raised"
    if type(error).__name__ == "EngineError":
        outcome = "refused" if "unsupported" in text.lower() else "not loaded"
    return Verdict(outcome, text.split("\n")[0][:160], text[:2000], mode, program.source(), ops)


def _is_wrong(program: Program, indices: list[int], mode: str) -> tuple[int, str] | None:
    """The first of these values that the engine computes wrongly, and how."""
    try:
        results = predict(program, indices, mode)
    except Exception:
        return None
    expected = Expected.of(program, mode)
    for index, actual in zip(indices, results):
        outcome, detail = expected.compare(index, actual, mode)
        if outcome == "wrong":
            return index, detail
    return None


def shrink(program: Program, index: int, mode: str, detail: str) -> tuple[Program, str, str]:
    """(the smallest program found whose result is wrong, the operation of that result, what differs)."""
    smallest, (wrong,) = program.only([index])
    # The first value that is wrong already, when it is a result.
    for value, call in enumerate(smallest.owners()):
        if call.op == INPUT or value == wrong:
            continue
        part, (result,) = smallest.only([value])
        found = _is_wrong(part, [result], mode)
        if found is not None:
            smallest, wrong, detail = part, result, found[1]
            break
    # Its arguments as inputs, one call before the other.
    for _ in range(len(smallest.calls)):
        cut = _cut(smallest, wrong, mode)
        if cut is None:
            break
        smallest, wrong, detail = cut
    return smallest, smallest.owners()[wrong].op, detail


def _cut(program: Program, wrong: int, mode: str) -> tuple[Program, int, str] | None:
    values = evaluate(program, is_half=mode == "float16")
    dtypes = program.dtypes()
    owners = program.owners()
    read = [ref.index for ref in refs(owners[wrong].arguments)]
    # Whatever lies before the last call, then before any one of the others.
    candidates = [set(read)] + [{value} for value in range(len(owners)) if owners[value] is not owners[wrong]]
    for chosen in candidates:
        chosen = {
            value
            for value in chosen
            if owners[value].op != INPUT and dtypes[value] in ("fp16", "fp32", "int32") and len(owners[value].dtypes) == 1
        }
        if not chosen:
            continue
        made = Program(program.seed, program.opset)
        index = 0
        for call in program.calls:
            if index in chosen:
                value = values[index].astype({"fp16": np.float16, "fp32": np.float32, "int32": np.int32}[dtypes[index]])
                if value.shape:
                    call = Call(INPUT, {"value": value}, list(call.dtypes), list(call.shapes))
            made.calls.append(call)
            index += len(call.dtypes)
        part, (result,) = made.only([wrong])
        if len(part.calls) >= len(program.calls) and sum(c.op == INPUT for c in part.calls) <= sum(
            c.op == INPUT for c in program.calls
        ):
            continue
        found = _is_wrong(part, [result], mode)
        if found is not None:
            return part, result, found[1]
    return None


__all__ = ["MODES", "Expected", "Ref", "Verdict", "judge", "predict", "shrink"]
