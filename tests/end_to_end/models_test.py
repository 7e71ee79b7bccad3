"""Real architectures, lowered to one delegate, run through ExecuTorch on the portable engine, compared with PyTorch.

Tolerances are l2-relative and in units of the epsilon of the program's dtype (2**-10 for float16, 2**-23 for float32); docs/engine.md has what
was measured. A failure prints the model, the precision and the difference; the zoo's seed is fixed, so it replays.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401
import model_zoo
import pytest
import stock_reader
import torch
from executorch.backends.apple.coreml import blob
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Method, Runtime

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


def stock_method(program: bytes, folder: pathlib.Path) -> Method:
    """The method as ExecuTorch's stock runtime sees it: extracted by the wheel's own reader, and written in the stock form.

    Asserts that both readers see the same files, those of our blob, and that the blob is hardly larger for it.
    """
    stock = stock_reader.load_module()
    extracted = stock_reader.extract(program, folder / "stock", stock)
    (data,) = stock_reader.deserialize_pte_binary(program).program.backend_delegate_data
    content = blob.read_blob(bytes(data.data), verify_checksums=True)
    (root,) = extracted
    found = stock_reader.files(root)
    assert found == stock_reader.files(stock_reader.extract(program, folder / "ours", stock_reader.ours)[0])
    in_blob = {f"model.mlpackage/{file.path}": b"".join(file.content.chunks()) for file in content.files}
    assert {path: text for path, text in found.items() if path.startswith("model.mlpackage/")} == in_blob
    assert found.keys() - in_blob.keys() == {"metadata.json", "debug_info.json"}
    (function,) = content.functions
    metadata = json.loads(found["metadata.json"])
    assert metadata["inputNames"] == [tensor.name for tensor in function.inputs]
    assert metadata["outputNames"] == [tensor.name for tensor in function.outputs]
    growth = len(data.data) - len(blob.to_bytes(dataclasses.replace(content, for_stock_runtime=False)))
    print(f"for both runtimes: {growth} bytes more than {len(data.data) - growth}")
    assert growth < max(len(data.data) * 0.001, 8 << 10)
    rewritten = stock_reader.as_the_stock_exporter_writes_it(program, extracted, stock)
    (rewritten_data,) = stock_reader.deserialize_pte_binary(rewritten).program.backend_delegate_data
    assert (bytes(data.data)[8:12], bytes(rewritten_data.data)[8:12] == b"CMLB") == (b"CMLB", False)
    return Runtime.get().load_program(rewritten).load_method("forward")


def relative_difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    actual, expected = actual.double().flatten(), expected.double().flatten()
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("name,precision", CASES, ids=[f"{name}-{precision}" for name, precision in CASES])
def test_agrees_with_torch(name: str, precision: str, tmp_path: pathlib.Path) -> None:
    entry = model_zoo.MODELS[name]
    with torch.no_grad():
        edge = lower(entry, precision)
        calls = [n for n in edge.exported_program().graph.nodes if n.op == "call_function"]
        delegates = [n for n in calls if "executorch_call_delegate" in str(n.target)]
        left = [str(n.target) for n in calls if n not in delegates and "getitem" not in str(n.target)]
        assert (len(delegates), left) == (1, []), f"{name}: {len(delegates)} delegates, left outside: {left}"

        buffer = bytes(edge.to_executorch().buffer)
        method = Runtime.get().load_program(buffer).load_method("forward")
        # Every model is lowered in float16 by default, and one precision is proof enough.
        stock = stock_method(buffer, tmp_path) if precision == "float16" else None
        module, inputs = entry.build()
        for step in range(STATEFUL_STEPS if entry.stateful else 1):
            arguments = inputs_of_step(name, inputs, step)
            expected = module(*arguments)
            expected = expected if isinstance(expected, (tuple, list)) else (expected,)
            actual = method.execute(arguments)
            assert len(actual) == len(expected)
            for a, s in zip(actual, stock.execute(arguments) if stock else actual, strict=True):
                assert a.numpy().tobytes() == s.numpy().tobytes(), f"{name}: what the stock runtime would run gives other bits"
            for index, (a, e) in enumerate(zip(actual, expected, strict=True)):
                assert a.shape == e.shape and a.dtype == e.dtype
                difference = relative_difference(a, e) / EPSILON[precision]
                print(f"{name} {precision} step {step} output {index}: {difference:.3f} epsilons l2-relative")
                assert difference <= TOLERANCE_OF.get((name, precision), TOLERANCE_IN_EPSILONS[precision])
