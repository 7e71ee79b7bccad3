"""Generalized linear models: a product, an offset, a link."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import classes, evaluator


def _normal_distribution(values: np.ndarray) -> np.ndarray:
    """The share of the standard normal distribution below each value."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in values.tolist()])


class _LinearModel(evaluator.KindModel):
    def __init__(self, model: Any, context: evaluator.Context, parameters: Any) -> None:
        super().__init__(model, context)
        self.require_numbers()
        self._weights = evaluator.matrix([row.value for row in parameters.weights], "weights", self.artifact)
        self._offset = np.array(parameters.offset, np.float64)
        if not len(self._weights) or self._offset.size != len(self._weights):
            raise refusals.corrupt(f"there are {self._offset.size} offsets for {len(self._weights)} rows of weights", self.artifact)

    def _scores(self, values: dict[str, Any]) -> np.ndarray:
        return self._weights @ self.vector(values, self._weights.shape[1]) + self._offset


class LinearRegressor(_LinearModel):
    """glmRegressor."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context, model.glmRegressor)
        links = (lambda scores: scores, classes.logistic, _normal_distribution)
        index = model.glmRegressor.postEvaluationTransform
        if not 0 <= index < len(links):
            raise refusals.corrupt(f"the model has the unknown transform {index}", self.artifact)
        self._link = links[index]
        self._output = model.description.predictedFeatureName
        self.require_outputs({self._output})

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        return {self._output: self._link(self._scores(values))}


class LinearClassifier(_LinearModel):
    """glmClassifier: of two classes one row of weights is enough, the second one's."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context, model.glmClassifier)
        parameters = model.glmClassifier
        labels = classes.read_classes(parameters, self.artifact)
        self._outputs = classes.ClassOutputs(self, model.description, labels)
        if parameters.postEvaluationTransform not in (0, 1) or parameters.classEncoding not in (0, 1):
            raise refusals.corrupt("the model has an unknown transform or encoding of classes", self.artifact)
        self._is_probit = parameters.postEvaluationTransform == 1
        self._has_reference = parameters.classEncoding == 0
        rows = len(self._weights)
        self._is_binary = rows == 1 and len(labels) == 2
        if not self._is_binary and rows + self._has_reference != len(labels):
            raise refusals.corrupt(f"there are {rows} rows of weights for {len(labels)} classes", self.artifact)
        if self._is_probit and not self._is_binary:
            raise refusals.corrupt("probit needs two classes and one row of weights", self.artifact)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        scores = self._scores(values)
        if self._is_binary:
            (second,) = _normal_distribution(scores) if self._is_probit else classes.logistic(scores)
            return self._outputs.present(np.array([1 - second, second]))
        if self._has_reference:
            return self._outputs.present(classes.softmax(np.concatenate([[0], scores])))
        each = classes.logistic(scores)
        total = each.sum()
        # Where every class is as improbable as can be, none is preferred but by its score.
        if total == 0:
            return self._outputs.present(np.full(each.size, 1 / each.size), int(np.argmax(scores)))
        return self._outputs.present(each / total)
