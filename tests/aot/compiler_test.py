"""What the compiler makes of a partition: names, dtypes and shapes in the blob, states, weights, formats, and what it refuses."""

from __future__ import annotations

import copy
import gc
import io
import json
import logging
import pathlib
import re
import sys
import tempfile

import coremltools as ct
import numpy as np
import pytest
import torch
from aot_lowering import SPEC_PATH, WEIGHTS_PATH, NoInputs, Unary, call, calls, export, lower, modules, named_data, outside
from coremltools.converters.mil.backend.mil import load
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil.passes.defs.quantization import FP16ComputePrecision
from executorch.backends.apple.coreml import blob, executorchcoreml
from executorch.backends.apple.coreml.compiler import CoreMLBackend, cast_passes, coremltools_driver, lowering
from executorch.backends.apple.coreml.compiler.coreml_preprocess import MULTIMETHOD_WEIGHT_SHARING_STRATEGY
from executorch.backends.apple.coreml.compiler.progress import stage
from executorch.exir import to_edge
from running import differences
from torch import nn
from torch.export import Dim

IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18
X = torch.arange(6, dtype=torch.float32).reshape(2, 3)


def fixed(*extents: int) -> tuple[blob.Dimension, ...]:
    return tuple(blob.Dimension.fixed(extent) for extent in extents)


class Accumulator(nn.Module):
    """Adds its input to a buffer and returns twice the sum."""

    def __init__(self, initial: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("total", initial)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total * 2


# --- The function's description.


def test_sin():
    lowered = call(lower(torch.sin, (torch.randn(1),)))
    assert lowered.module.backend_id == "CoreMLBackend"
    assert lowered.blob.kind == blob.Kind.PACKAGE
    assert lowered.blob.specification_version == 6
    assert lowered.blob.request == blob.Request("all", "float16", "")
    assert lowered.blob.producer == "executorch.backends.apple.coreml"
    assert [name for name, _ in lowered.blob.producer_versions] == ["coremltools", "executorch", "torch"]
    function = lowered.function
    assert (function.name, function.method) == ("main", "forward")
    assert [(t.dtype, t.dimensions) for t in function.inputs] == [(blob.DataType.FLOAT32, fixed(1))]
    assert [(t.dtype, t.dimensions) for t in function.outputs] == [(blob.DataType.FLOAT32, fixed(1))]
    assert [t.name for t in function.inputs] == [f.name for f in lowered.spec.description.input]
    assert [t.name for t in function.outputs] == [f.name for f in lowered.spec.description.output]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bool, blob.DataType.BOOL),
        (torch.int32, blob.DataType.INT32),
        (torch.int64, blob.DataType.INT64),
        (torch.float32, blob.DataType.FLOAT32),
    ],
)
def test_dtypes_are_executorchs(dtype, expected):
    lowered = call(lower(lambda x: torch.cat([x, x]), (torch.ones(2, 3, dtype=dtype),)))
    assert lowered.function.inputs[0].dtype == expected
    assert lowered.function.outputs[0].dtype == expected


def test_scalars_have_rank_zero():
    lowered = call(lower(lambda x, y: x * y, (torch.tensor(2.0), torch.tensor(3.0))))
    assert [t.dimensions for t in lowered.function.inputs] == [(), ()]
    assert [t.dimensions for t in lowered.function.outputs] == [()]


def test_float32_outputs_stay_float32_from_ios16_on():
    lowered = call(lower(lambda x: x + 1, (X,), minimum_deployment_target=IOS16))
    multi_array = lowered.spec.description.output[0].type.multiArrayType
    assert multi_array.dataType == multi_array.FLOAT32
    assert lowered.blob.request.deployment_target == "iOS16"


def test_dim_with_minimum_one_accepts_batch_one():
    dynamic = ({0: Dim("n", min=1, max=16)},)
    lowered = call(lower(lambda x: torch.cat([x, x]) + 1, (torch.randn(4, 3),), dynamic=dynamic))
    assert lowered.function.inputs[0].dimensions == (blob.Dimension(1, 16), blob.Dimension(3, 3))
    assert lowered.function.outputs[0].dimensions == (blob.Dimension(2, 32), blob.Dimension(3, 3))
    sizes = lowered.spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    assert (sizes[0].lowerBound, sizes[0].upperBound) == (1, 16)


def test_torch_export_still_makes_two_of_a_lower_bound_of_one():
    """Why signature.py and conversion.py take a lower bound of 2 for 1. When this fails, a bound of 2 means 2."""
    program = export(Unary(lambda x: x + 1), (torch.randn(4, 3),), ({0: Dim("n", min=1, max=16)},))
    # torch says 1; the symbols that it made say 2, and so does every program that ExecuTorch makes of this one.
    (bounds,) = to_edge(program).exported_program().range_constraints.values()
    assert (bounds.lower, bounds.upper) == (2, 16)


def test_dim_without_maximum_is_unbounded():
    lowered = call(lower(lambda x: x + 1, (torch.randn(4, 3),), dynamic=({0: Dim("n")},)))
    assert lowered.function.inputs[0].dimensions[0] == blob.Dimension(1, blob.UNBOUNDED)


def test_enumerated_shapes():
    program = export(Unary(lambda x: x + 1), (torch.randn(4, 3),), ({0: Dim("n", min=2, max=8)},))
    specs = CoreMLBackend.generate_compile_specs()
    specs.append(CoreMLBackend.generate_enumerated_shapes_compile_spec(program, {"x": [[1, 3], [4, 3], [8, 3]]}))
    lowered = call(lower(program, specs=specs, partitioner={"lower_full_graph": True}))
    assert lowered.function.inputs[0].enumerated_shapes == ((1, 3), (4, 3), (8, 3))
    assert lowered.function.inputs[0].dimensions == (blob.Dimension(1, 8), blob.Dimension(3, 3))
    shapes = lowered.spec.description.input[0].type.multiArrayType.enumeratedShapes.shapes
    assert [list(shape.shape) for shape in shapes] == [[1, 3], [4, 3], [8, 3]]


def test_two_enumerated_inputs_need_ios18():
    dims = ({0: Dim("n", min=2, max=8)}, {0: Dim("m", min=2, max=8)})
    program = export(lambda x, y: x.sum() + y, (torch.randn(4, 3), torch.randn(5, 3)), dims)
    shape_spec = CoreMLBackend.generate_enumerated_shapes_compile_spec(program, {"x": [[2, 3], [4, 3]], "y": [[3, 3], [5, 3]]})
    for target in (IOS17, IOS18):
        specs = [*CoreMLBackend.generate_compile_specs(minimum_deployment_target=target), shape_spec]
        if target == IOS18:
            lowered = call(lower(program, specs=specs, partitioner={"lower_full_graph": True}))
            assert [t.enumerated_shapes for t in lowered.function.inputs] == [((2, 3), (4, 3)), ((3, 3), (5, 3))]
        else:
            with pytest.raises(ValueError, match="Multiple enumerated inputs requires iOS18"):
                lower(program, specs=specs, partitioner={"lower_full_graph": True})


# --- Outputs that MIL merges.


def _same_twice(x):
    h = torch.relu(x)
    return h, h.clone()


def _relu_of_relu(x):
    h = torch.relu(x)
    return h, torch.relu(h), h + 1


def _input_returned(x):
    return x.clone(), x + 1


@pytest.mark.parametrize("function", [_same_twice, _relu_of_relu, _input_returned])
@pytest.mark.parametrize("target", [None, IOS18])
def test_merged_outputs_stay_distinct(function, target):
    lowered = call(lower(function, (X,), minimum_deployment_target=target))
    names = [t.name for t in lowered.function.outputs]
    assert len(names) == len(function(X))
    assert len(set(names)) == len(names)
    assert not set(names) & {t.name for t in lowered.function.inputs}
    assert list(lowered.mil.outputs) == names
    assert [f.name for f in lowered.spec.description.output] == names
    computed = {output.name for operation in lowered.mil.operations for output in operation.outputs}
    assert set(names) <= computed


# --- Mutable buffers.


def test_initial_value_of_a_state_is_carried():
    initial = torch.tensor([[1.5, -2.0, 0.0], [65504.0, 0.1, 3.0]])
    lowered = call(lower(Accumulator(initial), (X,), minimum_deployment_target=IOS18))
    (state,) = lowered.function.states
    assert state.tensor == blob.Tensor("total", blob.DataType.FLOAT16, fixed(2, 3))
    stored = b"".join(lowered.blob.file(state.initial_value_path).content.chunks())
    assert stored == initial.numpy().astype("<f2").tobytes()
    assert [s.name for s in lowered.spec.description.state] == ["total"]
    assert [t.name for t in lowered.function.inputs] == ["x"]


def test_state_that_starts_at_zero_has_no_file():
    lowered = call(lower(Accumulator(torch.zeros(2, 3)), (X,), minimum_deployment_target=IOS18))
    assert lowered.function.states[0].initial_value_path == ""
    assert sorted(f.path for f in lowered.blob.files) == [SPEC_PATH, "Manifest.json"]


def test_initial_value_beyond_float16_is_refused():
    with pytest.raises(ValueError, match=r"'total' starts with a value beyond float16's range .*take_over_mutable_buffer=False"):
        lower(Accumulator(torch.full((2, 3), 1e6)), (X,), minimum_deployment_target=IOS18)


@pytest.mark.parametrize(
    ("module", "inputs", "target", "reason"),
    [
        (Accumulator(torch.ones(2, 3)), (X,), IOS17, "states need minimum_deployment_target iOS18"),
        (Accumulator(torch.ones(2, 3, dtype=torch.int32)), (X.int(),), IOS18, "its dtype is torch.int32"),
    ],
)
def test_buffers_that_are_no_states_stay_outside(module, inputs, target, reason, caplog):
    with caplog.at_level(logging.INFO):
        lowered = call(lower(module, inputs, minimum_deployment_target=target))
    assert lowered.function.states == ()
    assert len(lowered.function.inputs) == 2
    assert (
        f"The mutable buffer total stays outside Core ML because {'Core ML states are float16, and ' if 'dtype' in reason else ''}{reason}"
        in caplog.text
    )


class ReturnsItsBuffer(Accumulator):
    def forward(self, x):
        self.total.add_(x)
        return self.total, x + 1


class UsesItsBufferAcrossACut(Accumulator):
    def forward(self, x):
        y = torch.asinh(self.total * x)
        self.total.add_(y)
        return self.total * 2


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ReturnsItsBuffer, "its new value is also a result of the program"),
        (UsesItsBufferAcrossACut, "2 partitions use it"),
    ],
)
def test_buffers_that_executorch_cannot_delegate_stay_outside(kind, reason, caplog):
    with caplog.at_level(logging.INFO):
        edge = lower(kind(torch.ones(2, 3)), (X,), minimum_deployment_target=IOS18)
    assert all(c.function.states == () for c in calls(edge))
    assert reason in caplog.text
    edge.to_executorch()


def test_take_over_mutable_buffer_false():
    lowered = call(
        lower(
            Accumulator(torch.ones(2, 3)),
            (X,),
            minimum_deployment_target=IOS18,
            partitioner={"take_over_mutable_buffer": False},
        )
    )
    assert lowered.function.states == ()
    assert len(lowered.function.inputs) == 2


def test_buffer_that_cannot_be_a_state_fails_full_graph_lowering():
    with pytest.raises(NotImplementedError, match=r"mutable buffer 'total' cannot become a Core ML state because .*iOS18"):
        lower(Accumulator(torch.ones(2, 3)), (X,), partitioner={"lower_full_graph": True})


# --- Weights.


@pytest.fixture(scope="module")
def big() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(256, 512).eval()


def test_large_weights_are_in_the_blob_once(big, caplog):
    edge = lower(big, (torch.randn(2, 256),), compute_precision=ct.precision.FLOAT32)
    lowered = call(edge)
    assert lowered.blob.for_stock_runtime
    assert lowered.named_data == {}
    weights = big.weight.detach().numpy().tobytes()
    assert lowered.module.processed_bytes.count(weights) == 1
    assert bytes(edge.to_executorch().buffer).count(weights) == 1
    assert "this project's runtime" not in caplog.text


def test_large_weights_are_named_data_of_a_program_for_this_runtime(big, caplog):
    lowered = call(lower(big, (torch.randn(2, 256),), compute_precision=ct.precision.FLOAT32, blob_format="coreml_blob"))
    # It was asked for, so nothing is said.
    assert "this project's runtime" not in caplog.text
    assert not lowered.blob.for_stock_runtime
    content = blob.read_blob(lowered.module.processed_bytes).file(WEIGHTS_PATH).content
    assert isinstance(content, blob.NamedData)
    assert content.key == f"coreml_weights_{content.checksum.hex()}"
    assert len(lowered.module.processed_bytes) < 16 << 10
    weights = lowered.named_data[content.key]
    assert big.weight.detach().numpy().tobytes() in weights


def test_small_weights_are_inline():
    lowered = call(lower(nn.Linear(8, 16), (torch.randn(2, 8),)))
    assert lowered.named_data == {}
    content = blob.read_blob(lowered.module.processed_bytes).file(WEIGHTS_PATH).content
    assert content.size > 8 * 16 * 2


def test_preparing_a_program_copies_no_weights(big):
    program = export(big, (torch.randn(2, 256),))
    prepared = CoreMLBackend.copy_exported_program_for_preprocess(program, [])
    assert prepared.graph is not program.graph
    assert {k: v.data_ptr() for k, v in prepared.state_dict.items()} == {k: v.data_ptr() for k, v in program.state_dict.items()}


def _two_methods(big):
    return {
        "decode": export(big, (torch.randn(1, 256),)),
        "prefill": export(big, (torch.randn(8, 256),)),
    }


def _sharing(strategy, **options):
    specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision.FLOAT32, **options)
    if strategy is not None:
        specs.append(CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(strategy))
    return specs


def test_methods_share_weights_by_content_below_ios18(big, caplog):
    with caplog.at_level(logging.INFO, "executorch.backends.apple.coreml.compiler.coreml_preprocess"):
        edge = lower(_two_methods(big), specs=_sharing(None))
    keys = {method: set(call(edge, method).named_data) for method in edge.methods}
    assert len(keys["decode"]) == 1
    assert keys["decode"] == keys["prefill"]
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == (
        "The program needs this project's runtime and does not load in apps that link ExecuTorch's stock Core ML runtime: partitions share "
        "weight files (MULTIMETHOD_WEIGHT_SHARING_STRATEGY.DISABLED gives each its own; POSITIONAL shares in a form that both runtimes read, "
        "with the deployment target iOS 18)."
    )
    assert [call(edge, m).function.method for m in ("decode", "prefill")] == ["decode", "prefill"]
    assert call(edge, "decode").blob.specification_version == 6
    assert "Weight sharing: 1 of 1 weight files serve several partitions of decode, prefill, which saves 0.5 MB." in caplog.text
    assert len(edge.to_executorch().buffer) < 1.2 * 256 * 512 * 4


def test_disabled_sharing_keeps_weights_apart(big):
    edge = lower(_two_methods(big), specs=_sharing(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.DISABLED))
    for method in edge.methods:
        (module,) = modules(edge, method)
        assert named_data(module) == {}
        assert len(module.processed_bytes) > 256 * 512 * 4
        assert call(edge, method).blob.for_stock_runtime
    assert len(edge.to_executorch().buffer) > 2 * 256 * 512 * 4


def test_sharing_says_when_nothing_is_shared(caplog):
    torch.manual_seed(0)
    programs = {name: export(nn.Linear(256, 512), (torch.randn(1, 256),)) for name in ("a", "b")}
    with caplog.at_level(logging.INFO, "executorch.backends.apple.coreml.compiler.coreml_preprocess"):
        lower(programs)
        lower(programs, specs=_sharing(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.DISABLED))
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Weight sharing")]
    assert said == [
        "Weight sharing: none of 2 large weight files is equal to another, so nothing is shared.",
        "Weight sharing: disabled, every partition has its own weights.",
    ]


def test_positional_sharing_says_that_it_raises_the_target(big, caplog):
    specs = _sharing(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL, minimum_deployment_target=IOS17)
    with caplog.at_level(logging.WARNING):
        lower(_two_methods(big), specs=specs)
    assert "run from iOS 18 on: the methods decode, prefill, lowered for less, need it too" in caplog.text


def test_positional_sharing_makes_one_model_of_two_methods(big):
    edge = lower(
        _two_methods(big),
        specs=_sharing(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL, minimum_deployment_target=IOS18),
    )
    decode, prefill = (call(edge, method) for method in ("decode", "prefill"))
    assert (decode.function_name, prefill.function_name) == ("decode", "prefill")
    assert blob.content_id(decode.blob) == blob.content_id(prefill.blob)
    assert decode.function.inputs[0].dimensions == fixed(1, 256)
    assert prefill.function.inputs[0].dimensions == fixed(8, 256)
    assert sorted(decode.spec.mlProgram.functions) == ["decode", "prefill"]
    # One blob in the named data, and a reference that both runtimes take.
    assert decode.blob.for_stock_runtime
    assert decode.module.processed_bytes[:4] == b"CMJR"
    reference = json.loads(decode.module.processed_bytes[4:])
    assert reference == {"version": 1, "key": f"coreml_blob_{blob.content_id(decode.blob).hex()}", "functionName": "decode"}
    assert set(decode.named_data) == {reference["key"]}
    assert len(edge.to_executorch().buffer) < 1.2 * 256 * 512 * 4


def test_positional_sharing_for_this_runtime_alone(big):
    specs = _sharing(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL, minimum_deployment_target=IOS18, blob_format="coreml_blob")
    decode = call(lower(_two_methods(big), specs=specs), "decode")
    reference = blob.read(decode.module.processed_bytes)
    assert isinstance(reference, blob.Reference)
    assert reference.named_data_key == f"coreml_blob_{blob.content_id(decode.blob).hex()}"
    assert not decode.blob.for_stock_runtime


def test_initial_values_of_states_make_a_program_for_this_runtime(caplog):
    lowered = call(lower(Accumulator(torch.ones(2, 3)), (X,), minimum_deployment_target=IOS18))
    assert not lowered.blob.for_stock_runtime
    (said,) = [record.getMessage() for record in caplog.records if "this project's runtime" in record.getMessage()]
    assert "start with values other than zero (CoreMLPartitioner(take_over_mutable_buffer=False) keeps" in said
    caplog.clear()
    assert call(lower(Accumulator(torch.zeros(2, 3)), (X,), minimum_deployment_target=IOS18)).blob.for_stock_runtime
    assert "this project's runtime" not in caplog.text


def test_positional_sharing_refuses_unequal_partitions(big):
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = big

        def forward(self, x):
            return torch.relu(torch.asinh(self.linear(x)))

    programs = {"whole": export(big, (torch.randn(1, 256),)), "cut": export(Cut(), (torch.randn(1, 256),))}
    specs = _sharing(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL, minimum_deployment_target=IOS18)
    with pytest.raises(ValueError, match="requires all methods to have the same number of partitions"):
        lower(programs, specs=specs)
    edge = lower(programs, specs=_sharing(None))
    assert set(named_data(modules(edge, "whole")[0])) == set(named_data(modules(edge, "cut")[0]))


# --- Formats.


def test_stock_format(tmp_path):
    edge = lower(nn.Linear(256, 512), (torch.randn(2, 256),), blob_format="inmemoryfs")
    (module,) = modules(edge)
    assert named_data(module) == {}
    assert executorchcoreml.unflatten_directory_contents(module.processed_bytes, str(tmp_path))
    (root,) = {path.parent for path in tmp_path.rglob("metadata.json")}
    metadata = json.loads((root / "metadata.json").read_text())
    assert metadata["inputNames"] == ["input_1"]
    assert len(metadata["outputNames"]) == 1
    assert metadata["identifier"].startswith("executorch_")
    model = ct.models.MLModel(str(root / "model.mlpackage"), skip_model_load=True)
    assert [f.name for f in model.get_spec().description.output] == metadata["outputNames"]


def test_stock_format_refuses_initial_values_before_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "convert", None)
    with pytest.raises(ValueError, match=r"'total'.*blob_format='inmemoryfs' cannot carry"):
        lower(Accumulator(torch.ones(2, 3)), (X,), minimum_deployment_target=IOS18, blob_format="inmemoryfs")


def test_stock_reference():
    programs = {"a": export(nn.Linear(3, 4), (X,)), "b": export(nn.Linear(3, 4), (X,))}
    specs = _sharing(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL, minimum_deployment_target=IOS18, blob_format="inmemoryfs")
    edge = lower(programs, specs=specs)
    (module,) = modules(edge, "b")
    assert module.processed_bytes[:4] == b"CMJR"
    reference = json.loads(module.processed_bytes[4:])
    assert (reference["version"], reference["functionName"]) == (1, "b")
    assert reference["key"] in named_data(module)


def test_package_is_one_that_coremltools_reads(tmp_path):
    lowered = call(lower(nn.Conv2d(3, 4, 3), (torch.randn(1, 3, 8, 8),)))
    for file in lowered.blob.files:
        path = tmp_path / "model.mlpackage" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(file.content.chunks()))
    model = ct.models.MLModel(str(tmp_path / "model.mlpackage"), skip_model_load=True)
    assert model.get_spec().SerializeToString(deterministic=True) == lowered.spec.SerializeToString(deterministic=True)


def test_package_tells_no_date_and_no_versions():
    lowered = call(lower(torch.sin, (X,)))
    assert dict(lowered.spec.description.metadata.userDefined) == {}
    assert "buildInfo" not in lowered.spec.mlProgram.attributes
    manifest = json.loads(b"".join(lowered.blob.file("Manifest.json").content.chunks()))
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]


def test_compiled_models_are_refused_away_from_macos():
    with pytest.raises(ValueError, match="COMPILED_MODEL needs Core ML's own compiler"):
        lower(torch.sin, (X,), model_type=CoreMLBackend.MODEL_TYPE.COMPILED_MODEL)


def test_debug_map_names_the_operations():
    lowered = call(lower(lambda x: torch.sin(x) + 1, (X,)))
    info = json.loads(lowered.blob.debug_map)
    assert info["debugSymbolToOperationPath"].keys() == info["debugSymbolToHandles"].keys()
    operators = {path[-1]["Operator"] for path in info["debugSymbolToOperationPath"].values()}
    assert {"sin", "add"} <= operators
    assert "const" not in operators
    assert all(symbol.endswith(f":{path[-1]['Operator']}") for symbol, path in info["debugSymbolToOperationPath"].items())
    assert all(isinstance(handle, int) for handles in info["debugSymbolToHandles"].values() for handle in handles)
    assert info["versionInfo"]["coremltools"] == ct.__version__
    symbols = lowered.module.meta["debug_handle_map"]
    assert {symbol.rpartition(":")[2] for symbol in symbols} >= {"sin", "add"}
    assert all(isinstance(handle, int) for handles in symbols.values() for handle in handles)


# --- Progress.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals(monkeypatch):
    written, piped = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", piped)
    lower(torch.sin, (X,))
    assert "Core ML" not in piped.getvalue()
    monkeypatch.setattr(sys, "stderr", written)
    lower(torch.sin, (X,))
    lines = re.findall(r"Core ML: (\w+) [^:]*: \d+\.\d s, at most \d+ MB of memory$", written.getvalue(), re.M)
    assert lines == ["converting", "packing"]


def test_progress_of_what_fails_says_so(monkeypatch):
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(ZeroDivisionError), stage("dividing"):
        raise ZeroDivisionError
    assert "Core ML: dividing: failed after 0.0 s" in written.getvalue()


# --- Temporary files.


@pytest.fixture
def temporary_folder(tmp_path, monkeypatch) -> pathlib.Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_no_temporary_file_is_left_after_success(temporary_folder, big):
    edge = lower(big, (torch.randn(2, 256),), compute_precision=ct.precision.FLOAT32)
    # The weights are on disk still, in a file without a name.
    assert list(temporary_folder.iterdir()) == []
    copied = copy.deepcopy(edge)
    weights = big.weight.detach().numpy().tobytes()
    assert weights in edge.to_executorch().buffer
    del edge
    gc.collect()
    with (temporary_folder / "model.pte").open("wb") as file:
        copied.to_executorch().write_to_file(file)
    assert weights in (temporary_folder / "model.pte").read_bytes()


def test_no_temporary_file_is_left_after_a_failure(temporary_folder, big):
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = big
            self.register_buffer("total", torch.full((512,), 1e6))

        def forward(self, x):
            self.total.add_(self.linear(x)[0])
            return self.total * 2

    with pytest.raises(ValueError, match="beyond float16"):
        lower(Failing(), (torch.randn(2, 256),), minimum_deployment_target=IOS18)
    gc.collect()
    assert list(temporary_folder.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary_folder)


# --- Quantization of weights, and whole recurrent layers.


class Tied(nn.Module):
    def __init__(self, tie: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(512, 64)
        self.output = nn.Linear(64, 512, bias=False)
        if tie:
            self.output.weight = self.embedding.weight

    def forward(self, ids):
        return self.output(self.embedding(ids))


@pytest.mark.parametrize("tie", [True, False])
def test_a_table_shared_with_a_linear_is_quantized_with_it(tie):
    lowered = call(
        lower(
            Tied(tie),
            (torch.zeros(1, 4, dtype=torch.int64),),
            minimum_deployment_target=IOS18,
            op_linear_quantizer_config={"mode": "linear_symmetric", "dtype": "int4", "granularity": "per_channel"},
        )
    )
    assert "constexpr_blockwise_shift_scale" in lowered.mil_ops
    weights = 512 * 64 // 2 if tie else 512 * 64 // 2 + 512 * 64 * 2
    assert weights < lowered.blob.file(WEIGHTS_PATH).content.size < weights + 16 * 512


@pytest.mark.parametrize(("bidirectional", "batch_first", "layers"), [(False, True, 2), (True, False, 1), (True, True, 2)])
def test_lstm_stays_whole(bidirectional, batch_first, layers):
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 16, num_layers=layers, bidirectional=bidirectional, batch_first=batch_first)

        def forward(self, x):
            y, (h, c) = self.lstm(x)
            return y, h, c

    lowered = call(lower(Recurrent(), (torch.randn(3, 20, 8),)))
    assert lowered.mil_ops.count("lstm") == layers
    assert len(lowered.mil_ops) < 30
    widths = 32 if bidirectional else 16
    directions = layers * (2 if bidirectional else 1)
    batch = 3 if batch_first else 20
    assert [tuple(d.min for d in t.dimensions) for t in lowered.function.outputs] == [
        (3, 20, widths),
        (directions, batch, 16),
        (directions, batch, 16),
    ]


_DEEP = {"num_layers": 2, "bidirectional": True, "batch_first": True}


@pytest.mark.parametrize(
    ("steps", "target", "kept", "options"),
    [
        (20, IOS18, "gru", {}),
        (20, IOS18, "gru", _DEEP),
        (20, IOS18, "gru", {"bias": False}),
        (20, IOS17, "sigmoid", {}),
        (70, IOS17, "while_loop", _DEEP),
    ],
)
def test_gru(steps, target, kept, options):
    """Whole from iOS 18 on; below, short ones are unrolled and long ones a loop. The results are torch's."""
    torch.manual_seed(0)
    module = nn.GRU(8, 16, **options).eval()
    x = torch.randn(3, steps, 8) if options.get("batch_first") else torch.randn(steps, 3, 8)
    edge = lower(module, (x,), minimum_deployment_target=target, compute_precision=ct.precision.FLOAT32)
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    operations = call(edge).mil_ops
    assert operations.count(kept) == (2 * steps if kept == "sigmoid" else layers)
    assert len(operations) < 30 or kept == "sigmoid"
    assert differences(edge, module, (x,)) == []


def test_program_without_inputs_stays_outside_below_ios18():
    edge = lower(NoInputs(), ())
    assert calls(edge) == []
    assert "aten.add.Tensor" in outside(edge)
    lowered = call(lower(NoInputs(), (), minimum_deployment_target=IOS18))
    assert lowered.function.inputs == ()
    assert np.prod([d.min for d in lowered.function.outputs[0].dimensions]) == 2


FLOAT16_EDGES = [0.0, 65504.0, -65504.0, 65505.0, -65520.0, 1e30, -1e37, 3e38, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("value", FLOAT16_EDGES)
@pytest.mark.parametrize("other", [1.0, 70000.0, np.inf])
def test_the_lean_float16_check_answers_as_coremltools_does(value: float, other: float) -> None:
    """It replaces a check that makes six times the memory of each weight."""

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 2))])
    def program(x):
        return mb.add(x=x, y=np.array([[value, 0.5], [other, -0.25]], np.float32))

    (op,) = (op for op in program.functions["main"].operations if op.op_type == "add")
    assert cast_passes.add_fp16_cast.fp16_overflow(op) == FP16ComputePrecision.fp16_overflow(op)


@pytest.mark.parametrize(
    "value", [np.arange(120, dtype=np.float16).reshape(12, 10), np.arange(120, dtype=np.float16).reshape(12, 10).T]
)
def test_the_lean_writer_writes_what_coremltools_writes(value: np.ndarray, tmp_path: pathlib.Path) -> None:
    """It replaces one that makes two copies of each weight."""

    @mb.program(
        input_specs=[mb.TensorSpec(shape=value.shape, dtype=ct.converters.mil.mil.types.fp16)], opset_version=ct.target.iOS16
    )
    def program(x):
        return mb.add(x=x, y=value)

    exported = []
    for exporter in (load.MILProtoExporter, coremltools_driver._Exporter):
        folder = tmp_path / exporter.__name__
        folder.mkdir()
        exported.append((exporter(program, str(folder), ct.target.iOS16).export(), (folder / "weight.bin").read_bytes()))
    assert exported[0] == exported[1]
    assert value.tobytes() in exported[0][1]
