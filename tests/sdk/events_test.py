"""What the delegate records in an ETDump, read with ExecuTorch's own tools: Inspector, ETRecord, numeric gap, delegation info."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from typing import Any

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  registers the backend
import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler.coreml_preprocess import MULTIMETHOD_WEIGHT_SHARING_STRATEGY
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk import profiling
from executorch.devtools import Inspector
from executorch.devtools.backend_debug import get_delegation_info
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.lowered_backend_module import get_lowered_submodules
from executorch.extension.pybindings import portable_lib

EXECUTIONS = 20


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 32, 3)
        self.second = torch.nn.Conv2d(32, 32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.sigmoid(self.second(torch.sigmoid(self.first(x))))
        return torch.cumsum(h, 2)


class Lowered:
    """The model as a program, what ExecuTorch knows of it, and an ETDump with values of a run."""

    def __init__(self, precision: ct.precision, folder: pathlib.Path) -> None:
        torch.manual_seed(0)
        self.module = Model().eval()
        self.input = torch.randn(1, 3, 96, 96)
        specs = CoreMLBackend.generate_compile_specs(compute_precision=precision)
        partitioner = CoreMLPartitioner(compile_specs=specs, skip_ops_for_coreml_delegation=["aten.cumsum.default"])
        edge = to_edge_transform_and_lower(
            torch.export.export(self.module, (self.input,)), partitioner=[partitioner], generate_etrecord=True
        )
        self.delegation = get_delegation_info(edge.exported_program().graph_module)
        program = edge.to_executorch()
        self.path = folder / "model.pte"
        self.path.write_bytes(bytes(program.buffer))
        record = program.get_etrecord()
        record.update_representative_inputs([self.input])
        record.save(str(folder / "etrecord.bin"))
        runtime = portable_lib._load_for_executorch(str(self.path), enable_etdump=True, debug_buffer_size=64_000_000)
        (self.output,) = runtime.run_method("forward", [self.input])
        runtime.write_etdump_result_to_file(str(folder / "etdump"), str(folder / "values"))
        self.inspector = Inspector(
            etdump_path=str(folder / "etdump"), etrecord=str(folder / "etrecord.bin"), debug_buffer_path=str(folder / "values")
        )

    def events(self) -> list[Any]:
        return [event for block in self.inspector.event_blocks for event in block.events]


@pytest.fixture(scope="module", params=["float32", "float16"])
def lowered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    return Lowered(ct.precision(request.param), tmp_path_factory.mktemp("events"))


def test_stages_and_operations_are_recorded(lowered) -> None:
    names = [event.name for event in lowered.events()]
    for stage in ("compile main", "load main", "execute main", "DELEGATE_CALL"):
        assert stage in names
    operations = [event for event in lowered.events() if event.is_delegated_op and ":" in event.name]
    assert {"conv", "sigmoid"} <= {event.name.rpartition(":")[2] for event in operations}


def test_debug_handles_lead_to_the_edge_operators(lowered) -> None:
    for event in lowered.events():
        if not event.is_delegated_op:
            continue
        kind = event.name.rpartition(":")[2]
        if kind in ("conv", "sigmoid"):
            operator = {"conv": "aten.conv2d.default", "sigmoid": "aten.sigmoid.default"}[kind]
            assert event.op_types == [operator], event.name
            assert len(event.debug_handles) == 1
        # What the engine added belongs to no operator, whatever its name looks like.
        elif ":" not in event.name:
            assert not event.op_types, event.name


def test_intermediate_values_are_those_of_the_model(lowered) -> None:
    expected = torch.sigmoid(lowered.module.first(lowered.input)).detach()
    found = [e.debug_data for e in lowered.events() if e.is_delegated_op and e.name.endswith(":sigmoid") and e.debug_data]
    assert len(found) == 2
    (value,) = next(data for data in found if data[0].shape == expected.shape)
    assert value.dtype == torch.float32  # ETDump has no float16.
    torch.testing.assert_close(value, expected, rtol=0, atol=2e-3)


def test_numeric_gap(lowered) -> None:
    gap = lowered.inspector.calculate_numeric_gap("MSE")
    operators = [name for names in gap["aot_ops"] for name in names]
    assert {"conv2d", "conv2d_1", "sigmoid", "sigmoid_1", "cumsum"} == set(operators)
    assert all(np.max(value) < 1e-4 for value in gap["gap"])


def test_delegation_info(lowered) -> None:
    assert lowered.delegation.num_delegated_subgraphs == 1
    assert lowered.delegation.num_delegated_nodes == 4
    counts = lowered.delegation.delegation_by_operator["aten_cumsum_default"]
    assert (counts.delegated, counts.non_delegated) == (0, 1)


def test_operations_add_up_to_the_execution(lowered) -> None:
    """Within 10 %, in an execution that the machine did not interrupt."""
    measured = profiling.profile(lowered.path, {}, executions=EXECUTIONS, threads=2)
    operations = sum(operation.seconds for operation in measured.operations)
    assert np.max(operations / measured.engine_seconds) > 0.9
    # A time in the nth execution is known to n microseconds.
    slack = 2e-6 * EXECUTIONS * len(measured.operations)
    assert np.all(operations <= measured.engine_seconds + slack)
    assert np.all(measured.engine_seconds <= measured.delegate_seconds)
    assert np.all(measured.delegate_seconds <= measured.method_seconds)
    assert [outside.name for outside in measured.outside] == ["cumsum.out"]


class Face(torch.nn.Module):
    """The first layers of MTCNN: on small images what the engine adds between them takes about as long as it can tell."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 28, 3),
            torch.nn.PReLU(28),
            torch.nn.MaxPool2d(3, 2, ceil_mode=True),
            torch.nn.Conv2d(28, 48, 3),
            torch.nn.PReLU(48),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layers(x), dim=1)


def test_every_execution_is_measured(tmp_path) -> None:
    """Inspector makes several blocks of one name where the engine reports other operations in one run than in another."""
    torch.manual_seed(0)
    exported = torch.export.export(Face().eval(), (torch.randn(4, 3, 24, 24),))
    path = tmp_path / "face.pte"
    path.write_bytes(
        bytes(to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner()]).to_executorch().buffer),
    )
    measured = profiling.profile(path, {}, executions=EXECUTIONS, threads=2)
    for seconds in (measured.method_seconds, measured.delegate_seconds, measured.engine_seconds):
        assert seconds.shape == (EXECUTIONS,)
        assert np.all(seconds > 0), seconds


def test_runs_in_several_blocks_are_put_together() -> None:
    def event(name: str, milliseconds: list[float], instruction: int | None = 1) -> SimpleNamespace:
        perf_data = SimpleNamespace(raw=milliseconds)
        return SimpleNamespace(name=name, perf_data=perf_data, is_delegated_op=name.endswith(":relu"), _instruction_id=instruction)

    blocks = [
        SimpleNamespace(events=[event("load main", [250.0], None), event("load main", [250.0], 2)]),
        SimpleNamespace(events=[event("Method::execute", [9.0, 3.0], None), event("x:relu", [1.0, 2.0])]),
        SimpleNamespace(events=[event("Method::execute", [4.0], None)]),
        SimpleNamespace(events=[event("Method::execute", [5.0], None), event("x:relu", [3.0]), event("x:relu", [4.0], 7)]),
    ]
    loading, timed = profiling._of_all_runs(blocks, 4)
    assert loading == {"load main": 0.5}
    np.testing.assert_allclose(timed["Method::execute", False, None], [9e-3, 3e-3, 4e-3, 5e-3])
    np.testing.assert_allclose(timed["x:relu", True, 1], [1e-3, 2e-3, 0, 3e-3])
    np.testing.assert_allclose(timed["x:relu", True, 7], [0, 0, 0, 4e-3])
    assert len(timed) == 3


class Activation(torch.nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x * 2 + 1)


@pytest.mark.parametrize("form", ["both", "inmemoryfs"])
def test_methods_that_are_functions_of_one_model_have_debug_handles(form, tmp_path) -> None:
    """The events of each method lead to the nodes of that method. (ExecuTorch's Inspector takes no ETRecord of several methods.)"""
    x = torch.ones(2, 3)
    functions = {"forward": torch.sigmoid, "other": torch.tanh}
    programs = {name: torch.export.export(Activation(function), (x,)) for name, function in functions.items()}
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18, blob_format=form)
    specs.append(
        CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL)
    )
    partitioner = CoreMLPartitioner(compile_specs=specs)
    edge = to_edge_transform_and_lower(programs, partitioner={name: [partitioner] for name in programs})
    program = edge.to_executorch()
    path = tmp_path / "model.pte"
    path.write_bytes(bytes(program.buffer))
    for method, kind in (("forward", "sigmoid"), ("other", "tanh")):
        ((_, module, _),) = get_lowered_submodules(edge.exported_program(method).graph_module)
        nodes = {node.meta["debug_handle"]: node.name for node in module.original_module.graph.nodes if node.op == "call_function"}
        ((_, delegate),) = program.delegate_map[method].items()
        runtime = portable_lib._load_for_executorch(str(path), enable_etdump=True)
        runtime.run_method(method, [x])
        runtime.write_etdump_result_to_file(str(tmp_path / "etdump"))
        events = [e for block in Inspector(etdump_path=str(tmp_path / "etdump")).event_blocks for e in block.events]
        (event,) = (event for event in events if event.is_delegated_op and event.name.endswith(f":{kind}"))
        (handle,) = delegate["delegate_map"][event.name]
        assert kind in nodes[handle]
