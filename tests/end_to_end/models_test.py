"""Real architectures, lowered to one delegate, run through ExecuTorch on the portable engine, compared with PyTorch.

Tolerances are l2-relative and in units of the epsilon of the program's dtype (2**-10 for float16, 2**-23 for float32); docs/engine.md has what
was measured. A failure prints the model, the precision and the difference; the zoo's seed is fixed, so it replays.
"""

from __future__ import annotations

import os

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401
import model_zoo
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

EPSILON = {"float16": 2.0**-10, "float32": 2.0**-23}
TOLERANCE_IN_EPSILONS = {"float16": 1.0, "float32": 16.0}
# PyTorch itself is 1.18 float16 epsilons from MiniLM once its weights are rounded to float16.
TOLERANCE_OF = {("minilm", "float16"): 1.5}

# The float16 package of every model is the default run's; float32 packages of the small ones too, of all with --config=full.
SMALL = ("sin", "conv_relu", "mobilenet_v2", "unet", "lstm", "minilm")
FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
CASES = [(name, "float16") for name in model_zoo.MODELS] + [(name, "float32") for name in model_zoo.MODELS if FULL or name in SMALL]
# Calls of a stateful model: each must see what the ones before left.
STATEFUL_STEPS = 4


def inputs_of_step(name: str, inputs: tuple[torch.Tensor, ...], step: int) -> tuple[torch.Tensor, ...]:
    """A decoder is given its next token at the next position; other models get the same inputs again."""
    if name != "llama_decode":
        return inputs
    ids, position = inputs
    return ((ids + 17 * step) % 4096, position + step)


def lower(entry: model_zoo.Entry, precision: str) -> torch.fx.GraphModule:
    module, inputs = entry.build()
    target = {"minimum_deployment_target": getattr(ct.target, entry.deployment_target)} if entry.deployment_target else {}
    specs = CoreMLBackend.generate_compile_specs(
        compute_precision=ct.precision.FLOAT16 if precision == "float16" else ct.precision.FLOAT32, **target
    )
    partitioner = CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=entry.stateful)
    return to_edge_transform_and_lower(torch.export.export(module, inputs), partitioner=[partitioner])


def relative_difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    actual, expected = actual.double().flatten(), expected.double().flatten()
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("name,precision", CASES, ids=[f"{name}-{precision}" for name, precision in CASES])
def test_agrees_with_torch(name: str, precision: str) -> None:
    entry = model_zoo.MODELS[name]
    with torch.no_grad():
        edge = lower(entry, precision)
        calls = [n for n in edge.exported_program().graph.nodes if n.op == "call_function"]
        delegates = [n for n in calls if "executorch_call_delegate" in str(n.target)]
        left = [str(n.target) for n in calls if n not in delegates and "getitem" not in str(n.target)]
        assert (len(delegates), left) == (1, []), f"{name}: {len(delegates)} delegates, left outside: {left}"

        program = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
        method = program.load_method("forward")
        module, inputs = entry.build()
        for step in range(STATEFUL_STEPS if entry.stateful else 1):
            arguments = inputs_of_step(name, inputs, step)
            expected = module(*arguments)
            expected = expected if isinstance(expected, (tuple, list)) else (expected,)
            actual = method.execute(arguments)
            assert len(actual) == len(expected)
            for index, (a, e) in enumerate(zip(actual, expected, strict=True)):
                assert a.shape == e.shape and a.dtype == e.dtype
                difference = relative_difference(a, e) / EPSILON[precision]
                print(f"{name} {precision} step {step} output {index}: {difference:.3f} epsilons l2-relative")
                assert difference <= TOLERANCE_OF.get((name, precision), TOLERANCE_IN_EPSILONS[precision])
