"""Non-maximum suppression of boxes, the last step of object detectors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from executorch_coreml.engine import feature_types, refusals
from executorch_coreml.engine.kinds import evaluator


def suppress(boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, iou_threshold: float) -> np.ndarray:
    """The indices of the boxes that stay, by descending score; of equal scores the first comes first.

    Args:
        boxes: float64[n, 4]: center x, center y, width, height.
        scores: float64[n].
        groups: int64[n]: only boxes of one group suppress each other.
        iou_threshold: A box goes where its intersection with one that stays, divided by their union, is larger.
    """
    order = np.argsort(-scores, kind="stable")
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    areas = np.maximum(boxes[:, 2], 0) * np.maximum(boxes[:, 3], 0)
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        sides = np.maximum(np.minimum(high[best], high[order]) - np.maximum(low[best], low[order]), 0)
        common = sides[:, 0] * sides[:, 1]
        union = areas[best] + areas[order] - common
        # Boxes without area have nothing in common.
        ratio = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
        order = order[(ratio <= iou_threshold) | (groups[order] != groups[best])]
    return np.array(kept, np.int64)


class NonMaximumSuppression(evaluator.KindModel):
    """nonMaximumSuppression: boxes with a confidence of at least the threshold, the surest first; as many as the outputs are described to have."""

    # What comes from a detector is [boxes, ...], whatever number was described.
    takes_any_shape = True

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        parameters = model.nonMaximumSuppression
        self._per_class = parameters.WhichOneof("SuppressionMethod") == "pickTop" and parameters.pickTop.perClass
        self._thresholds = (parameters.iouThreshold, parameters.confidenceThreshold)
        self._threshold_inputs = (parameters.iouThresholdInputFeatureName, parameters.confidenceThresholdInputFeatureName)
        self._confidence = self.named(parameters.confidenceInputFeatureName, self.inputs, "input of confidences").name
        self._coordinates = self.named(parameters.coordinatesInputFeatureName, self.inputs, "input of coordinates").name
        # Detectors as they are exported name the inputs of the thresholds here and describe them in the pipeline around it only. Those that
        # are described have their default all the same, the parameter.
        described = {spec.name for spec in self.inputs}
        self.inputs = tuple(
            dataclasses.replace(spec, is_optional=True) if spec.name in self._threshold_inputs else spec for spec in self.inputs
        ) + tuple(
            feature_types.FeatureDescription(name, np.dtype(np.float64), (), kind="double", is_optional=True)
            for name in dict.fromkeys(self._threshold_inputs)
            if name and name not in described
        )
        self.require_numbers()
        names = (parameters.confidenceOutputFeatureName, parameters.coordinatesOutputFeatureName)
        self._results = names
        self.require_outputs(set(names))
        # Of the number of boxes, where one is described.
        self._fewest, self._most = 0, None
        for spec in self.outputs:
            if spec.kind != "array" or len(spec.shape) not in (0, 2):
                raise refusals.corrupt(f"the output {spec.name} is not described as [boxes, ...]", self.artifact)
            if not spec.shape:
                continue
            rows = spec.shape[0]
            fewest, most = (rows, rows) if isinstance(rows, int) else rows
            self._fewest = max(self._fewest, fewest)
            self._most = most if self._most is None else self._most if most is None else min(most, self._most)
        if self._fewest > (1 << 24) or (self._most is not None and self._most < self._fewest):
            raise refusals.corrupt("the outputs are described with numbers of boxes that do not fit", self.artifact)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        confidence, coordinates = np.asarray(values[self._confidence]), np.asarray(values[self._coordinates])
        if confidence.ndim != 2 or not confidence.shape[1] or coordinates.shape != (confidence.shape[0], 4):
            raise refusals.invalid(
                f"confidences {list(confidence.shape)} and coordinates {list(coordinates.shape)} are not [boxes, classes] and [boxes, 4]",
                self.artifact,
            )
        iou, least = (
            float(np.asarray(values[name]).reshape(-1)[0]) if name in values and np.asarray(values[name]).size == 1 else fixed
            for name, fixed in zip(self._threshold_inputs, self._thresholds, strict=True)
        )
        best = confidence.max(1).astype(np.float64)
        candidates = np.flatnonzero(best >= least)
        groups = confidence.argmax(1) if self._per_class else np.zeros(len(best), np.int64)
        kept = candidates[suppress(coordinates[candidates].astype(np.float64), best[candidates], groups[candidates], iou)]
        kept = kept[: self._most]
        missing = max(0, self._fewest - len(kept))
        return {
            name: np.concatenate([array[kept], np.zeros((missing, array.shape[1]), array.dtype)])
            for name, array in zip(self._results, (confidence, coordinates), strict=True)
        }
