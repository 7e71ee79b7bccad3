"""Core ML model packages from Python, on any platform:

    from executorch_coreml.engine import MLModel

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

from executorch_coreml.engine import _compile_helper, _native, features

__all__ = ["EngineError", "FeatureDescription", "MLModel", "MLState"]

# A package, a state or a prediction was refused; `code`, `message` and `artifact` say why (docs/errors.md).
EngineError = _native.EngineError

NUMERIC_MODES = ("float32", "float16", "low_precision")
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
    # Of an image, whose tensor is [1, channels, height, width]: "RGB", "BGR", "GRAYSCALE" or "GRAYSCALE_FLOAT16".
    color_layout: str | None = None
    # Of an input that may be left out: the value of its elements then.
    default_value: float | None = None

    @property
    def is_static(self) -> bool:
        return all(isinstance(extent, int) for extent in self.shape)


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
        numeric_mode: "float32"; "float16", where float16 values are rounded after every operation; or "low_precision", where what the
            program quantizes is computed with integers: fast, and not exact.
        threads: Threads of one prediction; 0 for the engine's choice.
        engine: The name of an engine; the platform's default where empty.
        compile_helper: For a package that nobody vouches for: compile it in a process of its own, so that what it does to the compiler
            happens there (docs/engine.md). True, or the path of the program //runtime:coreml_compile_helper.
        compile_helper_timeout_s: Seconds that this may take; 0 for 600.
        compile_helper_memory_mb: Megabytes (10^6 bytes) of memory that it may take; 0 for no limit.

    Raises:
        EngineError: for a package that is damaged or that the engine cannot execute; with a compile_helper also for one on which the
            compiler crashed (`code` engine_failure) or went beyond a limit (resource_exhausted).
        FileNotFoundError: if compile_helper is True and there is no such program.
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
        compile_helper: bool | str | os.PathLike[str] = False,
        compile_helper_timeout_s: int = 0,
        compile_helper_memory_mb: int = 0,
    ) -> None:
        units = str(getattr(compute_units, "name", compute_units)).upper()
        if units not in COMPUTE_UNITS:
            raise ValueError(f"compute_units is one of {', '.join(COMPUTE_UNITS)}, not {compute_units!r}")
        if numeric_mode not in NUMERIC_MODES:
            raise ValueError(f"numeric_mode is one of {', '.join(NUMERIC_MODES)}, not {numeric_mode!r}")
        began = time.perf_counter_ns()
        self._model = _native.load(
            os.fspath(path),
            function_name=function_name or "",
            numeric_mode=numeric_mode,
            threads=threads,
            engine=engine,
            compile_helper=_compile_helper.program(compile_helper),
            compile_helper_timeout_s=compile_helper_timeout_s,
            compile_helper_memory_mb=compile_helper_memory_mb,
        )
        self.load_duration_in_nano_seconds = time.perf_counter_ns() - began
        self.last_predict_duration_in_nano_seconds: int | None = None
        description = self._model.description
        self.function_name: str = description["name"]
        self.inputs = tuple(_describe(spec, description) for spec in description["inputs"])
        self.outputs = tuple(_describe(spec, description) for spec in description["outputs"])
        self.states = tuple(_describe(spec, description) for spec in description["states"])
        classifier = description["classifier"]
        self.classifier = None if classifier is None else features.Classifier(**classifier)

    def make_state(self) -> MLState:
        """A new state with the initial values of the package."""
        return MLState(self._model.make_state())

    def predict(
        self, data: Mapping[str, Any] | Sequence[Mapping[str, Any]], state: MLState | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The outputs by name; for a list of inputs, a list of them.

        Args:
            data: Arrays, tensors or numbers by input name. They are converted to the input's dtype where no value is lost but the
                rounding of floating-point numbers. For an image, a PIL image of the input's size and mode (RGB, L or F) or an array of
                its tensor. An input with a default value may be left out.
            state: For a function with states: what it reads and updates. Not with a list.

        Returns:
            Arrays; of an image, a PIL image (values are rounded to the nearest of 0 to 255); of a classifier, the most probable class
            and a dictionary from classes to probabilities.

        Raises:
            EngineError: for a missing or unknown input, a shape that the input does not accept, or a failed execution.
            ValueError: for values that the input's dtype cannot hold, or an image of another mode.
        """
        if isinstance(data, Mapping):
            return self._present(self.predict_tensors(data, state))
        if state is not None:
            raise ValueError("a state goes with one prediction, not with a list of them")
        results: list[Any] = []
        total = 0
        for item in data:
            results.append(self.predict(item))
            total += self.last_predict_duration_in_nano_seconds or 0
        self.last_predict_duration_in_nano_seconds = total
        return results

    def predict_tensors(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, np.ndarray]:
        """predict() of one input, with the program's own tensors for images and for the probabilities of a classifier."""
        inputs = self._convert(data)
        began = time.perf_counter_ns()
        outputs = self._model.predict(inputs, state=None if state is None else state._state)
        self.last_predict_duration_in_nano_seconds = time.perf_counter_ns() - began
        return outputs

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

        Raises:
            ValueError: if the model was compiled by a compile_helper: such a graph has lost them.
        """
        if not self._model.offers_intermediate_values:
            raise ValueError("the model was compiled by a compile_helper and has lost its intermediate values; load it without one")
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
            array = _as_dtype(np.asarray(value), spec.dtype, f"the input {spec.name}")
            if not spec.shape and array.shape == (1,):
                array = array.reshape(())
            converted[spec.name] = np.ascontiguousarray(array).reshape(array.shape)
        return converted

    def _present(self, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
        """The outputs as the package describes them."""
        presented: dict[str, Any] = outputs
        for spec in self.outputs:
            if spec.color_layout is not None:
                presented[spec.name] = features.image_of_tensor(outputs[spec.name], spec.color_layout)
        if self.classifier is not None and self.classifier.probabilities in outputs:
            presented.update(self.classifier.present(outputs[self.classifier.probabilities]))
        return presented


def _describe(spec: Mapping[str, Any], description: Mapping[str, Any]) -> FeatureDescription:
    return FeatureDescription(
        name=spec["name"],
        dtype=np.dtype(spec["dtype"]),
        shape=tuple(spec["shape"]),
        enumerated_shapes=tuple(tuple(shape) for shape in spec["enumerated_shapes"]),
        color_layout=description["images"].get(spec["name"]),
        default_value=description["default_values"].get(spec["name"]),
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
