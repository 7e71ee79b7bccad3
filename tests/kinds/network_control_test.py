"""Layers that compute shapes, draw numbers, suppress boxes, branch and loop."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import pytest
import specs
from executorch_coreml.engine import EngineError, MLModel
from network_testing import MATRIX, network, run, w


def test_shapes_that_are_computed(tmp_path: pathlib.Path) -> None:
    """A reshape by another value's shape, and the layers that take shapes as values."""
    layers = [
        ("getShape", {}, ["x"], ["shape"]),
        ("fillDynamic", {"value": 2.0}, ["shape"], ["twos"]),
        ("loadConstantND", {"shape": [2], "data": w([-1, 3])}, [], ["target"]),
        ("reshapeDynamic", {}, ["x", "target"], ["reshaped"]),
        ("loadConstantND", {"shape": [3], "data": w([2, 3, 5])}, [], ["wide"]),
        ("broadcastToDynamic", {}, ["x", "wide"], ["broadcast"]),
        ("loadConstantND", {"shape": [2], "data": w([0, 1])}, [], ["begin"]),
        ("sliceDynamic", {"endIds": [2, 4], "strides": [1, 1]}, ["x", "begin"], ["slice"]),
        ("loadConstantND", {"shape": [1], "data": w([4])}, [], ["end"]),
        ("rangeDynamic", {"startValue": 0.0, "stepSizeValue": 2.0}, ["end"], ["range"]),
        ("loadConstantND", {"shape": [1], "data": w([1])}, [], ["one"]),
        ("sliceBySize", {"size": 2, "axis": 1}, ["x", "one"], ["by_size"]),
    ]
    outputs = ["twos", "reshaped", "broadcast", "slice", "range", "by_size"]
    found = run(network(layers, {"x": MATRIX.shape}, outputs), tmp_path, {"x": MATRIX})
    expected = (
        np.full((3, 5), 2),
        MATRIX.reshape(-1, 3),
        np.broadcast_to(MATRIX, (2, 3, 5)),
        MATRIX[0:2, 1:4],
        [0, 2],
        MATRIX[:, 1:3],
    )
    for name, value in zip(outputs, expected):
        np.testing.assert_array_equal(found[name], value)


def test_shapes_that_inputs_say(tmp_path: pathlib.Path) -> None:
    """A program is made for the values that shapes are taken from, and again for others."""
    layers = [
        ("multiply", {"alpha": 2.0}, ["n"], ["twice"]),
        ("tile", {}, ["x", "twice"], ["tiled"]),
        ("topK", {"axis": 1}, ["x", "k"], ["values", "places"]),
    ]
    model = MLModel(specs.save(network(layers, {"x": MATRIX.shape, "n": (2,), "k": (1,)}, ["tiled", "values"]), tmp_path))
    for n, k in (((1, 1), 2), ((2, 1), 3), ((1, 1), 2)):
        found = model.predict({"x": MATRIX, "n": np.float32(n), "k": np.float32([k])})
        np.testing.assert_array_equal(found["tiled"], np.tile(MATRIX, (2 * n[0], 2 * n[1])))
        np.testing.assert_array_equal(found["values"], -np.sort(-MATRIX, 1)[:, :k])
    large = network([("fillDynamic", {"value": 1.0}, ["n"], ["y"])], {"n": (65,)}, ["y"])
    with pytest.raises(
        EngineError,
        match=r"the network cannot be translated: the layer uses numbers that depend .*\[the layer layer0 \(fillDynamic\)",
    ):
        run(large, tmp_path, {"n": np.ones(65, np.float32)})


@pytest.mark.parametrize(("name", "fields", "mean", "deviation"), [
    ("Normal", {"mean": 1.0, "stdDev": 2.0}, 1.0, 2.0),
    ("Uniform", {"minVal": -1.0, "maxVal": 3.0}, 1.0, 4 / math.sqrt(12)),
    ("Bernoulli", {"prob": 0.25}, 0.25, math.sqrt(0.25 * 0.75)),
])  # fmt: skip
def test_random_layers(name: str, fields: dict[str, Any], mean: float, deviation: float, tmp_path: pathlib.Path) -> None:
    layers = [
        (f"random{name}Static", {**fields, "seed": 7, "outputShape": [100, 100]}, [], ["a"]),
        (f"random{name}Like", {**fields, "seed": 7}, ["x"], ["b"]),
        ("loadConstantND", {"shape": [2], "data": w([50, 200])}, [], ["shape"]),
        (f"random{name}Dynamic", {**fields, "seed": 7}, ["shape"], ["c"]),
    ]
    found = run(network(layers, {"x": (20, 500)}, ["a", "b", "c"]), tmp_path, {"x": np.zeros((20, 500), np.float32)})
    assert [found[key].shape for key in "abc"] == [(100, 100), (20, 500), (50, 200)]
    for value in found.values():
        # Of 10,000 values: six standard errors.
        np.testing.assert_allclose(value.mean(), mean, atol=6 * deviation / 100)
        np.testing.assert_allclose(value.std(), deviation, atol=0.1 * deviation)


def test_suppression_in_a_network(tmp_path: pathlib.Path) -> None:
    boxes = np.float32([[[0.5, 0.5, 1, 1], [0.5, 0.55, 1, 1], [3, 3, 1, 1], [6, 6, 1, 1]]])
    scores = np.float32([[[0.9], [0.8], [0.7], [0.1]]])
    fields = {"iouThreshold": 0.5, "scoreThreshold": 0.2, "maxBoxes": 3}
    message = network(
        [("NonMaximumSuppression", fields, ["b", "s"], ["y0", "y1", "y2", "y3"])],
        {"b": boxes.shape, "s": scores.shape},
        ["y0", "y1", "y2", "y3"],
    )
    found = run(message, tmp_path, {"b": boxes, "s": scores})
    np.testing.assert_array_equal(found["y0"][0, :2], boxes[0, [0, 2]])
    np.testing.assert_array_equal(found["y1"][0, :2], scores[0, [0, 2]])
    np.testing.assert_array_equal(found["y2"][0, :2], [0, 2])
    assert found["y3"].tolist() == [2]


def branches(condition: list[tuple], exact: bool = True) -> Any:
    message = network(condition, {"x": MATRIX.shape}, ["y"], exact)
    layer = message.neuralNetwork.layers.add(name="choose", input=["flag"])
    for network_of, alpha in ((layer.branch.ifBranch, 2.0), (layer.branch.elseBranch, -1.0)):
        inner = network_of.layers.add(name="times", input=["x"], output=["y"])
        inner.multiply.alpha = alpha
    return message


def test_branches(tmp_path: pathlib.Path) -> None:
    by_value = branches([("reduceSum", {"reduceAll": True}, ["x"], ["sum"]), ("greaterThan", {"alpha": 0.0}, ["sum"], ["flag"])])
    known = branches([("loadConstantND", {"shape": [1], "data": w([0.0])}, [], ["flag"])])
    for x in (np.abs(MATRIX), -np.abs(MATRIX)):
        np.testing.assert_array_equal(run(by_value, tmp_path, {"x": x})["y"], 2 * x if x.sum() > 0 else -x)
        np.testing.assert_array_equal(run(known, tmp_path, {"x": x})["y"], -x)


def test_loops(tmp_path: pathlib.Path) -> None:
    message = network([("copy", {}, ["x"], ["y"])], {"x": MATRIX.shape}, ["y"])
    loop = message.neuralNetwork.layers.add(name="again")
    loop.loop.maxLoopIterations = 5
    body = loop.loop.bodyNetwork
    body.layers.add(name="times", input=["y"], output=["next"]).multiply.alpha = 2.0
    body.layers.add(name="back", input=["next"], output=["y"]).copy.SetInParent()
    np.testing.assert_array_equal(run(message, tmp_path, {"x": MATRIX})["y"], 32 * MATRIX)
    loop.loop.maxLoopIterations = 1 << 40
    with pytest.raises(
        EngineError, match=r"loops are unrolled up to 256 rounds, and this one has 1099511627776 \[the layer again \(loop\)"
    ):
        run(message, tmp_path, {"x": MATRIX})
