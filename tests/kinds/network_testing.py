"""Networks of a few layers, and what they are given."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import specs
import torch
from executorch_coreml.engine import MLModel
from google.protobuf import json_format

GENERATOR = np.random.default_rng(0)
# Some thousand float32 products and sums of normal values.
TOLERANCE = 2e-5


def network(
    layers: list[tuple[str, dict[str, Any], list[str], list[str]]], inputs: dict[str, tuple], outputs: list[str], exact: bool = True
) -> Any:
    """A network of layers (kind, its parameters as JSON has them, inputs, outputs)."""
    message = specs.model(
        {name: ("array", shape, specs.FLOAT32) for name, shape in inputs.items()},
        {name: ("array", [], specs.FLOAT32) for name in outputs},
    )
    message.neuralNetwork.arrayInputShapeMapping = int(exact)
    message.neuralNetwork.imageInputShapeMapping = int(exact)
    message.neuralNetwork.SetInParent()
    for number, (kind, fields, names, results) in enumerate(layers):
        layer = message.neuralNetwork.layers.add(name=f"layer{number}", input=names, output=results)
        getattr(layer, kind).SetInParent()
        json_format.ParseDict(fields, getattr(layer, kind))
    return message


def w(values: Any) -> dict[str, Any]:
    """Weights."""
    return {"floatValue": np.asarray(values, np.float32).reshape(-1).tolist()}


def normal(*shape: int) -> np.ndarray:
    return GENERATOR.normal(size=shape).astype(np.float32)


def t(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


def run(message: Any, folder: pathlib.Path, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    return MLModel(specs.save(message, folder)).predict(inputs)


MATRIX = normal(3, 5)
RNN = normal(4, 3, 5, 1, 1)
