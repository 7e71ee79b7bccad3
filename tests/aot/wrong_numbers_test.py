"""What coremltools 9.0 computes wrongly: each fault is guarded, and each guard is needed.

Every row is run through the portable engine with the guard, where the result must be torch's, and lowered without it, where something must
go wrong: an exception, or other numbers. A row that passes without its guard says that the guard may go.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from typing import Any

import coremltools as ct
import executorch.backends.apple.coreml.runtime as coreml_runtime
import op_patterns
import pytest
import torch
from aot_lowering import call, calls, export, lower, outside
from executorch.backends.apple.coreml.compiler import corrections, corrections_arithmetic, op_rules, passes, trial
from executorch.backends.apple.coreml.compiler.compile_options import Options
from executorch.backends.apple.coreml.compiler.correction_table import Correction
from executorch.backends.apple.coreml.partition.constraints import Constraint
from executorch.backends.apple.coreml.partition.decompositions import Decomposition
from executorch.backends.apple.coreml.partition.support import NodeSupport, SkipList
from running import differences, execute, module_of

PATTERNS = {pattern.name: pattern for pattern in op_patterns.patterns()}
SMALLEST = torch.finfo(torch.float32).min


@dataclasses.dataclass(frozen=True)
class Row:
    """issue: of apple/coremltools. pattern: of op_patterns. correction: the op whose converter is replaced. constraint: the code of the row
    that keeps the call outside. mil: an op that is in the model without the guard, and not with it, where the fault is Core ML's own."""

    issue: int
    pattern: str
    correction: str = ""
    constraint: str = ""
    mil: str = ""


ROWS = (
    Row(2742, "pow_of_two", correction="pow", mil="pow"),
    Row(2742, "pow_integers_of_two_large", correction="pow", mil="pow"),
    Row(2762, "div_floor_one", correction="div"),
    Row(2762, "floor_divide_one_inside", correction="floor_divide"),
    Row(2773, "reciprocal_small", correction="reciprocal"),
    Row(2769, "atan2_axes", correction="atan2"),
    Row(2778, "dynamic_roll_negative", constraint="roll_dynamic", mil="range_1d"),
    Row(2779, "addmm_scaled", correction="addmm"),
    Row(2779, "baddbmm_scaled", correction="baddbmm"),
    Row(2565, "diagonal", correction="diagonal_copy"),
    Row(2682, "diagonal_offset", correction="diagonal_copy"),
    Row(2734, "div_trunc_large", correction="div"),
    Row(2734, "div_floor_large", correction="floor_divide"),
    Row(2735, "log2_of_integers", correction="log2"),
    Row(2735, "log10_of_integers", correction="log10"),
    Row(2673, "mm_int32", constraint="integer_matmul", mil="matmul"),
    Row(2569, "asinh", constraint="not_implemented"),
    Row(2674, "acosh", constraint="not_implemented"),
    Row(2573, "add_alpha", correction="add"),
    Row(2573, "sub_alpha", correction="sub"),
    Row(2573, "rsub_alpha", correction="rsub"),
    Row(2781, "prelu_rank_2", correction="prelu"),
    Row(2781, "prelu_rank_3", correction="prelu"),
    # Found by the property test (tests/operator_suite), without a report so far.
    Row(0, "all", correction="all"),
    Row(0, "cumsum_negative", correction="cumsum"),
    Row(0, "gelu_tanh", correction="gelu"),
    Row(0, "hardshrink", correction="where.scalarself"),
    Row(0, "roll_flat", correction="roll"),
    Row(0, "rsqrt_small", correction="rsqrt"),
    Row(0, "std", correction="std.correction"),
    Row(0, "var", correction="var.correction"),
    Row(0, "sin_of_integers", correction="sin"),
    Row(0, "where_elements", correction="where.self"),
    Row(0, "bitwise_and_of_integers", constraint="bitwise_integers"),
    Row(0, "interpolate_bilinear_antialias", correction="_upsample_bilinear2d_aa.vec"),
    Row(0, "attention_groups", constraint="grouped_attention"),
)


@contextlib.contextmanager
def without(row: Row, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        # The trial keeps outside what raises or has another type; what a guard is for is seen without it.
        patch.setattr(trial, "why_not_converted", lambda *arguments: None)
        if row.correction:
            corrections = op_rules.rules_of(Correction)
            left = [dataclasses.replace(rule, ops=tuple(op for op in rule.ops if op != row.correction)) for rule in corrections]
            assert left != corrections, f"no correction of {row.correction}"
            patch.setitem(op_rules.TABLE, Correction, left)
        else:
            kept = [rule for rule in op_rules.rules_of(Constraint) if rule.code != row.constraint]
            assert len(kept) < len(op_rules.rules_of(Constraint)), f"no constraint {row.constraint}"
            patch.setitem(op_rules.TABLE, Constraint, kept)
        yield


def _wrong(pattern: op_patterns.Pattern, mil: str = "") -> list[str]:
    module = module_of(pattern.function, len(pattern.inputs))
    edge = lower(module, pattern.inputs, dynamic=pattern.dynamic, compute_precision=ct.precision.FLOAT32)
    if mil and any(mil in lowered.mil_ops for lowered in calls(edge)):
        return [f"the model has {mil}"]
    return differences(edge, module, pattern.inputs)


def wrong_or_raised(row: Row) -> list[str]:
    """What is wrong with a row's model or result, or what was raised on the way to it."""
    try:
        return _wrong(PATTERNS[row.pattern], row.mil)
    except Exception as error:  # Whatever coremltools raises.
        return [repr(error)]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.issue}-{row.pattern}" for row in ROWS])
def test_guard(row: Row, monkeypatch: pytest.MonkeyPatch):
    logging.disable(logging.ERROR)
    try:
        assert _wrong(PATTERNS[row.pattern], row.mil) == []
        with without(row, monkeypatch):
            wrong = wrong_or_raised(row)
    finally:
        logging.disable(logging.NOTSET)
    assert wrong, f"coremltools {ct.__version__} does {row.pattern} right by itself: the guard may go"
    print(f"without the guard: {wrong[0][:160]}")


def test_coremltools_registry_is_not_touched():
    """Other users of coremltools get coremltools' converters, during a conversion as well."""
    from coremltools.converters.mil.frontend.torch import ops
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    def seen_during_a_conversion(context: Any, node: Any) -> None:
        seen.append(_TORCH_OPS_REGISTRY.get_func("reciprocal"))
        corrections_arithmetic.reciprocal(context, node)

    seen: list[Any] = []
    row = Correction(ops=("reciprocal",), converter=seen_during_a_conversion, reason="")
    op_rules.rules_of(Correction).insert(0, row)
    before = dict(_TORCH_OPS_REGISTRY.name_to_func_mapping)
    try:
        lower(lambda x: torch.reciprocal(x), (torch.ones(2),))
    finally:
        op_rules.rules_of(Correction).remove(row)
    assert seen
    assert all(converter is ops.reciprocal for converter in seen)
    assert _TORCH_OPS_REGISTRY.name_to_func_mapping == before


@pytest.mark.parametrize("name", ["tril_infinite", "triu_infinite"])
def test_2771_triangles_of_infinity(name: str, monkeypatch: pytest.MonkeyPatch):
    """ExecuTorch's decomposition selects, where coremltools subtracts infinity from infinity."""
    pattern = PATTERNS[name]
    assert _wrong(pattern) == []
    monkeypatch.setattr(trial, "why_not_converted", lambda *arguments: None)
    monkeypatch.setitem(op_rules.TABLE, Decomposition, [])
    kept = [rule for rule in op_rules.rules_of(Constraint) if rule.code != "triangle_of_infinity"]
    monkeypatch.setitem(op_rules.TABLE, Constraint, kept)
    with pytest.raises(AssertionError, match="not a core aten op"):
        _wrong(pattern)


def test_2774_narrow_with_a_negative_start():
    """torch.export leaves no narrow, and a slice with its start resolved."""
    pattern = PATTERNS["narrow_negative"]
    program = export(module_of(pattern.function, 1), pattern.inputs)
    assert not any("narrow" in str(node.target) for node in program.run_decompositions().graph.nodes)
    assert _wrong(pattern) == []


def test_2760_exclusive_cumsum_is_never_asked_for():
    """What coremltools folds wrongly is `cumsum(exclusive=True)`, which no torch op becomes."""
    lowered = call(lower(lambda x: torch.cumsum(x, 0) + torch.cumsum(torch.arange(3.0), 0), (torch.ones(3),)))
    (cumsum,) = (operation for operation in lowered.mil.operations if operation.type == "cumsum")
    constant = next(op for op in lowered.mil.operations if op.outputs[0].name == cumsum.inputs["exclusive"].arguments[0].name)
    assert list(constant.attributes["val"].immediateValue.tensor.bools.values) == [False]


def test_2714_randint_is_rejected():
    """ExecuTorch's edge dialect has no randint, so that nothing can be run: the table's answer is what there is to see."""
    program = export(lambda x: torch.randint(0, 3, (2, 2)) + x, (torch.ones(2, 2),))
    support = NodeSupport(program, Options.parse([]), SkipList(()))
    for node in program.graph.nodes:
        support.is_node_supported(None, node)
    assert [(r.op, r.code) for r in support.rejections.values()] == [("aten.randint.low", "randint")]


_MASKED: dict[str, Callable[..., Any]] = {
    "fill": lambda x, mask: torch.softmax(x.masked_fill(mask, SMALLEST), -1),
    "fill_1e9": lambda x, mask: torch.softmax(x.masked_fill(mask, -1e9), -1),
    "where": lambda x, mask: torch.softmax(x + torch.where(mask, SMALLEST, 0.0), -1),
    "product": lambda x, mask: torch.softmax(x + mask.float() * SMALLEST, -1),
}


@pytest.mark.parametrize("name", sorted(_MASKED))
def test_2669_float16_sentinels(name: str, monkeypatch: pytest.MonkeyPatch):
    """A row that is masked as a whole stays finite, and the others are what they are in float32."""
    x, mask = torch.randn(2, 4), torch.tensor([[True] * 4, [True, False, False, True]])
    module = module_of(_MASKED[name], 2)

    def run() -> torch.Tensor:
        return execute(lower(module, (x, mask)), (x, mask))[0]

    coreml_runtime.set_options(numeric_mode="float16")
    actual = run()
    assert torch.allclose(actual[1], module(x, mask)[1], atol=4e-3)
    assert torch.allclose(actual[0].sum(), torch.ones(()), atol=4e-3)
    monkeypatch.setattr(passes, "_bounded", lambda value, limit: None)
    without_bounds = run()
    coreml_runtime.set_options(numeric_mode="")
    assert without_bounds.isnan().any()


def test_constants_that_float16_does_not_hold_stay_float32_where_they_are_returned():
    x = torch.tensor([[True, False]])
    module = module_of(lambda mask: torch.where(mask, 1e6, 0.0), 1)
    edge = lower(module, (x,))
    assert outside(edge) == []
    assert differences(edge, module, (x,)) == []


def test_rows_step_aside_from_the_version_on_that_has_them_right(monkeypatch: pytest.MonkeyPatch):
    """tests/aot:next_coremltools_test runs them under such a version."""
    fixed = [row for row in op_rules.rules_of(Correction) if row.fixed_in]
    assert {op for row in fixed for op in row.ops} >= {"add", "sub", "rsub"}
    for row in fixed:
        for version, steps_aside in (("9.0", False), (row.fixed_in, True), ("9.1", True), ("10.0b1", True)):
            monkeypatch.setattr(ct, "__version__", version)
            assert all((corrections.converter_of(op) is None) is steps_aside for op in row.ops), (row.ops, version)


@pytest.mark.parametrize("function", [torch.exp, torch.abs, torch.sqrt, lambda c: torch.cos(c) + torch.rsqrt(c)])
def test_what_is_computed_of_a_known_half_is_one(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """To MIL it is a Python float, and a float32 from a pass on, beside halves."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("known", torch.tensor(0.5, dtype=torch.float16))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return function(self.known) * x, torch.fmod(x, function(self.known)), torch.fmod(x, -0.5)

    x = torch.tensor([1.5, -2.25, 0.75], dtype=torch.float16)
    edge = lower(Model(), (x,), minimum_deployment_target=ct.target.iOS16)
    assert outside(edge) == []
    for actual, wanted in zip(execute(edge, (x,)), Model()(x), strict=True):
        torch.testing.assert_close(actual, wanted, rtol=2 * 2**-10, atol=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean(),
        lambda x: torch.ops.aten.mean.dim(x, None, True),
        lambda x: torch.amax(x, ()),
        lambda x: torch.nan_to_num(x.sum() / 0, posinf=3.0, neginf=-3.0),
    ],
    ids=["mean", "mean of no dimensions", "amax", "nan_to_num of a number"],
)
def test_of_all_elements_behind_a_transposition(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """coremltools' pass over transposes read the axes of a reduction that names none; its nan_to_num scattered to places, of which a number has none."""
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    edge = lower(lambda x: function(x.permute(1, 0, 2)), (x,), compute_precision=ct.precision.FLOAT32)
    assert outside(edge) == []
    (actual,) = execute(edge, (x,))
    torch.testing.assert_close(actual, function(x.permute(1, 0, 2)), rtol=8 * 2**-23, atol=8 * 2**-23)
