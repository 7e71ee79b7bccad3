"""Core ML models from Python, on any platform:

    from executorch_coreml.engine import MLModel

    model = MLModel("model.mlpackage")
    outputs = model.predict({"x": numpy.ones((1, 3, 224, 224), numpy.float32)})

    state = model.make_state()
    model.predict({"token": token}, state)

Off Apple platforms the portable engine executes ML Programs and neural networks, on the CPU. Pipelines, tree ensembles and the other kinds are
evaluated with NumPy. docs/engine.md says how, and what the numbers do and do not show.

Thread rule: several threads may use one model at once. A state may be used by one prediction at a time.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from executorch_coreml import mil_program
from executorch_coreml.engine import _compile_helper, _native, feature_types, kinds, program_model, refusals, specification

__all__ = ["EngineError", "FeatureDescription", "MLModel", "MLState"]

# A package, a state or a prediction was refused; `code`, `message` and `artifact` say why (docs/errors.md).
EngineError = _native.EngineError
FeatureDescription = feature_types.FeatureDescription
MLState = program_model.MLState

NUMERIC_MODES = ("float32", "float16", "low_precision")
COMPUTE_UNITS = ("ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE")


class MLModel:
    """A loaded model. Of an ML Program, it is one function.

    Args:
        path: The .mlpackage folder or, of older kinds, the .mlmodel file. Kinds other than ML Programs are read with coremltools, which
            must be installed.
        compute_units: "ALL", "CPU_ONLY", "CPU_AND_GPU" or "CPU_AND_NE", or the member of coremltools.ComputeUnit of that name. The
            portable engine computes on the CPU whatever is asked for.
        function_name: Which function of a package with several to load; None for the default function.
        numeric_mode: "float32"; or "float16", in which float16 values are rounded after every operation; or "low_precision", in which what
            the program quantizes is computed with integers, which is fast and not exact.
        threads: How many threads compute one prediction; 0 for the engine's choice.
        engine: The name of an engine; empty for the platform's default.
        compile_helper: Whether to compile the package in a process of its own, for packages that you do not trust: if the package makes the
            compiler crash, that process crashes and not yours (docs/engine.md). True, or the path of the program
            //runtime:coreml_compile_helper.
        compile_helper_timeout_s: Seconds that this may take; 0 for 600.
        compile_helper_memory_mb: Megabytes (10^6 bytes) of memory that it may take; 0 for no limit.

    Raises:
        EngineError: if the model is damaged, or has something that cannot be executed here. With a compile_helper, also if the compiler
            crashed (`code` engine_failure) or went beyond a limit (resource_exhausted).
        FileNotFoundError: if compile_helper is True and the program is not there.
        ValueError: if the compute units or the numeric mode do not exist.
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
            raise ValueError(f"compute_units must be one of {', '.join(COMPUTE_UNITS)}, not {compute_units!r}")
        if numeric_mode not in NUMERIC_MODES:
            raise ValueError(f"numeric_mode must be one of {', '.join(NUMERIC_MODES)}, not {numeric_mode!r}")
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
        """Returns a new state with the initial values of the package. Raises EngineError for kinds other than ML Programs, which have none."""
        return self._program("states").make_state()

    def predict(
        self, data: Mapping[str, Any] | Sequence[Mapping[str, Any]], state: MLState | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Predicts once, and returns the outputs by name. For a list of inputs, predicts for each and returns a list.

        Args:
            data: Arrays, tensors or numbers by input name. They are converted to the input's dtype if that loses nothing but the rounding
                of floating-point numbers. An image is a PIL image of the input's size and mode (RGB, L or F), or an array of its tensor.
                A text is a str, a dictionary is a mapping, and a sequence is a list. An optional input may be left out.
            state: The state that a function with states reads and updates. It cannot be given with a list.

        Returns:
            Arrays, none of which has rank 0. An image is a PIL image, whose values are rounded to the nearest of 0 to 255. A classifier
            returns the most probable class, and a dictionary from classes to probabilities. Numbers, texts, dictionaries and sequences are
            int, float, str, dict and list.

        Raises:
            EngineError: if an input is missing or unknown, has a shape that the model does not accept, or if the execution fails.
            ValueError: if the input's dtype cannot hold a value, or an image has another mode.
        """
        if isinstance(data, Mapping):
            began = time.perf_counter_ns()
            if isinstance(self._model, program_model.ProgramModel):
                outputs = self._model.predict(data, state)
            elif state is not None:
                raise refusals.invalid("a state was passed to a model without states", self.kind)
            else:
                outputs = self._model.predict(data)
            taken = getattr(self._model, "last_predict_duration_in_nano_seconds", None)
            self.last_predict_duration_in_nano_seconds = time.perf_counter_ns() - began if taken is None else taken
            return outputs
        if state is not None:
            raise ValueError("a state cannot be passed with a list of inputs: call predict for each input")
        results: list[Any] = []
        total = 0
        for item in data:
            results.append(self.predict(item))
            total += self.last_predict_duration_in_nano_seconds or 0
        self.last_predict_duration_in_nano_seconds = total
        return results

    def predict_tensors(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, np.ndarray]:
        """Does what predict() does for one input, but returns the program's own tensors for images and for a classifier's probabilities."""
        return self._program("tensors").predict_tensors(data, state)

    def inspect(self, data: Mapping[str, Any], state: MLState | None = None) -> list[tuple[str, str, str, int, int]]:
        """Predicts with profiling, and returns what was measured instead of the outputs.

        Returns:
            (kind, name, operation, start, end) of each event, with times in nanoseconds. The kinds are "execute", "operation" and, the first
            time, "load", because profiling needs a graph of its own. An operation has the name of its output in the model, and MIL's name of
            the operation. Operations that the engine has fused are one event, which has the name of the last output.

        Raises:
            EngineError: for kinds other than ML Programs.
        """
        return self._program("operations to measure").inspect(data, state)

    def intermediate_values(self, data: Mapping[str, Any], state: MLState | None = None) -> dict[str, np.ndarray]:
        """Predicts, and returns the value of every operation but constants, by the name of its output in the model, in the model's order.

        The first call compiles a graph in which no operation is fused away. All values are in memory at once. Float16 values are rounded to
        float16 when they are read, in either numeric mode.

        Raises:
            EngineError: for kinds other than ML Programs.
            ValueError: if a compile_helper compiled the model: such a graph does not have these values any more.
        """
        return self._program("intermediate values").intermediate_values(data, state)

    def get_spec(self) -> Any:
        """Returns a copy of the whole specification, as coremltools' Model message. Raises EngineError if coremltools is not installed."""
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
        """Copies the model as it was loaded to `path`, which becomes a folder if the model was one, and otherwise a file.

        Raises:
            FileExistsError: if there is something at `path`. FileNotFoundError: if the model's own files are gone.
            ValueError: if the suffix is that of the other form: .mlmodel for a package, or .mlpackage for a file.
        """
        destination = pathlib.Path(path)
        if self.path.is_dir():
            if destination.suffix == ".mlmodel":
                raise ValueError(f"{self.path} is a package, and {destination} is not the name of one: save it as .mlpackage")
            shutil.copytree(self.path, destination)
            return
        if destination.suffix == ".mlpackage":
            raise ValueError(f"{self.path} is a single file, not a package: save it as .mlmodel")
        if destination.exists():
            raise FileExistsError(f"something already exists at {destination}")
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
                raise refusals.not_found("the model's own files do not exist any more", str(self.path))
            self._specification = specification.parse(found, str(self.path))
        return self._specification

    def _metadata(self) -> Any:
        return self._parsed().description.metadata

    def _texts(self, role: str) -> list[tuple[str, str]]:
        description = mil_program.description(self._parsed(), self.function_name)
        return [(feature.name, feature.shortDescription) for feature in getattr(description, role)]
