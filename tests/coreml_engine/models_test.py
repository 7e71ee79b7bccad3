"""Real architectures on the Core ML engine: over our framework for GNUstep, which executes with the portable engine, results are that engine's bit
for bit. States are carried from call to call.

The small models by default, all of the zoo with --config=full.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

import coremltools as ct
import executorch.extension.pybindings.portable_lib  # noqa: F401  First: the delegate uses its libexecutorch.
import model_zoo
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

SMALL = ("sin", "conv_relu", "mobilenet_v2", "llama_decode")
FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
NAMES = list(model_zoo.MODELS) if FULL else list(SMALL)
STATEFUL_STEPS = 3

LIBRARY = ctypes.CDLL("tests/coreml_engine/libdelegate_with_both_engines.so")
LIBRARY.coreml_delegate_test_last_error.restype = ctypes.c_char_p


def inputs_of_step(name: str, inputs: Sequence[torch.Tensor], step: int) -> Sequence[torch.Tensor]:
    if name != "llama_decode":
        return inputs
    ids, position = inputs
    return ((ids + 17 * step) % 4096, position + step)


def run(engine: str, name: str, program: bytes, inputs: Sequence[torch.Tensor], steps: int) -> list[torch.Tensor]:
    assert LIBRARY.coreml_delegate_test_use_engine(engine.encode()) == 0
    try:
        method = Runtime.get().load_program(program).load_method("forward")
        return [tensor.clone() for step in range(steps) for tensor in method.execute(inputs_of_step(name, inputs, step))]
    except RuntimeError as error:
        raise AssertionError(LIBRARY.coreml_delegate_test_last_error().decode()) from error


@pytest.mark.parametrize("name", NAMES)
def test_both_engines_give_the_same_bits(name: str) -> None:
    entry = model_zoo.MODELS[name]
    target = {"minimum_deployment_target": getattr(ct.target, entry.deployment_target)} if entry.deployment_target else {}
    with torch.no_grad():
        module, inputs = entry.build()
        specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision.FLOAT16, **target)
        partitioner = CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=entry.stateful)
        edge = to_edge_transform_and_lower(torch.export.export(module, inputs), partitioner=[partitioner])
        program = bytes(edge.to_executorch().buffer)
        steps = STATEFUL_STEPS if entry.stateful else 1
        expected = run("portable", name, program, inputs, steps)
        actual = run("coreml", name, program, inputs, steps)
    assert len(actual) == len(expected) > 0
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert a.shape == e.shape
        assert torch.equal(a, e)
    # The prefill starts at its first position in every step; what decodes sees what the steps before have written.
    if name == "llama_decode":
        assert not torch.equal(expected[0], expected[-1]), "the steps differ, else states would prove nothing"
