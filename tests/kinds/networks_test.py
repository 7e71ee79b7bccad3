"""Whole neural networks: images, classes, shapes, quantized weights, old and new array mappings, and what is refused."""

from __future__ import annotations

import pathlib
import random
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import specs
import torch
import torch.nn.functional as F
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder, quantization_utils
from executorch_coreml.engine import EngineError, MLModel, enable_coremltools
from hostile_models import mutate, survives
from PIL import Image

GENERATOR = np.random.default_rng(1)
LABELS = ["cat", "dog", "eel", "fox"]
SIDE = 12
TOLERANCE = 2e-5


def normal(*shape: int) -> np.ndarray:
    return GENERATOR.normal(size=shape).astype(np.float32)


KERNEL, BIAS, MATRIX = normal(3, 3, 3, 5) * np.float32(0.2), normal(5), normal(4, 5 * 5 * 5) * np.float32(0.1)


def classifier(layout: str | None = "RGB", labels: list[Any] | None = LABELS) -> Any:
    """A network of 2018: an image less its means, convolution, relu, pooling, a dense layer, softmax, classes."""
    builder = NeuralNetworkBuilder(
        [("image", datatypes.Array(3, SIDE, SIDE))], [("probabilities", None)], mode="classifier" if labels else None
    )
    builder.add_convolution("conv", 3, 5, 3, 3, 1, 1, "valid", 1, KERNEL, BIAS, True, input_name="image", output_name="c")
    builder.add_activation("relu", "RELU", "c", "r")
    builder.add_pooling("pool", 2, 2, 2, 2, "MAX", "VALID", "r", "p")
    builder.add_flatten("flat", 0, "p", "f")
    builder.add_inner_product("dense", MATRIX, None, 125, 4, False, "f", "d")
    builder.add_softmax("softmax", "d", "probabilities")
    if labels:
        builder.set_class_labels(labels, predicted_feature_name="label", prediction_blob="probabilities")
    if layout:
        builder.set_pre_processing_parameters(
            image_input_names=["image"],
            is_bgr=layout == "BGR",
            red_bias=-0.5,
            green_bias=-0.25,
            blue_bias=0.125,
            image_scale=1 / 255,
        )
    return builder.spec


def reference(pixels: np.ndarray) -> np.ndarray:
    """Of [3, SIDE, SIDE] after preprocessing."""
    x = torch.from_numpy(pixels.astype(np.float32))[None]
    x = F.max_pool2d(F.relu(F.conv2d(x, torch.from_numpy(KERNEL.transpose(3, 2, 0, 1).copy()), torch.from_numpy(BIAS))), 2)
    return F.softmax(F.linear(x.flatten(1), torch.from_numpy(MATRIX)), 1)[0].numpy()


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(4).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


@pytest.mark.parametrize("layout", ["RGB", "BGR"])
def test_an_image_classifier(layout: str, tmp_path: pathlib.Path) -> None:
    enable_coremltools(threads=1)
    path = specs.save(classifier(layout), tmp_path)
    image = picture()
    planes = np.asarray(image).transpose(2, 0, 1).astype(np.float32) / 255
    biased = planes + np.float32([-0.5, -0.25, 0.125])[:, None, None]
    expected = reference(biased if layout == "RGB" else biased[::-1])
    for model in (MLModel(path), ct.models.MLModel(str(path))):
        found = model.predict({"image": image})
        assert found["label"] == LABELS[int(expected.argmax())]
        assert list(found["probabilities"]) == LABELS
        np.testing.assert_allclose(list(found["probabilities"].values()), expected, rtol=0, atol=TOLERANCE)
        batch = model.predict([{"image": image}, {"image": image.rotate(90)}])
        assert [len(result["probabilities"]) for result in batch] == [4, 4]
        assert batch[0] == found
    with pytest.raises(ValueError, match="the input image takes a PIL image of mode RGB, not L"):
        MLModel(path).predict({"image": image.convert("L")})


def test_labels_that_are_numbers_and_an_array_output(tmp_path: pathlib.Path) -> None:
    x = normal(3, SIDE, SIDE)
    found = MLModel(specs.save(classifier(None, [7, 5, 3, 1]), tmp_path)).predict({"image": x})
    assert found["label"] == [7, 5, 3, 1][int(reference(x).argmax())]
    plain = MLModel(specs.save(classifier(None, None), tmp_path)).predict({"image": x})["probabilities"]
    assert plain.shape == (4,)
    np.testing.assert_allclose(plain, reference(x), rtol=0, atol=TOLERANCE)


def test_a_gray_image_and_an_image_output(tmp_path: pathlib.Path) -> None:
    builder = NeuralNetworkBuilder([("x", datatypes.Array(1, 4, 6))], [("y", datatypes.Array(1, 4, 6))])
    builder.add_activation("invert", "LINEAR", "x", "y", [-1, 255])
    spec = builder.spec
    for feature in (spec.description.input[0], spec.description.output[0]):
        feature.type.imageType.width, feature.type.imageType.height, feature.type.imageType.colorSpace = 6, 4, 10
    builder.set_pre_processing_parameters(image_input_names=["x"], gray_bias=10.0, image_scale=0.5)
    pixels = np.random.default_rng(3).integers(0, 256, (4, 6), dtype=np.uint8)
    found = MLModel(specs.save(spec, tmp_path)).predict({"x": Image.fromarray(pixels)})["y"]
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found), np.clip(np.rint(255 - (pixels.astype(np.float32) / 2 + 10)), 0, 255))


def test_a_mean_image(tmp_path: pathlib.Path) -> None:
    spec = classifier("RGB", None)
    mean = GENERATOR.uniform(0, 255, (3, SIDE, SIDE)).astype(np.float32)
    del spec.neuralNetwork.preprocessing[:]
    spec.neuralNetwork.preprocessing.add(featureName="image").meanImage.meanImage.extend(mean.reshape(-1).tolist())
    spec.neuralNetwork.preprocessing.add(featureName="image").scaler.channelScale = 1 / 255
    image = picture()
    expected = reference((np.asarray(image).transpose(2, 0, 1) - mean) / 255)
    np.testing.assert_allclose(
        MLModel(specs.save(spec, tmp_path)).predict({"image": image})["probabilities"], expected, rtol=0, atol=TOLERANCE
    )


def test_a_sequence_and_a_batch_before_the_described_shape(tmp_path: pathlib.Path) -> None:
    """Networks of the first format take them without having described them."""
    model = MLModel(specs.save(classifier(None, None), tmp_path))
    x = normal(2, 3, 3, SIDE, SIDE)
    found = model.predict({"image": x})["probabilities"]
    assert found.shape == (2, 3, 4, 1, 1)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(found[i, j, :, 0, 0], reference(x[i, j]), rtol=0, atol=TOLERANCE)
    with pytest.raises(EngineError, match=r"the array has the shape \[3, 12, 13\] \[image: float64\[3, 12, 12\]"):
        model.predict({"image": normal(3, SIDE, SIDE + 1)})


def test_flexible_shapes_of_the_second_format(tmp_path: pathlib.Path) -> None:
    builder = NeuralNetworkBuilder([("x", datatypes.Array(2, 3))], [("y", None)], disable_rank5_shape_mapping=True)
    builder.add_reduce_sum("sum", "x", "y", axes=[1], keepdims=False)
    spec = builder.spec
    ranges = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    ranges.add(lowerBound=1, upperBound=5)
    ranges.add(lowerBound=3, upperBound=-1)
    model = MLModel(specs.save(spec, tmp_path))
    assert model.inputs[0].shape == ((1, 5), (3, None))
    for _ in range(2):
        for rows, columns in [(1, 3), (5, 40), *((2, size) for size in range(3, 12))]:
            x = normal(rows, columns)
            np.testing.assert_allclose(model.predict({"x": x})["y"], x.sum(1), rtol=0, atol=TOLERANCE)
    with pytest.raises(EngineError, match=r"the array has the shape \[6, 3\]"):
        model.predict({"x": normal(6, 3)})


def test_sizes_of_images_in_a_range(tmp_path: pathlib.Path) -> None:
    """Translated first for the usual size: the smallest of the range is too small for the network's windows."""
    builder = NeuralNetworkBuilder([("x", datatypes.Array(3, 8, 8))], [("y", None)])
    builder.add_pooling("pool", 4, 4, 4, 4, "MAX", "VALID", "x", "y")
    spec = builder.spec
    image = spec.description.input[0].type.imageType
    image.width, image.height, image.colorSpace = 8, 8, 20
    for sides in (image.imageSizeRange.widthRange, image.imageSizeRange.heightRange):
        sides.lowerBound, sides.upperBound = 1, -1
    model = MLModel(specs.save(spec, tmp_path))
    for width, height in ((8, 8), (12, 16)):
        pixels = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = pixels.transpose(2, 0, 1).reshape(3, height // 4, 4, width // 4, 4).max((2, 4))
        np.testing.assert_array_equal(model.predict({"x": Image.fromarray(pixels)})["y"], expected)
    with pytest.raises(EngineError, match=r"windows of \[4, 4\] are larger than"):
        model.predict({"x": Image.new("RGB", (3, 9))})


def test_states_begin_with_zeros(tmp_path: pathlib.Path) -> None:
    builder = NeuralNetworkBuilder(
        [("x", datatypes.Array(2)), ("h", datatypes.Array(3))], [("y", datatypes.Array(3)), ("h_out", datatypes.Array(3))]
    )
    weight, recursion, bias = normal(3, 2), normal(3, 3), normal(3)
    builder.add_simple_rnn("rnn", recursion, weight, bias, 3, 2, "TANH", ["x", "h"], ["y", "h_out"])
    spec = builder.spec
    spec.description.input[1].type.isOptional = True
    model = MLModel(specs.save(spec, tmp_path))
    state = np.zeros(3)
    given: dict[str, Any] = {}
    for _ in range(4):
        x = normal(2)
        found = model.predict({"x": x, **given})
        state = np.tanh(weight @ x + recursion @ state + bias)
        np.testing.assert_allclose(found["y"], state, rtol=0, atol=TOLERANCE)
        given = {"h": found["h_out"]}


@pytest.mark.parametrize(
    ("bits", "mode", "tolerance"),
    [
        (16, "linear", 2e-3),
        (8, "linear", 2e-2),
        (4, "linear", 0.3),
        (6, "linear_lut", 0.1),
        (3, "linear_lut", 0.5),
        (1, "linear", 2.0),
    ],
)
def test_quantized_weights(bits: int, mode: str, tolerance: float, tmp_path: pathlib.Path) -> None:
    """As coremltools quantizes them, and against its own dequantization."""
    spec = classifier(None, None)
    model = quantization_utils.quantize_weights(ct.models.MLModel(spec, skip_model_load=True), bits, mode)
    # On a Mac, as coremltools takes this for after enable_coremltools(), it gives a model.
    quantized_spec = model.get_spec() if hasattr(model, "get_spec") else model
    layers = quantized_spec.neuralNetwork.layers
    assert not layers[0].convolution.weights.floatValue
    x = normal(3, SIDE, SIDE)
    found = MLModel(specs.save(quantized_spec, tmp_path)).predict({"image": x})["probabilities"]
    assert abs(found.sum() - 1) < 1e-5
    np.testing.assert_allclose(found, reference(x), rtol=0, atol=tolerance)


def test_networks_in_a_package_and_in_a_pipeline(tmp_path: pathlib.Path) -> None:
    from executorch_coreml.engine import specification

    network = classifier(None, None)
    network.specificationVersion = 4
    x = normal(3, SIDE, SIDE)
    with specification.package_of_program(network.SerializeToString(), None) as package:
        model = MLModel(package)
        assert model.kind == "neuralNetwork"
        np.testing.assert_allclose(model.predict({"image": x})["probabilities"], reference(x), rtol=0, atol=TOLERANCE)
    message = specs.model({"image": ("array", [3, SIDE, SIDE])}, {"largest": "double"})
    last = specs.model({"probabilities": ("array", [4])}, {"largest": "double"})
    last.arrayFeatureExtractor.extractIndex.append(2)
    message.pipeline.models.extend([network, last])
    found = MLModel(specs.save(message, tmp_path)).predict({"image": x})
    np.testing.assert_allclose(found["largest"], reference(x)[2], rtol=0, atol=TOLERANCE)


def test_what_is_not_translated_is_named(tmp_path: pathlib.Path) -> None:
    spec = classifier(None, None)
    layer = spec.neuralNetwork.layers.add(name="mine", input=["probabilities"], output=["z"])
    layer.custom.className = "SuperLayer"
    with pytest.raises(
        EngineError, match=r"the network has layers that cannot be translated: mine \(custom: SuperLayer\)"
    ) as raised:
        MLModel(specs.save(spec, tmp_path))
    assert raised.value.code == "unsupported"
    layer.categoricalDistribution.SetInParent()
    with pytest.raises(EngineError, match=r"mine \(categoricalDistribution\)"):
        MLModel(specs.save(spec, tmp_path))


def test_contradictions_name_the_layer(tmp_path: pathlib.Path) -> None:
    def changed(change: Any) -> pathlib.Path:
        spec = classifier(None, None)
        change(spec.neuralNetwork.layers)
        return specs.save(spec, tmp_path)

    for change, sentence in (
        (lambda layers: layers[0].convolution.weights.floatValue.pop(), r"weights: there are 134 weights where 135 are declared \[the layer conv \(convolution\)"),
        (lambda layers: setattr(layers[0].convolution, "kernelChannels", 2), "weights: there are 135 weights where 90 are declared"),
        (lambda layers: layers[1].input.__setitem__(0, "q"), r"the layer reads q, which nothing before it computes \[the layer relu \(activation\)"),
        (lambda layers: setattr(layers[2].pooling, "globalPooling", False) or layers[2].pooling.kernelSize.__setitem__(0, 99), "windows of .* are larger than"),
        (lambda layers: setattr(layers[4].innerProduct, "inputChannels", 1 << 60), "weights of the shape"),
        (lambda layers: layers.pop(), "the network computes no such output"),
    ):  # fmt: skip
        with pytest.raises(EngineError, match=sentence):
            MLModel(changed(change))


def test_values_that_are_too_large_are_refused_before_they_are_made(tmp_path: pathlib.Path) -> None:
    message = specs.model({"x": ("array", [3])}, {"y": ("array", [])})
    message.neuralNetwork.arrayInputShapeMapping = 1
    layer = message.neuralNetwork.layers.add(name="big", input=["x"], output=["y"])
    for kind, fields in (
        ("tile", {"reps": [1 << 40]}),
        ("broadcastToStatic", {"targetShape": [1 << 40, 3]}),
        ("constantPad", {"padAmounts": [1 << 40, 0]}),
        ("oneHot", {"oneHotVectorSize": 1 << 40}),
    ):
        getattr(layer, kind).SetInParent()
        for name, value in fields.items():
            if isinstance(value, list):
                getattr(getattr(layer, kind), name).extend(value)
            else:
                setattr(getattr(layer, kind), name, value)
        with pytest.raises(EngineError, match=r"the layer computes a value of the shape .*the layer big"):
            MLModel(specs.save(message, tmp_path))


def test_changed_networks(tmp_path: pathlib.Path) -> None:
    loaded = 0
    for seed in range(60):
        generator = random.Random(seed)
        spec = classifier("RGB" if seed % 2 else None, LABELS if seed % 3 else None)
        for _ in range(generator.choice([1, 1, 2, 3])):
            mutate(spec, generator)
        try:
            loaded += survives(specs.save(spec, tmp_path), generator)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert 0 < loaded < 60
