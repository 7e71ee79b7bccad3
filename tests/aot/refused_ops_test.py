"""Ops that ExecuTorch refuses are taken apart: the calls go to Core ML whole, and are right, at fixed and at flexible extents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import pytest
import torch
from aot_lowering import export, lower, outside
from executorch.backends.apple.coreml.partition import CoreMLPartitioner, refused_ops
from executorch.exir import to_edge
from running import execute
from torch.export import Dim

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
NAN = X.clone()
NAN[1, 2] = torch.nan
EQUAL = torch.tensor([[1.0, 3.0, 3.0, 2.0], [2.0, 2.0, 1.0, 2.0], [-1.0, -1.0, -2.0, 0.0]])
INTEGERS = torch.randint(-5, 6, (3, 4), generator=torch.Generator().manual_seed(1))
BOUNDARIES = torch.tensor([-1.0, 0.0, 0.5])

# The function of a tensor, whose outputs are tensors, and what it is tried with.
CASES: dict[str, tuple[Callable[[torch.Tensor], Any], torch.Tensor]] = {
    "cumprod": (lambda x: torch.cumprod(x, 1), X),
    "cumprod of columns": (lambda x: torch.cumprod(x, 0), X),
    "cumprod of integers": (lambda x: torch.cumprod(x, -1), INTEGERS),
    "cumprod to floats": (lambda x: torch.cumprod(x, 1, dtype=torch.float32), INTEGERS),
    "cumprod of many": (lambda x: torch.cumprod(x, 1), torch.rand(2, 192, generator=torch.Generator().manual_seed(2)) * 0.1 + 0.95),
    "logcumsumexp": (lambda x: torch.logcumsumexp(x * 30, -1), X),
    "logcumsumexp of infinities": (
        lambda x: torch.logcumsumexp(x.log(), -1),
        torch.tensor([[0.0, 0.0, 2.0, 0.0], [1.0, 0.0, 0.0, 3.0]]),
    ),
    "cummax": (lambda x: tuple(torch.cummax(x, 1)), X),
    "cummax of equals": (lambda x: tuple(torch.cummax(x, 1)), EQUAL),
    "cummax of NaN": (lambda x: tuple(torch.cummax(x, 1)), NAN),
    "cummax of integers": (lambda x: tuple(torch.cummax(x, 0)), INTEGERS),
    "cummin": (lambda x: tuple(torch.cummin(x, -1)), EQUAL),
    "bucketize": (lambda x: torch.bucketize(x, BOUNDARIES), X),
    "bucketize on a boundary": (lambda x: torch.bucketize(x, torch.tensor([1.0, 2.0]), right=True, out_int32=True), EQUAL),
    "bucketize of NaN": (lambda x: torch.bucketize(x, BOUNDARIES), NAN),
    "searchsorted in rows": (lambda x: torch.searchsorted(x.sort(-1)[0], x * 1.1, side="right"), X),
    "searchsorted of integers": (lambda x: torch.searchsorted(torch.tensor([-3, 0, 2]), x), INTEGERS),
    "searchsorted by a sorter": (lambda x: torch.searchsorted(BOUNDARIES.flip(0), x, sorter=torch.tensor([2, 1, 0])), X),
    "searchsorted of a number": (lambda x: torch.searchsorted(x.sort(-1)[0][0], 0.25, right=True), X),
    "bucketize of a number": (lambda x: torch.bucketize(0.25, x.sort(-1)[0][1]), X),
    "kthvalue": (lambda x: tuple(torch.kthvalue(x, 2)), X),
    "kthvalue of columns": (lambda x: tuple(torch.kthvalue(x, 3, 0, True)), X),
    "median": (lambda x: tuple(torch.median(x, 1)), X),
    "median of columns": (lambda x: tuple(torch.median(x, 0, keepdim=True)), X),
    "median of NaN": (lambda x: tuple(torch.median(x, 1)), NAN),
    "median of all": (lambda x: torch.median(x), X),
    "var_mean": (lambda x: torch.var_mean(x, 1), X),
    "var_mean with a correction": (lambda x: torch.var_mean(x, dim=(0, 1), correction=0, keepdim=True), X),
    "std_mean": (lambda x: torch.std_mean(x), X),
    "std_mean, biased": (lambda x: torch.std_mean(x, dim=1, unbiased=False), X),
    "ldexp": (lambda x: torch.ldexp(x, torch.tensor([[1], [-2], [3]])), X),
    "inv": (lambda x: torch.linalg.inv(x @ x.mT + torch.eye(3)), X),
    "inverse that needs its rows exchanged": (lambda x: torch.inverse((x @ x.mT + torch.eye(3)).flip(0)), X),
    "inverses": (lambda x: torch.linalg.inv(torch.stack([x @ x.mT, 2 * x @ x.mT]) + torch.eye(3)), X),
    "det": (lambda x: torch.linalg.det(0.3 * x @ x.mT), X),
    "det of older programs": (lambda x: torch.det((0.2 * x @ x.mT)[:2, 1:]), X),
    "solve": (lambda x: torch.linalg.solve(x @ x.mT + torch.eye(3), x), X),
    "solve for a vector": (lambda x: torch.linalg.solve(x @ x.mT + torch.eye(3), x.sum(1)), X),
    "dist": (lambda x: torch.dist(x, x * 2 + 1, 3.0), X),
}
FLEXIBLE = ({1: Dim("n", min=1, max=256)},)


def _longer(x: torch.Tensor) -> torch.Tensor:
    """Seven columns; the further reals are equal to none before, since torch says nothing of the order of equals."""
    further = x * 0.83 + 0.31 if x.is_floating_point() else x
    return torch.cat([x, further], 1)[:, :7].contiguous()


@pytest.mark.parametrize("flexible", [False, True], ids=["fixed", "flexible"])
@pytest.mark.parametrize("case", CASES)
def test_refused_ops(case: str, flexible: bool) -> None:
    function, x = CASES[case]
    precision = {"compute_precision": ct.precision.FLOAT32, "minimum_deployment_target": ct.target.iOS17}
    edge = lower(function, (x,), dynamic=FLEXIBLE if flexible else None, **precision)
    assert outside(edge) == []
    for given in [x, _longer(x)] if flexible else [x]:
        expected = torch.utils._pytree.tree_leaves(function(given))
        for actual, wanted in zip(execute(edge, (given,)), expected, strict=True):
            # Core ML has no numbers of rank 0; 8 rounding errors of float32, or one of each factor of a product.
            actual = actual.reshape(wanted.shape).to(wanted.dtype)
            bound = max(8, given.shape[-1]) * 2**-23
            torch.testing.assert_close(actual, wanted, rtol=bound, atol=bound, equal_nan=True)


def test_each_row_is_needed() -> None:
    """ExecuTorch alone refuses a call of every op of the table; a row whose op it takes has to go."""
    tried = set()
    for function, x in CASES.values():
        program = export(function, (x,)).run_decompositions({})
        ops = {node.target for node in program.graph.nodes if node.op == "call_function"} & refused_ops._TABLE.keys()
        assert ops, function
        tried |= ops
        with pytest.raises(Exception, match="not in Core ATen opset"):
            to_edge(program)
    # Other overloads of what is tried.
    assert {op._schema.name for op in refused_ops._TABLE} == {op._schema.name for op in tried}


def test_a_program_without_them_is_left_alone() -> None:
    program = export(lambda x: x.cumsum(1), (X,))
    assert CoreMLPartitioner().transform_for_pre_decomposition(program) is program


def test_a_long_running_product_takes_few_steps() -> None:
    """As of the samples along a ray: no element is compared with each other one."""
    x = torch.rand(4096, 192, generator=torch.Generator().manual_seed(3)) * 0.1 + 0.9
    edge = lower(lambda x: torch.cumprod(x, 1), (x,), compute_precision=ct.precision.FLOAT32)
    largest = max(
        node.meta["val"].numel()
        for node in export(lambda x: torch.cumprod(x, 1), (x,)).run_decompositions(dict(refused_ops._TABLE)).graph.nodes
        if isinstance(node.meta.get("val"), torch.Tensor)
    )
    assert largest == x.numel()
    (actual,) = execute(edge, (x,))
    torch.testing.assert_close(actual, x.cumprod(1), rtol=192 * 2**-23, atol=0)


def test_in_a_branch() -> None:
    edge = lower(
        lambda x: torch.cond(x.sum() > 0, lambda x: torch.cumprod(x, 1), lambda x: torch.cummax(x, 1)[0], (x,)), (X,),
        compute_precision=ct.precision.FLOAT32,
    )  # fmt: skip
    for given, expected in ((X.abs(), X.abs().cumprod(1)), (-X.abs(), (-X.abs()).cummax(1)[0])):
        (actual,) = execute(edge, (given,))
        torch.testing.assert_close(actual, expected, rtol=8 * 2**-23, atol=8 * 2**-23)
