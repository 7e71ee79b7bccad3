"""The programs of programs.py are right, or left outside where they say so: every target and precision, in both numeric modes of the engine.

By default each program runs in one configuration, which the seed chooses; with COREML_DELEGATE_FULL_TESTS=1 in all of its.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import logging
import os
from collections.abc import Iterator

import coremltools as ct
import executorch.backends.apple.coreml.runtime as coreml_runtime
import programs
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.node_facts import op_name
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
SEED = os.environ.get("COREML_DELEGATE_TEST_SEED", "1")
EPSILON = {"float32": 2.0**-23, "float16": 2.0**-10}
# Units of epsilon of the largest magnitude of a result, before a program's conditioning.
TOLERANCE = {"float32": 64.0, "float16": 8.0}


class OfFunction(torch.nn.Module):
    def __init__(self, program: programs.Program) -> None:
        super().__init__()
        self.function = copy.deepcopy(program.function)

    def forward(self, *inputs: torch.Tensor) -> object:
        return self.function(*inputs)


def _configurations(name: str, program: programs.Program) -> list[tuple[str, str]]:
    every = [(target, precision) for target in program.targets for precision in ("float32", "float16")]
    if FULL:
        return every
    drawn = int.from_bytes(hashlib.sha256(f"{SEED}:{name}".encode()).digest()[:4], "big")
    return [every[drawn % len(every)]]


def _cases() -> Iterator[object]:
    for name, program in programs.PROGRAMS.items():
        for target, precision in _configurations(name, program):
            yield pytest.param(program, target, precision, id=f"{name}-{target}-{precision}")


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)
    coreml_runtime.set_options(numeric_mode="float32")


def _flat(value: object) -> list[torch.Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _check(actual: torch.Tensor, expected: torch.Tensor, allowed: float) -> None:
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if not expected.is_floating_point():
        assert torch.equal(actual, expected), f"{actual.flatten()[:8].tolist()}, not {expected.flatten()[:8].tolist()}"
        return
    finite = expected.isfinite()
    torch.testing.assert_close(actual[~finite], expected[~finite], rtol=0, atol=0, equal_nan=True)
    if finite.any():
        worst = float((actual[finite].double() - expected[finite].double()).abs().max())
        assert worst <= allowed * float(expected[finite].double().abs().max()), f"{worst:.3g} off"


def _at_other_extents(program: programs.Program) -> list[tuple[torch.Tensor, ...]]:
    """The inputs with every flexible extent as small as it may be; nothing where none is flexible, or one is computed of another."""
    dims = [dim for shape in program.dynamic or () for dim in (shape or {}).values()]
    if not dims or not all(type(dim) is torch.export.Dim for dim in dims):
        return []
    return [
        tuple(
            functools.reduce(lambda t, part: t.narrow(part[0], 0, part[1].min), (shape or {}).items(), tensor).contiguous()
            for tensor, shape in zip(program.inputs, program.dynamic or (), strict=True)
        )
    ]


@pytest.mark.parametrize(("program", "target", "precision"), _cases())
def test_program(program: programs.Program, target: str, precision: str):
    module = OfFunction(program)
    dynamic = None if program.dynamic is None else (program.dynamic,)
    given = [program.inputs, *_at_other_extents(program)]
    expected = [_flat(copy.deepcopy(module)(*inputs)) for inputs in given]
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=getattr(ct.target, target), compute_precision=getattr(ct.precision, precision.upper())
    )
    edge = to_edge_transform_and_lower(
        torch.export.export(module.eval(), program.inputs, dynamic_shapes=dynamic),
        partitioner=[CoreMLPartitioner(compile_specs=specs)],
    )
    calls = [op_name(n.target) for n in edge.exported_program().graph.nodes if n.op == "call_function"]
    left = {name for name in calls if name not in ("executorch_call_delegate", "getitem")}
    assert left <= program.outside
    content = bytes(edge.to_executorch().buffer)
    for mode in ("float32", "float16"):
        coreml_runtime.set_options(numeric_mode=mode)
        method = Runtime.get().load_program(content).load_method("forward")
        half = precision == "float16" or any(tensor.dtype == torch.float16 for tensor in (*program.inputs, *expected[0]))
        unit = "float16" if half else "float32"
        for inputs, wanted in zip(given, expected, strict=True):
            for actual, one in zip(method.execute(list(inputs)), wanted, strict=True):
                _check(actual, one, TOLERANCE[unit] * EPSILON[unit] * program.conditioning)
