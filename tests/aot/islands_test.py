"""Float32 islands: the ops that a float16 program computes in float32."""

from __future__ import annotations

import logging

import coremltools as ct
import executorch.backends.apple.coreml.runtime as coreml_runtime
import pytest
import torch
from aot_lowering import Call, call, lower
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler.compile_options import Options
from running import execute
from torch import nn

FLOAT32, FLOAT16 = 11, 10  # MIL_pb2.DataType


class Squares(nn.Module):
    """Sums of squares that float16 does not hold, and their roots, which it does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sqrt((x * x).sum(-1))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 4), Squares(), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x) * 400))


X = torch.ones(2, 4)


def dtypes(lowered: Call, kind: str) -> list[int]:
    return [op.outputs[0].type.tensorType.dataType for op in lowered.mil.operations if op.type == kind]


@pytest.mark.parametrize("entry", ["norm", "nor?", "Squares", "aten.sum.dim_IntList", "aten.sum", "reduce_sum"])
def test_an_entry_names_modules_classes_and_ops(entry: str):
    lowered = call(lower(Model(), (X,), float32_ops=[entry]))
    assert dtypes(lowered, "reduce_sum") == [FLOAT32]
    assert dtypes(lowered, "linear") == [FLOAT16, FLOAT16]


def test_without_islands_everything_is_float16():
    assert dtypes(call(lower(Model(), (X,))), "reduce_sum") == [FLOAT16]


def test_an_island_keeps_what_float16_does_not_hold():
    module = Model()
    nn.init.constant_(module.first.weight, 0.5)
    nn.init.zeros_(module.first.bias)
    nn.init.eye_(module.last.weight)
    nn.init.zeros_(module.last.bias)
    coreml_runtime.set_options(numeric_mode="float16")
    try:
        (without,) = execute(lower(module, (X,)), (X,))
        (with_island,) = execute(lower(module, (X,), float32_ops=["norm"]), (X,))
    finally:
        coreml_runtime.set_options(numeric_mode="")
    assert without.isinf().any() or without.isnan().any()
    assert torch.allclose(with_island, module(X), rtol=2e-3)


def test_an_entry_that_matches_nothing_is_named(caplog: pytest.LogCaptureFixture):
    logger = "executorch.backends.apple.coreml.compiler.coreml_preprocess"
    with caplog.at_level(logging.INFO, logger):
        lower(Model(), (X,), float32_ops=["norm", "attention"])
    assert "float32_ops: no op and no node of this partition has the name 'attention'." in caplog.text


def test_islands_in_a_float32_program_are_refused():
    specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision.FLOAT32, float32_ops=["norm"])
    with pytest.raises(ValueError, match="compute_precision is already FLOAT32"):
        Options.parse(specs)


def test_the_option_as_bytes():
    (spec,) = [s for s in CoreMLBackend.generate_compile_specs(float32_ops=["a", "b.*"]) if s.key == "float32_ops"]
    assert spec.value == b'["a", "b.*"]'
    assert Options.parse([spec]).float32_ops == ("a", "b.*")
    assert CoreMLBackend.float32_ops_from_compile_specs([]) == []
