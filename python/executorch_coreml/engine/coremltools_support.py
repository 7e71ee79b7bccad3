"""Lets coremltools make predictions on Linux.

    from executorch_coreml.engine import enable_coremltools

    enable_coremltools()
    model = coremltools.models.MLModel("model.mlpackage")
    model.predict({"x": x})

coremltools loads and runs models through a native module, `coremltools.libcoremlpython`, that only its macOS wheels contain, and asks
in several places whether the machine is a Mac. enable_coremltools() provides that module, on the engine of this library, and answers
those questions for coremltools alone: `sys.platform` and other packages are left as they are.

Every kind of model works that ml_model.MLModel takes. Model assets and the structure of ML Programs work. Compute devices and compute plans, which are facts about Apple hardware, are refused.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from executorch_coreml.engine import _native, ml_model, specification

__all__ = ["enable_coremltools"]

# The newest opset that coremltools 9 writes, iOS 26 and macOS 26, and its specification version.
_MACOS_VERSION = (26, 0)
_SPECIFICATION_VERSION = 10

# Inside a folder NAME.mlmodelc of ours: the package or file it was made from.
_SOURCE, _SOURCE_FILE = "source.mlpackage", "source.mlmodel"

_options: dict[str, Any] = {}


def enable_coremltools(
    *, numeric_mode: str = "float32", threads: int = 0, compile_helper: bool | str | os.PathLike[str] = False
) -> None:
    """Makes coremltools load and run models on this library's engine, in this process.

    Models loaded before keep what they had. Called again, it changes the options for models loaded from then on. On a Mac it does
    nothing: coremltools has Core ML itself there.

    Args:
        numeric_mode: As of ml_model.MLModel.
        threads: Threads of one prediction; 0 for the engine's choice.
        compile_helper: Whether models are compiled in a process of their own, as of ml_model.MLModel.
    """
    if numeric_mode not in ml_model.NUMERIC_MODES:
        raise ValueError(f"numeric_mode must be one of {', '.join(ml_model.NUMERIC_MODES)}, not {numeric_mode!r}")
    _options.update(numeric_mode=numeric_mode, threads=threads, compile_helper=compile_helper)
    if sys.platform == "darwin" or "coremltools.libcoremlpython" in sys.modules:
        return
    import coremltools
    from coremltools.models import utils

    module = types.ModuleType("coremltools.libcoremlpython", "Core ML for coremltools, on the portable engine.")
    provided = {proxy.__name__: proxy for proxy in _PROXIES}
    vars(module).update(provided)
    sys.modules[module.__name__] = module
    coremltools.libcoremlpython = module

    # Modules take these by name when they are imported, so that each has its own; later ones take them from here.
    answers = {
        "_is_macos": (utils._is_macos, lambda: True),
        "_macos_version": (utils._macos_version, lambda: _MACOS_VERSION),
        "_IS_MACOS": (False, True),
        **{name: (None, proxy) for name, proxy in provided.items()},
    }
    for name, loaded in list(sys.modules.items()):
        if loaded is None or loaded is module or name.partition(".")[0] != "coremltools":
            continue
        for attribute, (before, after) in answers.items():
            if attribute in vars(loaded) and vars(loaded)[attribute] is before:
                setattr(loaded, attribute, after)


class _MLModelAssetProxy:
    """A model to load: a compiled folder, or a specification and weight files in memory."""

    def __init__(self, folder: pathlib.Path, *, owned: bool = False) -> None:
        self.folder = folder
        if owned:
            self._remove = weakref.finalize(self, shutil.rmtree, folder, True)


class _StateProxy:
    def __init__(self, state: ml_model.MLState) -> None:
        self.state = state

    def read_state(self, name: str) -> np.ndarray:
        return self.state.read_state(name)

    def write_state(self, name: str, value: Any) -> None:
        self.state.write_state(name, np.asarray(value))


class _MLModelProxy:
    """What coremltools.models.MLModel and CompiledMLModel hold."""

    def __init__(
        self,
        path: str,
        compute_units: str = "ALL",
        function_name: str = "",
        optimization_hints: Mapping[str, str] | None = None,
        asset: _MLModelAssetProxy | None = None,
    ) -> None:
        self._package = _package_of(pathlib.Path(path) if asset is None else asset.folder)
        self._asset = asset  # Keeps its files.
        _require_model(self._package)
        self._model = ml_model.MLModel(self._package, compute_units, function_name, **_options)
        self._compiled: str | None = None

    def predict(self, data: Mapping[str, Any], state: _StateProxy | None = None) -> Any:
        with _said_as_coreml_does(self._model.kind):
            return self._model.predict(data, None if state is None else state.state)

    def batchPredict(self, data: list[Mapping[str, Any]]) -> Any:
        with _said_as_coreml_does(self._model.kind):
            return self._model.predict(data)

    def newState(self) -> _StateProxy:
        return _StateProxy(self._model.make_state())

    def get_compiled_model_path(self) -> str:
        if self._compiled is None:
            self._compiled = _MLModelProxy.compileModel(str(self._package))
            self._remove = weakref.finalize(self, shutil.rmtree, pathlib.Path(self._compiled).parent, True)
        return self._compiled

    def get_load_duration_in_nano_seconds(self) -> int:
        return self._model.load_duration_in_nano_seconds

    def get_last_predict_duration_in_nano_seconds(self) -> int | None:
        return self._model.last_predict_duration_in_nano_seconds

    @staticmethod
    def compileModel(path: str) -> str:
        """A new folder NAME.mlmodelc in a new temporary folder: the package or file and the checks of it."""
        package = pathlib.Path(path)
        _require_model(package)
        found = specification.find(package)
        if found is None or found.kind == specification.PROGRAM:
            _native.describe(str(package))
        else:
            ml_model.MLModel(package, **_options)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="coreml_compiled_")) / f"{package.stem}.mlmodelc"
        with _removed_on_failure(folder.parent):
            if package.is_dir():
                shutil.copytree(package, folder / _SOURCE)
            else:
                folder.mkdir()
                shutil.copyfile(package, folder / _SOURCE_FILE)
        return str(folder)

    @staticmethod
    def create_model_asset_from_path(path: str) -> Any:
        from coremltools.models.model import MLModelAsset

        _package_of(pathlib.Path(path))
        return MLModelAsset(_MLModelAssetProxy(pathlib.Path(path)))

    @staticmethod
    def create_model_asset_from_memory(specification: bytes, blobs: Mapping[str, bytes]) -> Any:
        from coremltools.models.model import MLModelAsset

        folder = pathlib.Path(tempfile.mkdtemp(prefix="coreml_asset_"))
        with _removed_on_failure(folder):
            _write_package(folder / _SOURCE, specification, blobs)
        return MLModelAsset(_MLModelAssetProxy(folder, owned=True))

    @staticmethod
    def get_model_structure(path: str) -> Any:
        from executorch_coreml.engine import coremltools_structure

        return coremltools_structure.model_structure(_package_of(pathlib.Path(path)))

    @staticmethod
    def maximum_supported_specification_version() -> int:
        return _SPECIFICATION_VERSION

    @staticmethod
    def auto_set_specification_version(specification: Any) -> Any:
        raise RuntimeError(
            "only Core ML itself knows the lowest specification version that a model needs, so the model keeps its version"
        )

    @staticmethod
    def get_compute_plan(path: str, compute_units: str) -> Any:
        raise RuntimeError("a compute plan says how Apple hardware would run a model, and this platform has no such hardware")

    @staticmethod
    def get_available_compute_devices() -> Any:
        raise RuntimeError("compute devices are Apple hardware, and this platform has none")

    @staticmethod
    def get_all_compute_devices() -> Any:
        return _MLModelProxy.get_available_compute_devices()


class _MLComputePlanProxy:
    def __init__(self, *_: Any, **__: Any) -> None:
        _MLModelProxy.get_compute_plan("", "")


class _MLComputeDeviceProxy:
    def __init__(self, *_: Any, **__: Any) -> None:
        _MLModelProxy.get_available_compute_devices()


class _MLCPUComputeDeviceProxy(_MLComputeDeviceProxy):
    pass


class _MLGPUComputeDeviceProxy(_MLComputeDeviceProxy):
    pass


class _MLNeuralEngineComputeDeviceProxy(_MLComputeDeviceProxy):
    pass


# Under the names that coremltools imports.
_PROXIES = (
    _MLModelProxy,
    _MLModelAssetProxy,
    _MLComputePlanProxy,
    _MLCPUComputeDeviceProxy,
    _MLGPUComputeDeviceProxy,
    _MLNeuralEngineComputeDeviceProxy,
)


@contextlib.contextmanager
def _said_as_coreml_does(kind: str) -> Iterator[None]:
    """Failed predictions begin as those of Core ML do, which programs look for."""
    try:
        yield
    except ml_model.EngineError as error:
        model = {specification.PROGRAM: "ML Program"}.get(
            kind, "a neural network model" if kind.startswith("neuralNetwork") else "the model"
        )
        raise RuntimeError(f"Unable to compute the prediction using {model}. {error}") from error


def _package_of(path: pathlib.Path) -> pathlib.Path:
    """The package or file at `path`: itself, or what a compiled folder of ours was made from."""
    path = pathlib.Path(os.path.expanduser(path))
    for source in (path / _SOURCE, path / _SOURCE_FILE):
        if source.exists():
            return source
    if path.suffix == ".mlmodelc":
        raise RuntimeError(
            f"{path} was not compiled here: a folder compiled by Core ML holds no model that other engines can read. Load the "
            ".mlpackage or .mlmodel it was made from."
        )
    return path


def _require_model(path: pathlib.Path) -> None:
    if not path.exists():
        raise RuntimeError(f"there is no model at {path}")
    if not path.is_dir() and specification.find(path) is None:
        raise RuntimeError(f"{path} is not a Core ML model: the file has no specification of a model")


def _write_package(path: pathlib.Path, specification: bytes, blobs: Mapping[str, bytes]) -> None:
    """A package of a specification and its weight files, whose names are relative to the weights' folder or begin with it."""
    from coremltools.libmodelpackage import ModelPackage

    with tempfile.TemporaryDirectory(prefix="coreml_asset_") as scratch:
        root = pathlib.Path(scratch)
        (root / "model.mlmodel").write_bytes(specification)
        weights = root / "weights"
        weights.mkdir()
        for name, content in blobs.items():
            relative = pathlib.PurePosixPath(name)
            parts = [part for part in relative.parts if part not in ("@model_path", "weights")]
            if relative.is_absolute() or ".." in parts or len(parts) != 1:
                raise ValueError(f"{name!r} is not the name of a weight file: write weights/FILE or FILE")
            (weights / parts[0]).write_bytes(content)
        package = ModelPackage(str(path))
        package.setRootModel(str(root / "model.mlmodel"), "model.mlmodel", "com.apple.CoreML", "CoreML Model Specification")
        if blobs:
            package.addItem(str(weights), "weights", "com.apple.CoreML", "CoreML Model Weights")


@contextlib.contextmanager
def _removed_on_failure(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
