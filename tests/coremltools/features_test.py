"""Images, classes and optional inputs of model packages: MLModel, and coremltools with enable_coremltools()."""

from __future__ import annotations

import pathlib

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import get_new_symbol, types
from executorch.backends.apple.coreml.engine import _native as _engine
from executorch.backends.apple.coreml.engine import coremltools_support, ml_model
from PIL import Image

MLModel = ml_model.MLModel
HEIGHT, WIDTH = 6, 9


@pytest.fixture(scope="module", autouse=True)
def enabled():
    coremltools_support.enable_coremltools(threads=1)


def convert(program, folder: pathlib.Path, outputs: list | None = None, **options) -> tuple[ct.models.MLModel, MLModel]:
    """The program as coremltools loads it, and as MLModel does."""
    program.functions["main"].set_output_types(outputs)
    theirs = ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=ct.precision.FLOAT32,
        minimum_deployment_target=ct.target.iOS16,
        **options,
    )
    path = folder / "model.mlpackage"
    theirs.save(str(path))
    return theirs, MLModel(path)


def inverse(shape: tuple):
    """y = 255 - x of an image's tensor."""

    @mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=ct.target.iOS16)
    def program(x):
        return mb.sub(x=np.float32(255), y=x, name="y")

    return program


def planes_alone():
    """Of each channel, the sum of its pixels times 1, 10 and 100: which channel is which."""

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, HEIGHT, WIDTH))], opset_version=ct.target.iOS16)
    def program(x):
        weighted = mb.mul(x=x, y=np.float32([1, 10, 100]).reshape(1, 3, 1, 1))
        return mb.reduce_sum(x=weighted, axes=[1, 2, 3], name="y")

    return program


def _symbolic_shape():
    return (1, 3, get_new_symbol(), get_new_symbol())


def color_image(height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("layout", "weights"), [("RGB", (1, 10, 100)), ("BGR", (100, 10, 1))])
def test_channels_are_in_the_order_of_the_layout(tmp_path: pathlib.Path, layout: str, weights: tuple) -> None:
    both = convert(planes_alone(), tmp_path, inputs=[ct.ImageType("x", color_layout=getattr(ct.colorlayout, layout))])
    image = color_image()
    expected = (np.asarray(image).astype(np.float32).sum((0, 1)) * np.float32(weights)).sum()
    for model in both:
        np.testing.assert_allclose(model.predict({"x": image})["y"], [expected], rtol=1e-6)
    assert both[1].inputs[0].color_layout == layout
    assert both[1].inputs[0].shape == (1, 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("layouts", [("RGB", "RGB"), ("BGR", "BGR"), ("RGB", "BGR")])
def test_images_come_out(tmp_path: pathlib.Path, layouts: tuple[str, str]) -> None:
    both = convert(
        inverse((1, 3, HEIGHT, WIDTH)),
        tmp_path,
        inputs=[ct.ImageType("x", color_layout=getattr(ct.colorlayout, layouts[0]))],
        outputs=[ct.ImageType("y", color_layout=getattr(ct.colorlayout, layouts[1]))],
    )
    image = color_image()
    expected = 255 - np.asarray(image)
    if layouts[0] != layouts[1]:
        expected = expected[..., ::-1]
    for model in both:
        result = model.predict({"x": image})["y"]
        assert result.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(result), expected)


def test_pixels_are_rounded_and_clamped(tmp_path: pathlib.Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 1, 1, 4))], opset_version=ct.target.iOS16)
    def program(x):
        return mb.add(x=x, y=np.float32([-300.0, 0.4, 0.6, 300.0]).reshape(1, 1, 1, 4), name="y")

    gray = ct.colorlayout.GRAYSCALE
    _, model = convert(
        program, tmp_path, inputs=[ct.ImageType("x", color_layout=gray)], outputs=[ct.ImageType("y", color_layout=gray)]
    )
    result = model.predict({"x": Image.fromarray(np.uint8([[7, 7, 7, 7]]))})["y"]
    assert result.mode == "L"
    np.testing.assert_array_equal(np.asarray(result), [[0, 7, 8, 255]])


def test_sizes_in_a_range_and_enumerated(tmp_path: pathlib.Path) -> None:
    sides = ct.Shape((1, 3, ct.RangeDim(4, 12, default=HEIGHT), ct.RangeDim(4, 12, default=WIDTH)))
    _, model = convert(
        inverse(_symbolic_shape()),
        tmp_path,
        inputs=[ct.ImageType("x", shape=sides)],
        outputs=[ct.ImageType("y")],
    )
    assert model.inputs[0].shape == (1, 3, (4, 12), (4, 12))
    for height, width in ((4, 12), (7, 5)):
        image = color_image(height, width)
        np.testing.assert_array_equal(np.asarray(model.predict({"x": image})["y"]), 255 - np.asarray(image))
    with pytest.raises(ml_model.EngineError, match=r"x: float32\[1, 3, 4\.\.12, 4\.\.12\]"):
        model.predict({"x": color_image(13, 5)})


def test_enumerated_sizes(tmp_path: pathlib.Path) -> None:
    sizes = ct.EnumeratedShapes([(1, 3, 4, 6), (1, 3, 8, 12)])
    _, model = convert(inverse(_symbolic_shape()), tmp_path, inputs=[ct.ImageType("x", shape=sizes)], outputs=[ct.ImageType("y")])
    assert model.inputs[0].enumerated_shapes == ((1, 3, 4, 6), (1, 3, 8, 12))
    image = color_image(8, 12)
    np.testing.assert_array_equal(np.asarray(model.predict({"x": image})["y"]), 255 - np.asarray(image))
    with pytest.raises(ml_model.EngineError, match=r"\[1, 3, 4, 12\]"):
        model.predict({"x": color_image(4, 12)})


def test_grayscale_of_float16_has_any_values(tmp_path: pathlib.Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 1, 2, 2), dtype=types.fp16)], opset_version=ct.target.iOS16)
    def program(x):
        return mb.mul(x=x, y=np.float16(-2), name="y")

    layout = ct.colorlayout.GRAYSCALE_FLOAT16
    both = convert(
        program, tmp_path, inputs=[ct.ImageType("x", color_layout=layout)], outputs=[ct.ImageType("y", color_layout=layout)]
    )
    pixels = np.float32([[-1.5, 0.25], [1000, 0]])
    for model in both:
        result = model.predict({"x": Image.fromarray(pixels)})["y"]
        assert result.mode == "F"
        np.testing.assert_array_equal(np.asarray(result), -2 * pixels)
    with pytest.raises(ValueError, match="the input x is float16, which cannot hold 100000"):
        both[1].predict({"x": Image.fromarray(np.float32([[1e5, 0], [0, 0]]))})


def test_an_image_of_another_mode_is_refused(tmp_path: pathlib.Path) -> None:
    _, model = convert(planes_alone(), tmp_path, inputs=[ct.ImageType("x")])
    with pytest.raises(
        ValueError, match=r"the input x takes a PIL image of mode RGB, not L: convert it with image.convert\('RGB'\)"
    ):
        model.predict({"x": color_image().convert("L")})
    with pytest.raises(ml_model.EngineError, match=r"\[1, 3, 9, 6\]"):
        model.predict({"x": color_image(WIDTH, HEIGHT)})
    with pytest.raises(ml_model.EngineError, match="the input is missing"):
        model.predict({})


def test_an_image_where_an_array_is_taken_is_refused(tmp_path: pathlib.Path) -> None:
    _, model = convert(inverse((1, 3, HEIGHT, WIDTH)), tmp_path)
    with pytest.raises(ValueError, match="the input x takes an array, not an image"):
        model.predict({"x": color_image()})


def test_an_array_stands_for_an_image(tmp_path: pathlib.Path) -> None:
    _, model = convert(planes_alone(), tmp_path, inputs=[ct.ImageType("x")])
    image = color_image()
    array = np.asarray(image).transpose(2, 0, 1)[None]
    assert model.predict({"x": array}) == model.predict({"x": image})


# --- Classes ---


@pytest.mark.parametrize("classes", [["cat", "dog", "eel"], [30, 10, 20]])
def test_classes(tmp_path: pathlib.Path, classes: list) -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3))], opset_version=ct.target.iOS16)
    def program(x):
        return mb.softmax(x=x, axis=-1, name="y")

    both = convert(program, tmp_path, classifier_config=ct.ClassifierConfig(classes))
    logits = np.float32([[0.5, 2.0, -1.0]])
    expected = np.exp(logits[0]) / np.exp(logits[0]).sum()
    for model in both:
        result = model.predict({"x": logits})
        assert result["classLabel"] == classes[1]
        probabilities = result["classLabel_probs"]
        assert list(probabilities) == classes
        np.testing.assert_allclose(list(probabilities.values()), expected, rtol=1e-6)
    ours = both[1]
    assert ours.classifier.classes == classes
    assert [(spec.name, spec.shape) for spec in ours.outputs] == [("classLabel_probs", (1, 3))]
    batch = ours.predict([{"x": logits}, {"x": -logits}])
    assert [result["classLabel"] for result in batch] == [classes[1], classes[2]]


def test_a_compiled_folder_keeps_what_tensors_stand_for(tmp_path: pathlib.Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, 1, 1))], opset_version=ct.target.iOS16)
    def program(x):
        return mb.softmax(x=mb.reshape(x=x, shape=[3]), axis=-1, name="y")

    convert(program, tmp_path, inputs=[ct.ImageType("x")], classifier_config=ct.ClassifierConfig(["a", "b", "c"]))
    folder = tmp_path / "compiled"
    folder.mkdir()
    _engine.compile(str(tmp_path / "model.mlpackage"), str(folder))
    assert _engine.load_compiled(str(folder)).description == _engine.load(str(tmp_path / "model.mlpackage")).description
    assert _engine.load_compiled(str(folder)).description["images"] == {"x": "RGB"}


# --- Optional inputs ---


def test_an_optional_input_has_its_default(tmp_path: pathlib.Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3)), mb.TensorSpec(shape=(2, 3))], opset_version=ct.target.iOS16)
    def program(x, z):
        return mb.add(x=x, y=z, name="y")

    default = np.full((2, 3), 2.5, np.float32)
    both = convert(program, tmp_path, inputs=[ct.TensorType("x", (2, 3)), ct.TensorType("z", (2, 3), default_value=default)])
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for model in both:
        np.testing.assert_array_equal(model.predict({"x": x})["y"], x + 2.5)
        np.testing.assert_array_equal(model.predict({"x": x, "z": x})["y"], x + x)
    assert both[1].inputs[1].default_value == 2.5
    assert both[1].inputs[0].default_value is None
    with pytest.raises(ml_model.EngineError, match="the input is missing"):
        both[1].predict({"z": x})
