"""The k nearest neighbors, found by looking at all samples: an index changes how they are found, not which."""

from __future__ import annotations

from typing import Any

import numpy as np

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import evaluator


class NearestNeighbors(evaluator.KindModel):
    """kNearestNeighborsClassifier. Samples are float32, distances squared Euclidean ones in double precision; of samples as far away, the
    first are taken. Weighted by distance, a sample counts by the inverse of it, and one at no distance for all.
    """

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self.require_numbers()
        parameters = model.kNearestNeighborsClassifier
        index = parameters.nearestNeighborsIndex
        samples = evaluator.matrix([sample.vector for sample in index.floatSamples], "samples", self.artifact)
        self._dimensions = index.numberOfDimensions
        if self._dimensions < 1 or (len(samples) and samples.shape[1] != self._dimensions):
            raise refusals.corrupt(
                f"the samples have {samples.shape[1]} numbers, but {self._dimensions} are declared", self.artifact
            )
        self._samples = samples
        which = parameters.WhichOneof("ClassLabels")
        self._labels: list[Any] = list(getattr(parameters, which).vector) if which else []
        if len(self._labels) != len(samples):
            raise refusals.corrupt(f"there are {len(self._labels)} labels for {len(samples)} samples", self.artifact)
        self._neighbors = parameters.numberOfNeighbors.defaultValue
        if self._neighbors < 1:
            raise refusals.corrupt(f"{self._neighbors} neighbors are requested", self.artifact)
        self._by_distance = parameters.WhichOneof("WeightingScheme") == "inverseDistanceWeighting"
        default = parameters.WhichOneof("DefaultClassLabel")
        self._default = getattr(parameters, default) if default else None
        if not self._labels and self._default is None:
            raise refusals.corrupt("there are no samples and no default class", self.artifact)
        self._label = model.description.predictedFeatureName
        self._probabilities = model.description.predictedProbabilitiesName
        item_kind = "string" if which == "stringClassLabels" or (which is None and isinstance(self._default, str)) else "int64"
        if self.named(self._label, self.outputs, "output of the predicted class").kind != item_kind:
            raise refusals.corrupt(f"the predicted class is not described as the {item_kind} that the labels are", self.artifact)
        self.require_outputs({self._label, self._probabilities})

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        vector = self.vector(values, self._dimensions)
        if not self._labels:
            return {self._label: self._default, self._probabilities: {self._default: 1.0}}
        distances = ((self._samples - vector) ** 2).sum(1)
        nearest = np.argsort(distances, kind="stable")[: self._neighbors]
        weights = np.ones(nearest.size)
        if self._by_distance:
            at_no_distance = distances[nearest] == 0
            weights = at_no_distance.astype(np.float64) if at_no_distance.any() else 1 / distances[nearest]
        shares = dict.fromkeys(sorted(set(self._labels)), 0.0)
        for index, weight in zip(nearest.tolist(), weights.tolist(), strict=True):
            shares[self._labels[index]] += weight
        total = sum(shares.values())
        # Of classes with as much weight, that of the nearest sample.
        best = max(nearest.tolist(), key=lambda index: shares[self._labels[index]])
        return {self._label: self._labels[best], self._probabilities: {label: weight / total for label, weight in shares.items()}}
