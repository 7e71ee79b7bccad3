"""Helpers of the lowering tests: lower a function, and look into what became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from coremltools.proto import MIL_pb2, Model_pb2
from executorch.backends.apple.coreml import blob
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir.lowered_backend_module import LoweredBackendModule

Inputs = tuple[torch.Tensor, ...]

SPEC_PATH = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS_PATH = "Data/com.apple.CoreML/weights/weight.bin"


class Unary(torch.nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


class Binary(torch.nn.Module):
    """A function of two tensors as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self.function(x, y)


class NoInputs(torch.nn.Module):
    def forward(self) -> torch.Tensor:
        return torch.ones(2) + 1


def export(what: torch.nn.Module | Callable[..., Any], inputs: Inputs, dynamic: Any = None) -> torch.export.ExportedProgram:
    if not isinstance(what, torch.nn.Module):
        what = Unary(what) if len(inputs) == 1 else Binary(what)
    return torch.export.export(what.eval(), inputs, dynamic_shapes=dynamic)


def lower(
    what: torch.nn.Module | Callable[..., Any] | torch.export.ExportedProgram | dict[str, torch.export.ExportedProgram],
    inputs: Inputs = (),
    *,
    dynamic: Any = None,
    specs: Sequence[Any] | None = None,
    partitioner: dict[str, Any] | None = None,
    **options: Any,
) -> EdgeProgramManager:
    """Lowers with the compile specs that `options` (or `specs`) say, and `partitioner`'s arguments."""
    programs = what if isinstance(what, (dict, torch.export.ExportedProgram)) else export(what, inputs, dynamic)
    specs = CoreMLBackend.generate_compile_specs(**options) if specs is None else list(specs)
    return to_edge_transform_and_lower(programs, partitioner=[CoreMLPartitioner(compile_specs=specs, **(partitioner or {}))])


@dataclasses.dataclass(frozen=True)
class Call:
    """A delegate call of a lowered program."""

    module: LoweredBackendModule
    blob: blob.Blob
    function_name: str
    named_data: dict[str, bytes]

    @property
    def function(self) -> blob.Function:
        return self.blob.function(self.function_name) if self.function_name else self.blob.functions[0]

    @property
    def spec(self) -> Model_pb2.Model:
        content = self.blob.file(SPEC_PATH).content
        return Model_pb2.Model.FromString(b"".join(content.chunks()))

    @property
    def mil(self) -> MIL_pb2.Block:
        function = self.spec.mlProgram.functions[self.function.name]
        return function.block_specializations[function.opset]

    @property
    def mil_ops(self) -> list[str]:
        return [operation.type for operation in self.mil.operations if operation.type != "const"]

    @property
    def mil_ranks(self) -> set[int]:
        """The numbers of dimensions of all values."""
        return {output.type.tensorType.rank for operation in self.mil.operations for output in operation.outputs}


def named_data(module: LoweredBackendModule) -> dict[str, bytes]:
    output = module.named_data_store_output
    if output is None:
        return {}
    found = {}
    for key, entry in output.pte_data.items():
        data = output.buffers[entry.buffer_index]
        found[key] = data if isinstance(data, bytes) else data.to_bytes()
    return found


def modules(edge: EdgeProgramManager, method: str = "forward") -> list[LoweredBackendModule]:
    graph_module = edge.exported_program(method).graph_module
    found = [getattr(graph_module, node.target) for node in graph_module.graph.nodes if node.op == "get_attr"]
    return [module for module in found if isinstance(module, LoweredBackendModule)]


def calls(edge: EdgeProgramManager, method: str = "forward") -> list[Call]:
    """The delegate calls of a method, each verified to the last byte."""
    found = []
    for module in modules(edge, method):
        data = named_data(module)
        content, name = blob.open_delegate_call(module.processed_bytes, named_data=data.get, verify_checksums=True)
        found.append(Call(module, content, name, data))
    return found


def call(edge: EdgeProgramManager, method: str = "forward") -> Call:
    """The only delegate call; fails when anything else is left in the method."""
    found = calls(edge, method)
    assert len(found) == 1
    assert outside(edge, method) == []
    return found[0]


def outside(edge: EdgeProgramManager, method: str = "forward") -> list[str]:
    """The ops that stayed outside Core ML."""
    return [
        node.target.__name__
        for node in edge.exported_program(method).graph.nodes
        if node.op == "call_function" and node.target.__name__ not in ("executorch_call_delegate", "getitem")
    ]
