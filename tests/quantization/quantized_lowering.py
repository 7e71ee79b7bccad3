"""Helpers of the quantization tests: quantize, lower, run on the portable engine, and look into the package."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (registers the delegate)
import torch
from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from coremltools.proto import MIL_pb2, Model_pb2
from executorch.backends.apple.coreml import blob
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.lowered_backend_module import LoweredBackendModule
from executorch.runtime import Runtime
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

# Without it the suites run a fixed sample.
FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))

FLOAT32, FLOAT16 = ct.precision.FLOAT32, ct.precision.FLOAT16
Inputs = tuple[torch.Tensor, ...]


def quantize(module: torch.nn.Module, inputs: Inputs, configuration: Mapping[str, Any], **options: Any) -> torch.fx.GraphModule:
    """The module, quantized with one configuration for all of it, calibrated with its inputs. options: the quantizer's."""
    config = LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(**configuration))
    prepared = prepare_pt2e(torch.export.export(module.eval(), inputs).module(), CoreMLQuantizer(config, **options))
    prepared(*inputs)
    return convert_pt2e(prepared)


@dataclasses.dataclass(frozen=True)
class Lowered:
    """A lowered program. `mil` is the main function of its only delegate call; nothing else is in the program."""

    pte: bytes
    mil: MIL_pb2.Block

    @property
    def ops(self) -> list[str]:
        return [op.type for op in self.mil.operations if op.type != "const"]

    def weights(self, op: str, argument: str) -> list[MIL_pb2.TensorType]:
        """The types of an argument of every op of a type."""
        types = {output.name: output.type.tensorType for o in self.mil.operations for output in o.outputs}
        found = []
        for operation in self.mil.operations:
            if operation.type != op:
                continue
            if argument in operation.attributes:
                found.append(operation.attributes[argument].type.tensorType)
            else:
                bound = operation.inputs[argument].arguments[0]
                found.append(bound.value.type.tensorType if bound.HasField("value") else types[bound.name])
        return found

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        program = Runtime.get().load_program(self.pte)
        return program.load_method("forward").execute(inputs)[0]


def lower(
    module: torch.nn.Module,
    inputs: Inputs,
    *,
    target: ct.target | None = ct.target.iOS17,
    precision: ct.precision = FLOAT32,
    specs: Sequence[Any] = (),
) -> Lowered:
    """Lowers to one delegate call; fails when anything is left outside it. specs: further compile specs."""
    options = CoreMLBackend.generate_compile_specs(minimum_deployment_target=target, compute_precision=precision) + list(specs)
    exported = torch.export.export(module, inputs)
    edge = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=options)])
    left = [n.target.__name__ for n in edge.exported_program().graph.nodes if n.op == "call_function"]
    assert sorted(set(left)) == ["executorch_call_delegate", "getitem"], left
    (delegate,) = [m for m in edge.exported_program().graph_module.modules() if isinstance(m, LoweredBackendModule)]
    stored = delegate.named_data_store_output
    named = {
        key: data if isinstance(data := stored.buffers[entry.buffer_index], bytes) else data.to_bytes()
        for key, entry in (stored.pte_data.items() if stored is not None else ())
    }
    content, _ = blob.open_delegate_call(delegate.processed_bytes, named_data=named.get, verify_checksums=True)
    spec = Model_pb2.Model.FromString(b"".join(content.file("Data/com.apple.CoreML/model.mlmodel").content.chunks()))
    function = spec.mlProgram.functions[content.functions[0].name]
    return Lowered(bytes(edge.to_executorch().buffer), function.block_specializations[function.opset])


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """||actual - expected||_2 / ||expected||_2."""
    return float((actual.double() - expected.double()).norm() / expected.double().norm())
