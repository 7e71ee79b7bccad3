"""MLModel, and coremltools with enable_coremltools()."""

from __future__ import annotations

import pathlib
import sys

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb

# Taken before enabling, as other packages do.
from coremltools.models.utils import _is_macos as is_macos_before
from executorch.backends.apple.coreml.engine import coremltools_support, ml_model

MLModel = ml_model.MLModel
# Bazel's runfiles are links; packages with links inside are refused.
PACKAGES = pathlib.Path("runtime/engine/cts/testdata/add.mlpackage/Manifest.json").resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def enabled():
    coremltools_support.enable_coremltools(threads=1)


@pytest.fixture(scope="module")
def affine() -> ct.models.MLModel:
    """y = 2 x + 1 of float32[2, 3], by ct.convert."""

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))], opset_version=ct.target.iOS15)
    def program(x):
        return mb.add(x=mb.mul(x=x, y=np.float32(2)), y=np.float32(1), name="y")

    return ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32)


X = np.arange(6, dtype=np.float32).reshape(2, 3)


# --- MLModel ---


def test_predict_by_name_with_conversion() -> None:
    model = MLModel(PACKAGES / "add.mlpackage", compute_units=ct.ComputeUnit.CPU_ONLY)
    assert [(spec.name, spec.dtype, spec.shape) for spec in model.inputs] == [
        ("x", np.dtype("float32"), (2, 3)),
        ("y", np.dtype("float32"), (2, 3)),
    ]
    (output,) = model.outputs
    result = model.predict({"x": X.astype(np.float64), "y": X.astype(np.int64)})
    np.testing.assert_array_equal(result[output.name], X + X)
    assert model.load_duration_in_nano_seconds > 0
    assert model.last_predict_duration_in_nano_seconds > 0
    batch = model.predict([{"x": X, "y": X}, {"x": X, "y": -X}])
    np.testing.assert_array_equal(batch[1][output.name], np.zeros((2, 3)))


def test_values_that_do_not_fit_are_refused() -> None:
    model = MLModel(PACKAGES / "add.mlpackage")
    with pytest.raises(ValueError, match=r"the input x is float32, which cannot hold 1e\+300"):
        model.predict({"x": np.full((2, 3), 1e300), "y": X})
    with pytest.raises(ValueError, match="the input x takes float32 numbers, not <U1"):
        model.predict({"x": np.full((2, 3), "a"), "y": X})
    with pytest.raises(ml_model.EngineError, match=r"the input is missing.*y"):
        model.predict({"x": X})
    with pytest.raises(ml_model.EngineError, match=r"no such input.*z"):
        model.predict({"x": X, "y": X, "z": X})
    with pytest.raises(ml_model.EngineError, match=r"\[3, 2\]"):
        model.predict({"x": X.T, "y": X})


def test_wrong_arguments_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"compute_units must be one of ALL, .* not 'gpu'"):
        MLModel(PACKAGES / "add.mlpackage", "gpu")
    with pytest.raises(ValueError, match="numeric_mode must be one of float32, float16, low_precision, not "):
        MLModel(PACKAGES / "add.mlpackage", numeric_mode="half")
    with pytest.raises(ml_model.EngineError, match=r"nothing\.mlpackage"):
        MLModel(tmp_path / "nothing.mlpackage")
    with pytest.raises(ml_model.EngineError, match="no_such"):
        MLModel(PACKAGES / "functions.mlpackage", function_name="no_such")


def test_states_are_read_written_copied_and_reset() -> None:
    model = MLModel(PACKAGES / "state.mlpackage")
    (spec,) = model.states
    shape = tuple(spec.shape)
    state = model.make_state()
    before = state.read_state(spec.name)
    state.write_state(spec.name, np.full(shape, 3.0))
    copy = state.copy()
    state.reset()
    np.testing.assert_array_equal(state.read_state(spec.name), before)
    np.testing.assert_array_equal(copy.read_state(spec.name), np.full(shape, 3, spec.dtype))
    with pytest.raises(ml_model.EngineError, match="nobody"):
        state.read_state("nobody")
    with pytest.raises(ValueError, match="a state cannot be passed with a list"):
        model.predict([{}], state)


# --- coremltools ---


def test_only_coremltools_is_told_that_this_is_a_mac() -> None:
    from coremltools.models import utils

    assert utils._is_macos()
    assert utils._macos_version() >= (15, 0)
    if sys.platform != "darwin":
        assert not is_macos_before()
        assert sys.platform == "linux"


def test_convert_and_predict(affine) -> None:
    np.testing.assert_array_equal(affine.predict({"x": X})["y"], 2 * X + 1)
    np.testing.assert_array_equal(affine.predict([{"x": X}, {"x": -X}])[1]["y"], 1 - 2 * X)
    assert affine.load_duration_in_nano_seconds > 0
    assert affine.last_predict_duration_in_nano_seconds > 0


def test_a_saved_package_and_its_compiled_model(affine, tmp_path) -> None:
    affine.save(str(tmp_path / "affine.mlpackage"))
    loaded = ct.models.MLModel(str(tmp_path / "affine.mlpackage"), compute_units=ct.ComputeUnit.CPU_ONLY)
    compiled_path = loaded.get_compiled_model_path()
    assert compiled_path.endswith(".mlmodelc")
    compiled = ct.models.CompiledMLModel(compiled_path)
    np.testing.assert_array_equal(compiled.predict({"x": X})["y"], 2 * X + 1)

    destination = ct.utils.compile_model(str(tmp_path / "affine.mlpackage"), str(tmp_path / "kept.mlmodelc"))
    np.testing.assert_array_equal(ct.models.CompiledMLModel(destination).predict({"x": X})["y"], 2 * X + 1)


def test_an_asset_in_memory(tmp_path) -> None:
    weight = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 64))], opset_version=ct.target.iOS16)
    def program(x):
        return mb.linear(x=x, weight=weight, name="y")

    model = ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32)
    blobs = {"weights/weight.bin": (pathlib.Path(model.weights_dir) / "weight.bin").read_bytes()}
    asset = ct.models.model.MLModelAsset.from_memory(model.get_spec().SerializeToString(), blobs)
    x = np.random.default_rng(2).normal(size=(2, 64)).astype(np.float32)
    result = ct.models.CompiledMLModel.from_asset(asset).predict({"x": x})["y"]
    np.testing.assert_allclose(result, x.astype(np.float64) @ weight.T, rtol=0, atol=64 * 64 * np.finfo(np.float32).eps)
    with pytest.raises(ValueError, match="is not the name of a weight file"):
        ct.models.model.MLModelAsset.from_memory(b"", {"../weight.bin": b""})


def test_states_through_coremltools() -> None:
    @mb.program(
        input_specs=[
            mb.TensorSpec(shape=(3,), dtype=ct.converters.mil.mil.types.fp16),
            mb.StateTensorSpec((3,), dtype=ct.converters.mil.mil.types.fp16),
        ],
        opset_version=ct.target.iOS18,
    )
    def program(x, total):
        new = mb.add(x=mb.read_state(input=total), y=x)
        return mb.add(x=mb.coreml_update_state(state=total, value=new), y=np.float16(0), name="y")

    model = ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18)
    state = model.make_state()
    one = np.ones(3, np.float16)
    assert [model.predict({"x": one}, state)["y"].tolist() for _ in range(2)] == [[1, 1, 1], [2, 2, 2]]
    assert state.read_state("total").tolist() == [2, 2, 2]
    state.write_state("total", np.array([5, 6, 7], np.float16))
    assert model.predict({"x": one}, state)["y"].tolist() == [6, 7, 8]
    assert model.predict({"x": one}, model.make_state())["y"].tolist() == [1, 1, 1]


def test_the_structure_of_a_model(affine) -> None:
    structure = ct.models.compute_plan.MLModelStructure.load_from_path(affine.get_compiled_model_path())
    block = structure.program.functions["main"].block
    assert [op.operator_name for op in block.operations if op.operator_name != "const"] == ["mul", "add"]
    assert block.output_names == ["y"]
    assert structure.neuralnetwork is None
    assert structure.pipeline is None


def test_facts_about_apple_hardware_are_refused(affine) -> None:
    with pytest.raises(RuntimeError, match="compute plan says how Apple hardware would run"):
        ct.models.compute_plan.MLComputePlan.load_from_path(affine.get_compiled_model_path())
    with pytest.raises(RuntimeError, match="compute devices are Apple hardware"):
        ct.models.MLModel.get_available_compute_devices()


def test_kinds_that_are_not_evaluated_are_refused_with_a_sentence(tmp_path) -> None:
    spec = ct.proto.Model_pb2.Model()
    spec.specificationVersion = 4
    spec.wordTagger.SetInParent()
    path = str(tmp_path / "tagger.mlmodel")
    ct.utils.save_spec(spec, path)
    with pytest.warns(RuntimeWarning, match="the model is a word tagger"):
        model = ct.models.MLModel(path)
    with pytest.raises(RuntimeError, match="this kind cannot be evaluated here"):
        model.predict({})
    (tmp_path / "theirs.mlmodelc").mkdir()
    with pytest.raises(RuntimeError, match="was not compiled here"):
        ct.models.CompiledMLModel(str(tmp_path / "theirs.mlmodelc"))
    (tmp_path / "empty.mlmodel").write_bytes(b"")
    with pytest.raises(RuntimeError, match="is not a Core ML model"):
        ct.utils.compile_model(str(tmp_path / "empty.mlmodel"))
