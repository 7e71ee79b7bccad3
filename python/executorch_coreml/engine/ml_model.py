"""Core ML models from Python, on any platform:

    from executorch_coreml.engine import MLModel

    model = MLModel("model.mlpackage")
    outputs = model.predict({"x": numpy.ones((1, 3, 224, 224), numpy.float32)})

    state = model.make_state()
    model.predict({"token": token}, state)

Off Apple platforms the portable engine executes ML Programs and neural networks, on the CPU; pipelines, tree ensembles and the other
kinds are evaluated with NumPy: docs/engine.md says how, and what the numbers do and do not establish.

Thread rule: one model may be used by several threads at once; one state by one prediction at a time.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from executorch_coreml.engine import _compile_helper, _native, feature_types, kinds, program_model, refusals, specification

__all__ = ["EngineError", "FeatureDescription", "MLModel", "MLState"]

# A package, a state or a prediction was refused; `code`, `message` and `artifact` say why (docs/errors.md).
EngineError = _native.EngineError
FeatureDescription = feature_types.FeatureDescription
MLState = program_model.MLState

NUMERIC_MODES = ("float32", "float16", "low_precision")
COMPUTE_UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")


class MLModel:
    """A model, of an ML Program one function, loaded.

    Args:
        path: The .mlpackage folder or, of older kinds, the .mlmodel file. Kinds other than ML Programs are read with coremltools, which
            must be installed.
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
        EngineError: for a model that is damaged or of which there is something that is not executed here; with a compile_helper also for one on which the
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
        options = {
            "numeric_mode": numeric_mode,
            "threads": threads,
            "engine": engine,
            "compile_helper": _compile_helper.program(compile_helper),
            "compile_helper_timeout_s": compile_helper_timeout_s,
            "compile_helper_memory_mb": compile_helper_memory_mb,
        }
        self.path = pathlib.Path(path)
        began = time.perf_counter_ns()
        found = specification.find(path)
        self._model: program_model.ProgramModel | kinds.Evaluator
        if found is None or (found.kind == specification.PROGRAM and self.path.is_dir()):
            # What is no model at all is refused by the native reader, in its words.
            self._model = program_model.ProgramModel(path, function_name or "", **options)
        elif found.kind == specification.PROGRAM:
            # A file without weights beside it.
            with specification.package_of_program(found.path.read_bytes(), None) as package:
                self._model = program_model.ProgramModel(package, function_name or "", **options)
        elif function_name:
            sentence = specification.SENTENCES[found.kind]
            raise refusals.not_found(f"the model is {sentence} and has no functions", function_name)
        else:
            self._model = kinds.load(found, str(self.path), options)
        self.load_duration_in_nano_seconds = time.perf_counter_ns() - began
        self.last_predict_duration_in_nano_seconds: int | None = None
        # As coremltools' specifications name it: "mlProgram", "pipeline", "treeEnsembleRegressor" ...
        self.kind = specification.PROGRAM if found is None else found.kind
        self.function_name: str = getattr(self._model, "function_name", "")
        self.inputs: tuple[FeatureDescription, ...] = self._model.inputs
        self.outputs: tuple[FeatureDescription, ...] = self._model.outputs
        self.states: tuple[FeatureDescription, ...] = getattr(self._model, "states", ())
        self.classifier = getattr(self._model, "classifier", None)
        self._specification: Any = None

    def make_state(self) -> MLState:
        """A new state with the initial values of the package. EngineError for kinds other than ML Programs, which have none."""
        return self._program("states").make_state()

    def predict(
        self, data: Mapping[str, Any] | Sequence[Mapping[str, Any]], state: MLState | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """The outputs by name; for a list of inputs, a list of them.

        Args:
            data: Arrays, tensors or numbers by input name. They are converted to the input's dtype where no value is lost but the
                rounding of floating-point numbers. For an image, a PIL image of the input's size and mode (RGB, L or F) or an array of
                its tensor. For what is described as a text, a dictionary or a sequence: str, a mapping, a list. An input that is
                described as optional may be left out.
            state: For a function with states: what it reads and updates. Not with a list.

        Returns:
            Arrays, none of rank 0; of an image, a PIL image (values are rounded to the nearest of 0 to 255); of a classifier, the most
            probable class and a dictionary from classes to probabilities; where numbers, texts, dictionaries or sequences are described,
            int, float, str, dict or list.

        Raises:
            EngineError: for a missing or unknown input, a shape that the input does not accept, or a failed execution.
            ValueError: for values that the input's dtype cannot hold, or an image of another mode.
        """
        if isinstance(data, Mapping):
            began = time.perf_counter_ns()
            if isinstance(self._model, program_model.ProgramModel):
                outputs = self._model.predict(data, state)
            elif state is not None:
                raise refusals.invalid("a state is given to a model without states", self.kind)
            else:
                outputs = self._model.predict(data)
            taken = getattr(self._model, "last_predict_duration_in_nano_seconds", None)
            self.last_predict_duration_in_nano_seconds = time.perf_counter_ns() - began if taken is None else taken
            return outputs
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
        return self._program("tensors").predict_tensors(data, state)

    def inspect(self, data: Mapping[str, Any], state: MLState | None = None) -> list[tuple[str, str, str, int, int]]:
        """Predicts with profiling, and returns what was measured instead of the outputs.

        Returns:
            (kind, name, operation, start, end) of each event, times in nanoseconds: "execute", "operation" (by the name of its output in
            the model and MIL's name of the operation; what was fused is one event, by its last output), and "load" the first time, as
            profiling needs a graph of its own.

        Raises:
            EngineError: for kinds other than ML Programs.
        """
        return self._program("operations to measure").inspect(data, state)

    def intermediate_values(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, np.ndarray]:
        """Predicts, and returns the value of every operation by the name of its output in the model, constants left out, in their order.

        The first call compiles a graph of its own, in which nothing is fused away; all values are in memory at once. Float16 values are
        rounded to float16 on reading in either numeric mode.

        Raises:
            EngineError: for kinds other than ML Programs.
            ValueError: if the model was compiled by a compile_helper: such a graph has lost them.
        """
        return self._program("intermediate values").intermediate_values(data, state)

    def get_spec(self) -> Any:
        """The whole specification, a copy, as coremltools' Model message. EngineError where coremltools is not installed."""
        copy = specification.messages().Model()
        copy.CopyFrom(self._parsed())
        return copy

    @property
    def input_description(self) -> dict[str, str]:
        """What the model's author wrote of each input, by its name."""
        return {name: text for name, text in self._texts("input")}

    @property
    def output_description(self) -> dict[str, str]:
        """What the model's author wrote of each output, by its name."""
        return {name: text for name, text in self._texts("output")}

    @property
    def short_description(self) -> str:
        return self._metadata().shortDescription

    @property
    def author(self) -> str:
        return self._metadata().author

    @property
    def license(self) -> str:
        return self._metadata().license

    @property
    def version(self) -> str:
        return self._metadata().versionString

    @property
    def user_defined_metadata(self) -> dict[str, str]:
        return dict(self._metadata().userDefined)

    def save(self, path: str | os.PathLike[str]) -> None:
        """A copy of the model as it was loaded: a folder where it was one, otherwise a file.

        Raises:
            FileExistsError: if there is something at `path`, or FileNotFoundError if the model's own files are gone.
            ValueError: for a suffix of the other form, .mlmodel of a package or .mlpackage of a file.
        """
        destination = pathlib.Path(path)
        if self.path.is_dir():
            if destination.suffix == ".mlmodel":
                raise ValueError(f"{self.path} is a package, which {destination} does not hold: save it as .mlpackage")
            shutil.copytree(self.path, destination)
            return
        if destination.suffix == ".mlpackage":
            raise ValueError(f"{self.path} is a single file, not a package: save it as .mlmodel")
        if destination.exists():
            raise FileExistsError(f"there is something at {destination} already")
        shutil.copyfile(self.path, destination)

    def _program(self, what: str) -> program_model.ProgramModel:
        if isinstance(self._model, program_model.ProgramModel):
            return self._model
        raise refusals.unsupported(
            f"the model is {specification.SENTENCES[self.kind]}; only ML Programs have {what}", str(self.path)
        )

    def _parsed(self) -> Any:
        if self._specification is None:
            found = specification.find(self.path)
            if found is None:
                raise refusals.not_found("the model's own files are no longer there", str(self.path))
            self._specification = specification.parse(found, str(self.path))
        return self._specification

    def _metadata(self) -> Any:
        return self._parsed().description.metadata

    def _texts(self, role: str) -> list[tuple[str, str]]:
        description = self._parsed().description
        for function in description.functions:
            if function.name == self.function_name:
                description = function
                break
        return [(feature.name, feature.shortDescription) for feature in getattr(description, role)]
