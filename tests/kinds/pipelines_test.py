"""Pipelines and non-maximum suppression, in MLModel and in coremltools."""

from __future__ import annotations

import pathlib
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import specs
from coremltools.converters.mil import Builder as mb
from executorch_coreml.engine import EngineError, MLModel, enable_coremltools
from PIL import Image


def pipeline(
    models: list[Any], inputs: dict[str, specs.Type], outputs: dict[str, specs.Type], names: list[str] | None = None
) -> Any:
    message = specs.model(inputs, outputs)
    message.pipeline.models.extend(models)
    message.pipeline.names.extend(names or [])
    return message


# --- Suppression ---


def reference_suppression(
    confidence: np.ndarray, coordinates: np.ndarray, iou: float, least: float, per_class: bool
) -> list[tuple[list[float], list[float]]]:
    """The words of Core ML's format, one box at a time."""
    rows = sorted(
        (row for row in range(len(confidence)) if confidence[row].max() >= least), key=lambda row: (-confidence[row].max(), row)
    )
    kept: list[int] = []
    for row in rows:
        x, y, w, h = coordinates[row]
        for other in kept:
            a, b, c, d = coordinates[other]
            width = min(x + w / 2, a + c / 2) - max(x - w / 2, a - c / 2)
            height = min(y + h / 2, b + d / 2) - max(y - h / 2, b - d / 2)
            common = width * height if width > 0 and height > 0 else 0.0
            same = not per_class or confidence[row].argmax() == confidence[other].argmax()
            if same and common / (w * h + c * d - common) > iou:
                break
        else:
            kept.append(row)
    return [(confidence[row].tolist(), coordinates[row].tolist()) for row in kept]


def boxes(seed: int, count: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 1, (count, classes)), np.concatenate(
        [generator.uniform(0.2, 0.8, (count, 2)), generator.uniform(0.05, 0.5, (count, 2))], axis=1
    )


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize(("iou", "least"), [(0.5, 0.25), (0.2, 0.9), (0.0, 0.0), (1.0, 0.5), (0.5, 1.5)])
def test_suppression(tmp_path: pathlib.Path, per_class: bool, iou: float, least: float) -> None:
    model = MLModel(specs.save(specs.suppression(per_class=per_class), tmp_path))
    for seed in range(3):
        confidence, coordinates = boxes(seed)
        given = {"raw_confidence": confidence, "raw_coordinates": coordinates, "iouThreshold": iou, "confidenceThreshold": least}
        found = model.predict(given)
        expected = reference_suppression(confidence, coordinates, iou, least, per_class)
        assert list(zip(found["confidence"].tolist(), found["coordinates"].tolist())) == expected
        assert found["coordinates"].shape == (len(expected), 4)
        del given["iouThreshold"], given["confidenceThreshold"]
        found = model.predict(given)
        assert found["coordinates"].tolist() == [
            row for _, row in reference_suppression(confidence, coordinates, 0.5, 0.25, per_class)
        ]


def test_suppression_gives_as_many_boxes_as_described(tmp_path: pathlib.Path) -> None:
    confidence, coordinates = boxes(0)
    given = {"raw_confidence": confidence, "raw_coordinates": coordinates}
    everything = MLModel(specs.save(specs.suppression(), tmp_path)).predict(given)["coordinates"]
    assert 8 < len(everything) < 58
    few = MLModel(specs.save(specs.suppression(boxes=(0, 8)), tmp_path)).predict(given)
    np.testing.assert_array_equal(few["coordinates"], everything[:8])
    many = MLModel(specs.save(specs.suppression(boxes=(58, 58)), tmp_path)).predict(given)
    assert many["confidence"].shape == (58, 3)
    np.testing.assert_array_equal(many["coordinates"][: len(everything)], everything)
    assert not many["coordinates"][len(everything) :].any()
    assert not many["confidence"][len(everything) :].any()


def test_boxes_of_another_shape_are_refused(tmp_path: pathlib.Path) -> None:
    model = MLModel(specs.save(specs.suppression(), tmp_path))
    with pytest.raises(EngineError, match=r"confidences \[5, 3\] and coordinates \[4, 4\] are not"):
        model.predict({"raw_confidence": np.ones((5, 3)), "raw_coordinates": np.ones((4, 4))})


# --- A detector: a program with weights, then the suppression ---

SIDE, BOXES = 8, 20


@pytest.fixture(scope="module")
def detector_program() -> ct.models.MLModel:
    """Of an image float32[1, 3, 8, 8] confidences [20, 3] and coordinates [20, 4], by a matrix that is in a weight file."""
    generator = np.random.default_rng(5)
    weight = generator.normal(size=(BOXES * 7, 3 * SIDE * SIDE)).astype(np.float32)

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, SIDE, SIDE))], opset_version=ct.target.iOS15)
    def program(image):
        flat = mb.reshape(x=image, shape=[1, 3 * SIDE * SIDE])
        made = mb.reshape(x=mb.sigmoid(x=mb.linear(x=mb.real_div(x=flat, y=np.float32(1000)), weight=weight)), shape=[BOXES, 7])
        return (
            mb.slice_by_index(x=made, begin=[0, 0], end=[BOXES, 3], name="raw_confidence"),
            mb.slice_by_index(x=made, begin=[0, 3], end=[BOXES, 7], name="raw_coordinates"),
        )

    return ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS15,
        inputs=[ct.ImageType("image", color_layout=ct.colorlayout.RGB)],
    )


@pytest.fixture(scope="module")
def detector(detector_program, tmp_path_factory) -> ct.models.MLModel:
    """As detectors are exported: by coremltools' builder of pipelines, the thresholds described in the pipeline only."""
    enable_coremltools(threads=1)
    suppression = ct.models.MLModel(specs.suppression(iou=0.3, confidence=0.6))
    builder = ct.models.pipeline.Pipeline(
        input_features=[
            ("image", ct.models.datatypes.Array(3, SIDE, SIDE)),
            ("iouThreshold", ct.models.datatypes.Double()),
            ("confidenceThreshold", ct.models.datatypes.Double()),
        ],
        output_features=["confidence", "coordinates"],
    )
    builder.add_model(detector_program)
    builder.add_model(suppression)
    spec = builder.spec
    spec.specificationVersion = 6
    spec.description.input[0].ParseFromString(detector_program.get_spec().description.input[0].SerializeToString())
    spec.description.output[0].ParseFromString(suppression.get_spec().description.output[0].SerializeToString())
    spec.description.output[1].ParseFromString(suppression.get_spec().description.output[1].SerializeToString())
    both = ct.models.MLModel(spec, weights_dir=detector_program.weights_dir)
    path = tmp_path_factory.mktemp("detector") / "detector.mlpackage"
    both.save(str(path))
    return ct.models.MLModel(str(path))


def test_a_detector_as_it_is_exported(detector: ct.models.MLModel, detector_program: ct.models.MLModel) -> None:
    image = Image.fromarray(np.random.default_rng(6).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    raw = ct.models.MLModel(detector_program.get_spec(), weights_dir=detector_program.weights_dir).predict({"image": image})
    ours = MLModel(detector.package_path)
    assert ours.kind == "pipeline"
    assert [(spec.name, spec.kind, spec.is_optional) for spec in ours.inputs] == [
        ("image", "image", False),
        ("iouThreshold", "double", False),
        ("confidenceThreshold", "double", False),
    ]
    for options in ({}, {"iouThreshold": 0.1, "confidenceThreshold": 0.5}):
        expected = reference_suppression(
            raw["raw_confidence"].astype(np.float64),
            raw["raw_coordinates"].astype(np.float64),
            options.get("iouThreshold", 0.3),
            options.get("confidenceThreshold", 0.6),
            per_class=True,
        )
        assert 1 < len(expected) < BOXES
        for found in (detector.predict({"image": image, **options}), ours.predict({"image": image, **options})):
            assert list(zip(found["confidence"].tolist(), found["coordinates"].tolist())) == expected


def test_a_pipeline_that_is_not_loaded_from_its_own_folder(detector: ct.models.MLModel, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "copy.mlpackage"
    MLModel(detector.package_path).save(copy)
    # Its compiled folder lives as long as it does.
    loaded = ct.models.MLModel(str(copy))
    compiled = ct.models.CompiledMLModel(loaded.get_compiled_model_path())
    image = Image.new("RGB", (SIDE, SIDE), (200, 100, 50))
    np.testing.assert_array_equal(
        compiled.predict({"image": image})["coordinates"], detector.predict({"image": image})["coordinates"]
    )


def test_a_program_in_a_file(tmp_path: pathlib.Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(2,))], opset_version=ct.target.iOS15)
    def program(x):
        return mb.add(x=x, y=np.float32(1), name="y")

    spec = ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, skip_model_load=True).get_spec()
    path = specs.save(spec, tmp_path)
    assert MLModel(path, function_name="main").predict({"x": np.float32([1, 2])})["y"].tolist() == [2, 3]
    with pytest.raises(EngineError, match="nobody"):
        MLModel(path, function_name="nobody")


# --- Other pipelines ---


def test_models_find_their_inputs_by_name(tmp_path: pathlib.Path) -> None:
    steps = [
        specs.scaler([1.0], [2.0, 3.0], 2, ("x", "scaled")),
        # Takes what two steps before it gave.
        specs.scaler([0.0], [10.0], 2, ("x", "tens")),
        specs.regressor([1.0, -1.0], 0.5, ("scaled", "y")),
    ]
    path = specs.save(pipeline(steps, {"x": ("array", [2])}, {"y": "double", "tens": ("array", [2])}), tmp_path)
    found = MLModel(path).predict({"x": [4.0, 5.0]})
    assert found["y"] == 2 * 5 - 3 * 6 + 0.5
    assert found["tens"].tolist() == [40, 50]
    assert found["tens"].dtype == np.float64


def test_a_pipeline_in_a_pipeline(tmp_path: pathlib.Path) -> None:
    inner = pipeline([specs.scaler([0.0], [2.0], 1, ("x", "twice"))], {"x": ("array", [1])}, {"twice": ("array", [1])})
    outer = pipeline([inner, specs.regressor([3.0], 1.0, ("twice", "y"))], {"x": ("array", [1])}, {"y": "double"})
    assert MLModel(specs.save(outer, tmp_path)).predict({"x": 5.0}) == {"y": 31.0}
    nested = inner
    for _ in range(9):
        nested = pipeline([nested], {"x": ("array", [1])}, {"twice": ("array", [1])})
    with pytest.raises(EngineError, match="pipelines are nested more than 8 deep"):
        MLModel(specs.save(nested, tmp_path))


def test_what_a_pipeline_cannot_have(tmp_path: pathlib.Path) -> None:
    x, y = {"x": ("array", [1])}, {"y": ("array", [1])}
    step = specs.scaler([0.0], [2.0], 1)
    for message, sentence in (
        (pipeline([], x, y), "a pipeline has 0 models"),
        (pipeline([step], {"z": ("array", [1])}, y), "model0 takes x, which nothing before it computes"),
        (pipeline([step], x, {"z": ("array", [1])}), "the description has an output that the model does not compute: z"),
        (pipeline([step], x, y, ["a", "b"]), "there are 2 names for 1 models"),
        (pipeline([step, specs.model(x, y)], x, y, ["a", "b"]), r"the model has no kind \[b of .*model.mlmodel"),
    ):
        with pytest.raises(EngineError, match=sentence) as raised:
            MLModel(specs.save(message, tmp_path))
        assert raised.value.code == "corrupt_data"


def test_wrong_inputs_are_refused(tmp_path: pathlib.Path) -> None:
    model = MLModel(specs.save(pipeline([specs.scaler([0.0], [2.0], 2)], {"x": ("array", [2])}, {"y": ("array", [2])}), tmp_path))
    with pytest.raises(EngineError, match=r"the input is missing \[x of"):
        model.predict({})
    with pytest.raises(EngineError, match=r"the model has no such input \[z of"):
        model.predict({"x": [1, 2], "z": 3})
    with pytest.raises(EngineError, match=r"the array has the shape \[3\] \[x: float64\[2\]\]"):
        model.predict({"x": [1, 2, 3]})
    with pytest.raises(ValueError, match="the input x takes float64 numbers, not <U1"):
        model.predict({"x": ["a", "b"]})


def test_a_classifier_pipeline_through_coremltools(tmp_path: pathlib.Path) -> None:
    enable_coremltools()
    classifier = specs.model({"s": ("array", [1])}, {"kind": "string", "shares": ("dictionary", "string")}, "kind", "shares")
    classifier.glmClassifier.weights.add().value.append(1.0)
    classifier.glmClassifier.offset.append(0.0)
    classifier.glmClassifier.stringClassLabels.vector.extend(["no", "yes"])
    message = specs.model({"x": ("array", [1])}, {"kind": "string", "shares": ("dictionary", "string")}, "kind", "shares")
    message.pipelineClassifier.pipeline.models.extend([specs.scaler([0.0], [2.0], 1, ("x", "s")), classifier])
    path = specs.save(message, tmp_path)
    model = ct.models.MLModel(str(path))
    for x in (-1.5, 0.25):
        found = model.predict({"x": np.array([x])})
        assert found["kind"] == ("yes" if x > 0 else "no")
        np.testing.assert_allclose(found["shares"]["yes"], 1 / (1 + np.exp(-2 * x)), rtol=1e-15)
        assert list(found["shares"]) == ["no", "yes"]
    with pytest.raises(RuntimeError, match=r"Unable to compute the prediction using the model.*missing"):
        model.predict({})
    compiled = ct.models.CompiledMLModel(ct.utils.compile_model(str(path), str(tmp_path / "kept.mlmodelc")))
    assert compiled.predict({"x": np.array([1.0])})["kind"] == "yes"
