"""Core ML model packages from Python, on any platform:

    from executorch.backends.apple.coreml.runtime import MLModel

    model = MLModel("model.mlpackage")
    outputs = model.predict({"x": numpy.ones((1, 3, 224, 224), numpy.float32)})

    state = model.make_state()
    model.predict({"token": token}, state)

Off Apple platforms the portable engine executes the package, on the CPU: docs/engine.md says how, and what its numbers do and do not
establish.

Thread rule: one model may be used by several threads at once; one state by one prediction at a time.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from executorch.backends.apple.coreml.runtime import _engine

__all__ = ["EngineError", "FeatureDescription", "MLModel", "MLState"]

# A package, a state or a prediction was refused; `code`, `message` and `artifact` say why (docs/errors.md).
EngineError = _engine.EngineError

COMPUTE_UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")


@dataclasses.dataclass(frozen=True)
class FeatureDescription:
    """An input, output or state of a function."""

    name: str
    dtype: np.dtype
    # An extent, or its smallest and largest value (None: unbounded).
    shape: tuple[int | tuple[int, int | None], ...]
    # Where not empty: the only shapes that are accepted.
    enumerated_shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def is_static(self) -> bool:
        return all(isinstance(extent, int) for extent in self.shape)


class MLState:
    """The values of a model's states between predictions. Made by MLModel.make_state()."""

    def __init__(self, state: _engine.State) -> None:
        self._state = state

    def read_state(self, name: str) -> np.ndarray:
        """A copy of one state's value. EngineError for an unknown name."""
        return self._state.read(name)

    def write_state(self, name: str, value: np.ndarray) -> None:
        """Sets one state; floating-point values are converted to the state's dtype. EngineError for an unknown name or another shape."""
        current = self._state.read(name)
        self._state.write(name, _as_dtype(np.asarray(value), current.dtype, f"the state {name}"))

    def reset(self) -> None:
        """Back to the values of a new state."""
        self._state.reset()

    def copy(self) -> MLState:
        """An independent state with the same values."""
        return MLState(self._state.copy())


class MLModel:
    """One function of a model package, compiled and loaded.

    Args:
        path: The .mlpackage folder.
        compute_units: "ALL", "CPU_ONLY", "CPU_AND_GPU" or "CPU_AND_NE", or the member of coremltools.ComputeUnit of that name. The
            portable engine computes on the CPU whatever is asked for.
        function_name: Of a package with several functions; the default function where None.
        numeric_mode: "float32" or "float16": whether float16 values are rounded after every operation.
        threads: Threads of one prediction; 0 for the engine's choice.
        engine: The name of an engine; the platform's default where empty.

    Raises:
        EngineError: for a package that is damaged or that the engine cannot execute.
        ValueError: for compute units or a numeric mode that do not exist.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        compute_units: Any = "ALL",
        function_name: str | None = None,
        *,
        numeric_mode: str = "float32",
        threads: int = 0,
        engine: str = "",
    ) -> None:
        units = str(getattr(compute_units, "name", compute_units)).upper()
        if units not in COMPUTE_UNITS:
            raise ValueError(f"compute_units is one of {', '.join(COMPUTE_UNITS)}, not {compute_units!r}")
        if numeric_mode not in ("float32", "float16"):
            raise ValueError(f'numeric_mode is "float32" or "float16", not {numeric_mode!r}')
        began = time.perf_counter_ns()
        self._model = _engine.load(
            os.fspath(path), function_name=function_name or "", numeric_mode=numeric_mode, threads=threads, engine=engine
        )
        self.load_duration_in_nano_seconds = time.perf_counter_ns() - began
        self.last_predict_duration_in_nano_seconds: int | None = None
        description = self._model.description
        self.function_name: str = description["name"]
        self.inputs = tuple(_describe(spec) for spec in description["inputs"])
        self.outputs = tuple(_describe(spec) for spec in description["outputs"])
        self.states = tuple(_describe(spec) for spec in description["states"])

    def make_state(self) -> MLState:
        """A new state with the initial values of the package."""
        return MLState(self._model.make_state())

    def predict(
        self, data: Mapping[str, Any] | Sequence[Mapping[str, Any]], state: MLState | None = None
    ) -> dict[str, np.ndarray] | list[dict[str, np.ndarray]]:
        """The outputs by name; for a list of inputs, a list of them.

        Args:
            data: Arrays, tensors or numbers by input name. They are converted to the input's dtype where no value is lost but the
                rounding of floating-point numbers.
            state: For a function with states: what it reads and updates. Not with a list.

        Raises:
            EngineError: for a missing or unknown input, a shape that the input does not accept, or a failed execution.
            ValueError: for values that the input's dtype cannot hold.
        """
        if isinstance(data, Mapping):
            inputs = self._convert(data)
            began = time.perf_counter_ns()
            outputs = self._model.predict(inputs, state=None if state is None else state._state)
            self.last_predict_duration_in_nano_seconds = time.perf_counter_ns() - began
            return outputs
        if state is not None:
            raise ValueError("a state goes with one prediction, not with a list of them")
        results = []
        total = 0
        for item in data:
            results.append(self.predict(item))
            total += self.last_predict_duration_in_nano_seconds or 0
        self.last_predict_duration_in_nano_seconds = total
        return results

    def inspect(self, data: Mapping[str, Any], state: MLState | None = None) -> list[tuple[str, str, str, int, int]]:
        """Predicts with profiling, and returns what was measured instead of the outputs.

        Returns:
            (kind, name, operation, start, end) of each event, times in nanoseconds: "execute", "operation" (by the name of its output in
            the model and MIL's name of the operation; what was fused is one event, by its last output), and "load" the first time, as
            profiling needs a graph of its own.
        """
        _, events, _ = self._model.inspect(self._convert(data), state=None if state is None else state._state, timings=True)
        return events

    def intermediate_values(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, np.ndarray]:
        """Predicts, and returns the value of every operation by the name of its output in the model, constants left out, in their order.

        The first call compiles a graph of its own, in which nothing is fused away; all values are in memory at once. Float16 values are
        rounded to float16 on reading in either numeric mode.
        """
        _, _, values = self._model.inspect(self._convert(data), state=None if state is None else state._state, values=True)
        return values

    def _convert(self, data: Mapping[str, Any]) -> dict[str, Any]:
        converted = dict(data)
        for spec in self.inputs:
            if spec.name not in data:
                continue  # The engine says which one is missing.
            array = _as_dtype(np.asarray(data[spec.name]), spec.dtype, f"the input {spec.name}")
            if not spec.shape and array.shape == (1,):
                array = array.reshape(())
            converted[spec.name] = np.ascontiguousarray(array).reshape(array.shape)
        return converted


def _describe(spec: Mapping[str, Any]) -> FeatureDescription:
    return FeatureDescription(
        name=spec["name"],
        dtype=np.dtype(spec["dtype"]),
        shape=tuple(spec["shape"]),
        enumerated_shapes=tuple(tuple(shape) for shape in spec["enumerated_shapes"]),
    )


def _as_dtype(array: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
    """`array` as `dtype`; ValueError where that changes more than the rounding of reals."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} takes {dtype} numbers, not {array.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(dtype)
    if dtype.kind == "f":
        if (np.isinf(converted) & np.isfinite(array)).any():
            raise ValueError(f"{what} is {dtype}, which cannot hold {np.abs(array[np.isfinite(array)]).max()}")
    elif not np.array_equal(converted.astype(np.float64), array.astype(np.float64)):
        raise ValueError(f"{what} is {dtype}, which cannot hold all of its values of {array.dtype}")
    return converted
