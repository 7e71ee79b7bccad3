"""The classes of a classifier, and its two outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import evaluator


def read_classes(parameters: Any, artifact: str) -> list[str] | list[int]:
    """Of the message of a classifier; corrupt_data where there are none. Two may have one name, as some of ImageNet's have."""
    which = parameters.WhichOneof("ClassLabels")
    classes = list(getattr(parameters, which).vector) if which else []
    if not classes:
        raise refusals.corrupt("the classifier has no classes", artifact)
    return classes


class ClassOutputs:
    """Which outputs are the class and the probabilities.

    Args:
        model: The classifier.
        description: Its ModelDescription message.
        classes: Its classes, in the order of its numbers.
        others: Outputs that the model computes besides.
    """

    def __init__(
        self, model: evaluator.KindModel, description: Any, classes: list[str] | list[int], others: Sequence[str] = ()
    ) -> None:
        self._classes = classes
        item_kind = "string" if isinstance(classes[0], str) else "int64"
        self._label = description.predictedFeatureName
        label = model.named(self._label, model.outputs, "output of the predicted class")
        if label.kind != item_kind:
            raise refusals.corrupt(
                f"the predicted class is described as {label.kind}, but the classes are {item_kind}s", model.artifact
            )
        self._probabilities = description.predictedProbabilitiesName
        if self._probabilities:
            spec = model.named(self._probabilities, model.outputs, "output of the probabilities")
            if spec.kind != "dictionary" or spec.item_kind != item_kind:
                raise refusals.corrupt(f"the probabilities are not described as a dictionary of {item_kind}s", model.artifact)
        model.require_outputs({self._label, self._probabilities, *others})
        self.names = (self._label, self._probabilities)

    def present(self, probabilities: np.ndarray, label: int | None = None) -> dict[str, Any]:
        """Both outputs; of classes of one name the dictionary has the last. `label` is the index of the predicted class, where not the most probable (of several, the first)."""
        best = int(np.argmax(probabilities)) if label is None else label
        return {
            self._label: self._classes[best],
            self._probabilities: dict(zip(self._classes, probabilities.tolist(), strict=True)),
        }


def softmax(values: np.ndarray) -> np.ndarray:
    exponentials = np.exp(values - values.max())
    return exponentials / exponentials.sum()


def logistic(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))
