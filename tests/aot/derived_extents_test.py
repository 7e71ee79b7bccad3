"""Partitions that are handed tensors whose extents are expressions of symbols, such as 2*n: each has a range of its own in the model."""

from __future__ import annotations

import coremltools as ct
import pytest
import torch
from aot_lowering import calls, lower, outside
from executorch.runtime import Runtime
from running import difference, flat, module_of
from torch.export import Dim

N, M = Dim("n", max=16), Dim("m", max=9)
FROM_3 = Dim("n", min=3, max=16)


def rows(*sizes: int) -> list[tuple[torch.Tensor, ...]]:
    return [(torch.randn(size, 3),) for size in sizes]


def doubled(x):
    return torch.asinh(torch.cat([x, x]))


# Function, dynamic shapes, inputs, the ranges of the first extents of the inputs of one of its partitions.
PROGRAMS = {
    "twice": (lambda x: torch.sin(doubled(x)) * 2, ({0: N},), rows(4, 1, 2, 16), [(2, 32)]),
    "meets_what_is_made_inside": (
        lambda x: (doubled(x) + torch.cat([x, x * 2])).sum(0),
        ({0: N},),
        rows(4, 1, 7, 16),
        [(1, 16), (2, 32)],
    ),
    "multiplied": (lambda x: doubled(x).t() @ torch.cat([x, x * 2]), ({0: N},), rows(4, 1, 7, 16), [(1, 16), (2, 32)]),
    "split_by_its_half": (
        lambda x: doubled(x).reshape(x.shape[0], 2, 3).permute(1, 0, 2) * x,
        ({0: N},),
        rows(4, 1, 7, 16),
        [(1, 16), (2, 32)],
    ),
    "one_less": (lambda x: torch.sin(torch.asinh(x[1:])), ({0: FROM_3},), rows(4, 3, 16), [(2, 15)]),
    "every_second": (lambda x: torch.sin(torch.asinh(x[::2])), ({0: FROM_3},), rows(4, 3, 5, 16), [(2, 8)]),
    "inputs_of_the_program": (
        lambda x, y: torch.cat([x, x]) + y,
        ({0: N}, {0: 2 * N}),
        [(torch.randn(n, 3), torch.randn(2 * n, 3)) for n in (4, 1, 16)],
        [(1, 16), (2, 32)],
    ),
    "of_two_symbols": (
        lambda x, y: (torch.asinh(torch.cat([x, y])) + 1, torch.asinh(torch.cat([x, x, y])) * 2),
        ({0: N}, {0: M}),
        [(torch.randn(n, 3), torch.randn(m, 3)) for n in (4, 1, 16) for m in (2, 1, 9)],
        [(2, 25), (3, 41)],
    ),
}


@pytest.mark.parametrize("target", [ct.target.iOS15, ct.target.iOS18])
@pytest.mark.parametrize(("function", "dynamic", "inputs", "extents"), PROGRAMS.values(), ids=PROGRAMS)
def test_every_size_is_right(function, dynamic, inputs, extents, target):
    module = module_of(function, len(inputs[0]))
    edge = lower(module, inputs[0], dynamic=dynamic, minimum_deployment_target=target, compute_precision=ct.precision.FLOAT32)
    assert set(outside(edge)) <= {"aten.asinh.default"}
    found = [sorted((tensor.dimensions[0].min, tensor.dimensions[0].max) for tensor in c.function.inputs) for c in calls(edge)]
    assert extents in found
    program = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    method = program.load_method("forward")
    for values in inputs:
        for actual, expected in zip(method.execute(list(values)), flat(function(*values)), strict=True):
            assert difference(actual, expected) is None
