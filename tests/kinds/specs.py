"""Builds small Core ML specifications for the tests."""

from __future__ import annotations

import pathlib
from typing import Any

from coremltools.proto import FeatureTypes_pb2, Model_pb2

DOUBLE, FLOAT32 = FeatureTypes_pb2.ArrayFeatureType.DOUBLE, FeatureTypes_pb2.ArrayFeatureType.FLOAT32

# A feature's type: "double", "int64", "string", ("dictionary" or "sequence", "int64" or "string"), ("array", shape), or
# ("array", shape, element type).
Type = Any


def set_type(feature: Any, name: str, kind: Type) -> None:
    feature.name = name
    if isinstance(kind, str):
        getattr(feature.type, f"{kind}Type").SetInParent()
    elif kind[0] == "dictionary":
        getattr(feature.type.dictionaryType, f"{kind[1]}KeyType").SetInParent()
    elif kind[0] == "sequence":
        getattr(feature.type.sequenceType, f"{kind[1]}Type").SetInParent()
    else:
        feature.type.multiArrayType.shape.extend(kind[1])
        feature.type.multiArrayType.dataType = kind[2] if len(kind) > 2 else DOUBLE


def model(inputs: dict[str, Type], outputs: dict[str, Type], predicted: str = "", probabilities: str = "") -> Any:
    """A Model message with described features, and no kind."""
    message = Model_pb2.Model(specificationVersion=4)
    for name, kind in inputs.items():
        set_type(message.description.input.add(), name, kind)
    for name, kind in outputs.items():
        set_type(message.description.output.add(), name, kind)
    message.description.predictedFeatureName = predicted
    message.description.predictedProbabilitiesName = probabilities
    return message


def save(message: Any, folder: pathlib.Path, name: str = "model.mlmodel") -> pathlib.Path:
    path = folder / name
    path.write_bytes(message.SerializeToString())
    return path


def scaler(shift: list[float], scale: list[float], size: int, names: tuple[str, str] = ("x", "y")) -> Any:
    message = model({names[0]: ("array", [size])}, {names[1]: ("array", [size])})
    message.scaler.shiftValue.extend(shift)
    message.scaler.scaleValue.extend(scale)
    return message


def regressor(weights: list[float], offset: float, names: tuple[str, str] = ("x", "y")) -> Any:
    message = model({names[0]: ("array", [len(weights)])}, {names[1]: "double"}, predicted=names[1])
    message.glmRegressor.weights.add().value.extend(weights)
    message.glmRegressor.offset.append(offset)
    return message


def tree(nodes: list[tuple], outputs: int = 1) -> Any:
    """A regressor of one tree. A node is (feature, threshold, true child, false child), or its leaf's value; its number is its place."""
    message = model({"x": ("array", [4])}, {"y": "double" if outputs == 1 else ("array", [outputs])}, predicted="y")
    parameters = message.treeEnsembleRegressor.treeEnsemble
    parameters.numPredictionDimensions = outputs
    parameters.basePredictionValue.extend([0.0] * outputs)
    for number, node in enumerate(nodes):
        added = parameters.nodes.add()
        added.nodeId = number
        if isinstance(node, tuple):
            added.branchFeatureIndex, added.branchFeatureValue, added.trueChildNodeId, added.falseChildNodeId = node
        else:
            added.nodeBehavior = 6
            added.evaluationInfo.add().evaluationValue = node
    return message


def suppression(
    *, classes: int = 3, per_class: bool = True, iou: float = 0.5, confidence: float = 0.25, boxes: tuple[int, int] | None = None
) -> Any:
    """As detectors have it, with inputs for the thresholds that it only names; of `boxes` the fewest and the most (-1: any number)."""
    message = model(
        {"raw_confidence": ("array", []), "raw_coordinates": ("array", [])},
        {"confidence": ("array", []), "coordinates": ("array", [])},
    )
    for feature, columns in zip(message.description.output, (classes, 4)):
        ranges = feature.type.multiArrayType.shapeRange.sizeRanges
        fewest, most = boxes or (0, -1)
        ranges.add(lowerBound=fewest, upperBound=most)
        ranges.add(lowerBound=columns, upperBound=columns)
    parameters = message.nonMaximumSuppression
    parameters.pickTop.perClass = per_class
    parameters.iouThreshold, parameters.confidenceThreshold = iou, confidence
    parameters.confidenceInputFeatureName, parameters.coordinatesInputFeatureName = "raw_confidence", "raw_coordinates"
    parameters.confidenceOutputFeatureName, parameters.coordinatesOutputFeatureName = "confidence", "coordinates"
    parameters.iouThresholdInputFeatureName, parameters.confidenceThresholdInputFeatureName = "iouThreshold", "confidenceThreshold"
    return message
