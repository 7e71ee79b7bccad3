"""Our passes over MIL programs, in coremltools' registry under `executorch::`. They run only in the pipelines that `pipeline()` makes."""

from __future__ import annotations

from collections.abc import Iterable

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Block, Operation, Var
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY, register_pass

from executorch_coreml.compiler import cast_passes, exact_passes, quantization_passes
from executorch_coreml.compiler.cast_passes import FLOAT16_MAX, is_float32_constant, may_exceed

# From here on coremltools' cast to float16 makes infinity of a number; below, it keeps the op in float32.
_SENTINEL = 1e38
# Ops that hand a constant on as it is: a result beyond float16 becomes infinite as soon as a float16 op reads it.
_HANDS_ON = {"select": ("a", "b"), "fill": ("value",), "fill_like": ("value",)}
_BOUND = "executorch::bound_float16_sentinels"
CAST = "executorch::add_fp16_cast"
NARROWING = {CAST, "executorch::add_int16_cast"}

_REPLACEMENTS = (*cast_passes.PASSES, *exact_passes.PASSES, *quantization_passes.PASSES)
# coremltools' pass -> what runs in its place.
EXACT = {f"common::{made.__name__}": f"executorch::{made.__name__}" for made in _REPLACEMENTS}
DROPPED = exact_passes.DROPPED

for made in _REPLACEMENTS:
    if f"executorch::{made.__name__}" not in PASS_REGISTRY:
        register_pass(namespace="executorch")(made)


def exact(names: Iterable[str]) -> list[str]:
    """Names of coremltools' passes, or of others, as those that compute what the program says."""
    return [EXACT.get(name, name) for name in names if name not in DROPPED]


def pipeline(names: tuple[str, ...] | None, precision: ct.precision) -> ct.PassPipeline:
    """A new pipeline (conversion changes it): these passes, or coremltools' default ones, and ours where they belong.

    A pass that changes what a program computes runs as ours of the same name.
    """
    made = ct.PassPipeline.DEFAULT if names is None else ct.PassPipeline(list(names), pipeline_name="executorch_user_pipeline")
    made.passes = exact(made.passes)
    if precision == ct.precision.FLOAT32:
        made.remove_passes(NARROWING)
    elif CAST in made.passes:
        made.insert_pass(made.passes.index(CAST), _BOUND)
    return made


def _limit(op: Operation, parameter: str) -> float:
    """The magnitude from which a finite constant of an op is a sentinel."""
    is_returned = any(output in op.enclosing_block.outputs for output in op.outputs)
    return FLOAT16_MAX if parameter in _HANDS_ON.get(op.op_type, ()) and not is_returned else _SENTINEL


def _bounded(value: np.ndarray, limit: float) -> np.ndarray | None:
    """The value with its sentinels brought into float16's range; None when it has none."""
    if not may_exceed(value, limit):
        return None
    magnitude = np.abs(value)
    sentinels = (magnitude > limit) & np.isfinite(value)
    if not np.any(sentinels):
        return None
    return np.where(sentinels, np.copysign(np.float32(FLOAT16_MAX), value), value).astype(np.float32)


class bound_float16_sentinels(AbstractGraphPass):
    """Keeps "very large" finite constants finite in a float16 program.

    Given:  mul(mask, -3.4e38), which a cast to float16 makes mul(mask, -inf): NaN wherever the mask is 0
    Result: mul(mask, -65504)

    Attention masks are made of torch.finfo(float32).min, and rows of nothing but such a value must stay rows of equal numbers, not of
    infinities, whose softmax is NaN (https://github.com/apple/coremltools/issues/2669; fixed in no release). `clip` is left alone: its
    bounds are no data.
    """

    def apply(self, prog: ct.converters.mil.Program) -> None:
        for function in prog.functions.values():
            self._apply(function)

    def _apply(self, block: Block) -> None:
        for op in list(block.operations):
            for inner in op.blocks:
                self._apply(inner)
            if op.op_type in ("const", "clip"):
                continue
            for parameter, var in op.inputs.items():
                if not is_float32_constant(var):
                    continue
                value = _bounded(np.asarray(var.val), _limit(op, parameter))
                if value is not None:
                    self._replace(op, var, value)

    def _replace(self, op: Operation, var: Var, value: np.ndarray) -> None:
        block = op.enclosing_block
        with block:
            fresh = mb.const(val=value if value.ndim else np.float32(value), before_op=op)
        block.replace_uses_of_var_after_op(anchor_op=fresh.op, old_var=var, new_var=fresh, end_op=op)


if _BOUND not in PASS_REGISTRY:
    register_pass(namespace="executorch")(bound_float16_sentinels)
