"""What every kind of model has in common: its described features, and predictions that take and give their values."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from executorch_coreml.engine import feature_types, refusals


class Evaluator(Protocol):
    """A model that is ready for predictions. Thread rule: predictions may run at the same time."""

    inputs: tuple[feature_types.FeatureDescription, ...]
    outputs: tuple[feature_types.FeatureDescription, ...]

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The described outputs by name. EngineError and ValueError as of ml_model.MLModel.predict()."""


@dataclasses.dataclass(frozen=True)
class Context:
    """Where a model is from, and how what it contains is to be executed."""

    # Of errors: a path, in a pipeline with the name of the model in it.
    artifact: str
    # The weight files that ML Programs within refer to.
    weights: pathlib.Path | None
    # Of ProgramModel.
    options: Mapping[str, Any]
    # Pipelines around this model.
    depth: int = 0

    def within(self, name: str) -> Context:
        return dataclasses.replace(self, artifact=f"{name} of {self.artifact}", depth=self.depth + 1)


class KindModel:
    """A model with described features. A subclass checks its parameters when it is made, so that predictions fail for their values only.

    Args:
        model: The Model message.
        context: Where it is from.
    """

    # Whether arrays of any shape are taken, whatever is described: what a kind reads as a vector or checks itself.
    takes_any_shape = False

    def __init__(self, model: Any, context: Context) -> None:
        self.artifact = context.artifact
        self.inputs = _describe_all(model.description.input, "input", context.artifact)
        self.outputs = _describe_all(model.description.output, "output", context.artifact)

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for spec in self.inputs:
            if spec.name in data:
                values[spec.name] = feature_types.accept(spec, data[spec.name], any_shape=self.takes_any_shape)
            elif spec.default_value is not None and spec.kind == "array" and spec.is_static:
                values[spec.name] = np.full([e for e in spec.shape if isinstance(e, int)], spec.default_value, spec.dtype)
            elif not spec.is_optional:
                raise refusals.invalid("the input is missing", f"{spec.name} of {self.artifact}")
        unknown = [name for name in data if name not in {spec.name for spec in self.inputs}]
        if unknown:
            raise refusals.invalid("the model has no such input", f"{unknown[0]} of {self.artifact}")
        with np.errstate(all="ignore"):
            results = self.evaluate(values)
        return {spec.name: feature_types.present(spec, results[spec.name], self.artifact) for spec in self.outputs}

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        """What is computed of accepted values, by output name; every described output is there."""
        raise NotImplementedError

    def only_input(self) -> feature_types.FeatureDescription:
        if len(self.inputs) != 1:
            raise refusals.corrupt(f"{len(self.inputs)} inputs are described, and there must be one", self.artifact)
        return self.inputs[0]

    def only_output(self) -> feature_types.FeatureDescription:
        if len(self.outputs) != 1:
            raise refusals.corrupt(f"{len(self.outputs)} outputs are described, and there must be one", self.artifact)
        return self.outputs[0]

    def named(self, name: str, specs: tuple[feature_types.FeatureDescription, ...], what: str) -> feature_types.FeatureDescription:
        """The described feature that parameters refer to."""
        for spec in specs:
            if spec.name == name:
                return spec
        raise refusals.corrupt(f"the {what} {name!r} is not described", self.artifact)

    def require_outputs(self, computed: set[str]) -> None:
        """corrupt_data where an output is described that the model does not compute."""
        for spec in self.outputs:
            if spec.name not in computed:
                raise refusals.corrupt(f"the description has an output that the model does not compute: {spec.name}", self.artifact)

    def vector(self, values: Mapping[str, Any], size: int) -> np.ndarray:
        """All inputs, numbers and arrays, as one vector in the order of their description: float64[size]."""
        parts = []
        for spec in self.inputs:
            if spec.name not in values:
                raise refusals.invalid("the input is missing", f"{spec.name} of {self.artifact}")
            parts.append(np.asarray(values[spec.name], np.float64).reshape(-1))
        whole = np.concatenate(parts) if parts else np.empty(0)
        if whole.size != size:
            raise refusals.invalid(f"the inputs have {whole.size} numbers, but the model takes {size}", self.artifact)
        return whole

    def require_numbers(self) -> None:
        """corrupt_data where an input is neither a number nor an array."""
        for spec in self.inputs:
            if spec.kind not in ("array", "int64", "double"):
                raise refusals.corrupt(f"the input {spec.name} is a {spec.kind} where the model takes numbers", self.artifact)


def _describe_all(descriptions: Any, role: str, artifact: str) -> tuple[feature_types.FeatureDescription, ...]:
    specs = tuple(feature_types.describe(description, artifact) for description in descriptions)
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise refusals.corrupt(f"an {role} is described twice: {name}", artifact)
    return specs


def matrix(rows: list[Any], what: str, artifact: str) -> np.ndarray:
    """Rows of numbers as float64[rows, columns]; corrupt_data where their lengths differ."""
    if len({len(row) for row in rows}) > 1:
        raise refusals.corrupt(f"the {what} have different lengths", artifact)
    return np.array(rows, np.float64).reshape(len(rows), len(rows[0]) if rows else 0)
