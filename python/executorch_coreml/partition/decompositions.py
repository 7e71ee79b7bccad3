"""Ops that coremltools converts and that are better taken apart: rows of the rule table (compiler/op_rules.py).

An op that ExecuTorch would decompose is kept whole where every call of it can go to Core ML, since that mostly makes a better model. Not these.
"""

from __future__ import annotations

from executorch_coreml.compiler import op_rules


class Decomposition(op_rules.Rule):
    """ops: `namespace.name.overload`. reason: completes "taken apart because ..."."""


op_rules.add(
    Decomposition(
        ops=("aten.triu.default", "aten.tril.default"),
        reason="coremltools multiplies by a mask, which turns infinity into NaN, and ExecuTorch's decomposition selects",
        reference="https://github.com/apple/coremltools/issues/2771",
    ),
    Decomposition(
        ops=("aten.nan_to_num.default",),
        reason="coremltools scatters to the places that are not finite, which a number has none of, and ExecuTorch's decomposition selects",
    ),
    Decomposition(
        ops=("aten.repeat_interleave.self_int", "aten.repeat_interleave.self_Tensor"),
        reason="coremltools' conversion is slower than the decomposition",
    ),
)


def is_taken_apart(op: str) -> bool:
    """Whether a rule says so of an op, given as `namespace.name.overload`."""
    return any(op in rule.ops and rule.is_in_force for rule in op_rules.rules_of(Decomposition))
