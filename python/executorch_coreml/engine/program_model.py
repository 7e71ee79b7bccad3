"""One function of an ML Program, which an engine of this library compiles and executes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from executorch_coreml.engine import _native, feature_types, features


class MLState:
    """The values of a model's states between predictions. Made by MLModel.make_state()."""

    def __init__(self, state: _native.State) -> None:
        self._state = state

    def read_state(self, name: str) -> np.ndarray:
        """A copy of one state's value. EngineError for an unknown name."""
        return self._state.read(name)

    def write_state(self, name: str, value: np.ndarray) -> None:
        """Sets one state; floating-point values are converted to the state's dtype. EngineError for an unknown name or another shape."""
        current = self._state.read(name)
        self._state.write(name, feature_types.as_dtype(np.asarray(value), current.dtype, f"the state {name}"))

    def reset(self) -> None:
        """Back to the values of a new state."""
        self._state.reset()

    def copy(self) -> MLState:
        """An independent state with the same values."""
        return MLState(self._state.copy())


class ProgramModel:
    """What ml_model.MLModel is for a package with an ML Program; its methods say what these do.

    Args:
        path: The .mlpackage folder.
        function_name: Of a package with several functions; the default function where empty.
        options: As _native.load() takes them.
    """

    def __init__(self, path: str | os.PathLike[str], function_name: str = "", **options: Any) -> None:
        self._model = _native.load(os.fspath(path), function_name=function_name, **options)
        self.last_predict_duration_in_nano_seconds: int | None = None
        description = self._model.description
        self.function_name: str = description["name"]
        self.inputs = tuple(_describe(spec, description) for spec in description["inputs"])
        self.outputs = tuple(_describe(spec, description) for spec in description["outputs"])
        self.states = tuple(_describe(spec, description) for spec in description["states"])
        classifier = description["classifier"]
        self.classifier = None if classifier is None else features.Classifier(**classifier)

    def make_state(self) -> MLState:
        return MLState(self._model.make_state())

    def predict(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, Any]:
        return self._present(self.predict_tensors(data, state))

    def predict_tensors(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, np.ndarray]:
        inputs = self._convert(data)
        began = time.perf_counter_ns()
        outputs = self._model.predict(inputs, state=None if state is None else state._state)
        self.last_predict_duration_in_nano_seconds = time.perf_counter_ns() - began
        return outputs

    def inspect(self, data: Mapping[str, Any], state: MLState | None = None) -> list[tuple[str, str, str, int, int]]:
        _, events, _ = self._model.inspect(self._convert(data), state=None if state is None else state._state, timings=True)
        return events

    def intermediate_values(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, np.ndarray]:
        if not self._model.offers_intermediate_values:
            raise ValueError("a model that a compile_helper compiled has no intermediate values; load it without compile_helper")
        _, _, values = self._model.inspect(self._convert(data), state=None if state is None else state._state, values=True)
        return values

    def _convert(self, data: Mapping[str, Any]) -> dict[str, Any]:
        converted = dict(data)
        for spec in self.inputs:
            if spec.name not in data:
                if spec.default_value is not None and spec.is_static:
                    converted[spec.name] = np.full(spec.shape, spec.default_value, spec.dtype)
                continue  # The engine says which one is missing.
            value = data[spec.name]
            if features.is_image(value):
                value = features.tensor_of_image(value, spec.color_layout, f"the input {spec.name}")
            array = feature_types.as_dtype(np.asarray(value), spec.dtype, f"the input {spec.name}")
            if not spec.shape and array.shape == (1,):
                array = array.reshape(())
            converted[spec.name] = np.ascontiguousarray(array).reshape(array.shape)
        return converted

    def _present(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        """The outputs as the package describes them."""
        # Core ML has no arrays of rank 0.
        presented: dict[str, Any] = {name: value if value.shape else value.reshape(1) for name, value in outputs.items()}
        for spec in self.outputs:
            if spec.color_layout is not None:
                presented[spec.name] = features.image_of_tensor(outputs[spec.name], spec.color_layout)
        if self.classifier is not None and self.classifier.probabilities in outputs:
            presented.update(self.classifier.present(outputs[self.classifier.probabilities]))
        return presented


def _describe(spec: Mapping[str, Any], description: Mapping[str, Any]) -> feature_types.FeatureDescription:
    return feature_types.FeatureDescription(
        name=spec["name"],
        dtype=np.dtype(spec["dtype"]),
        shape=tuple(spec["shape"]),
        enumerated_shapes=tuple(tuple(shape) for shape in spec["enumerated_shapes"]),
        color_layout=description["images"].get(spec["name"]),
        default_value=description["default_values"].get(spec["name"]),
        kind="image" if spec["name"] in description["images"] else "array",
    )
