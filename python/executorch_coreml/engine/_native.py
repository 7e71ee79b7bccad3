"""The engines: runtime/include/coreml_engine_c.h for NumPy arrays.

    model = _native.load("model.mlpackage", function_name="", numeric_mode="float32", threads=0)
    outputs = model.predict({"x": numpy_array}, state=model.make_state())

What fails is an EngineError. Inputs must have the dtype and shape that `model.description` says; they are read in place when C-contiguous.

Thread rule: a Model may be used by several threads at once, a State by one prediction at a time. The interpreter's lock is released while a
model is loaded or executed.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from executorch_coreml import _libraries

__all__ = ["EngineError", "Model", "State", "compile", "describe", "engine_names", "fingerprint", "load", "load_compiled"]

_VERSION = 2
_TIMINGS, _VALUES = 1, 2


class EngineError(RuntimeError):
    """A package, a state or a prediction was refused.

    str() is the whole sentence; `code` ("invalid_argument"), `message` and `artifact` are its parts (docs/errors.md).
    """

    def __init__(self, text: str, code: str = "", message: str = "", artifact: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.message = message
        self.artifact = artifact


class _Options(ctypes.Structure):
    _fields_ = (
        ("engine", ctypes.c_char_p),
        ("function_name", ctypes.c_char_p),
        ("engine_options", ctypes.c_char_p),
        ("compile_helper", ctypes.c_char_p),
        ("compile_helper_memory_mb", ctypes.c_int64),
        ("compile_helper_timeout_s", ctypes.c_int32),
    )


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("dtype", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("rank", ctypes.c_int32),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
    )


def _open() -> ctypes.CDLL:
    library = _libraries.load("libcoreml_engine.so", "executes Core ML models")
    if library.coreml_engine_c_version() != _VERSION:
        raise ImportError(
            f"{library._name} is of another version of this package: install executorch-coreml again, or in a checkout build it again"
        )
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    out = ctypes.POINTER(ctypes.c_void_p)
    tensors, options = ctypes.POINTER(_Tensor), ctypes.POINTER(_Options)
    integer = ctypes.c_int32
    for name, arguments in {
        "names": [out],
        "fingerprint": [text, out],
        "describe": [text, text, out],
        "load": [text, options, out],
        "compile": [text, text, options],
        "load_compiled": [text, options, out],
        "describe_model": [pointer, out],
        "make_state": [pointer, integer, ctypes.POINTER(text), tensors, out],
        "read_state": [pointer, text, pointer, ctypes.c_uint64],
        "write_state": [pointer, text, tensors],
        "reset_state": [pointer],
        "copy_state": [pointer, out],
        "execute": [pointer, pointer, integer, tensors, integer, tensors, integer, out],
        "record_timings": [pointer, out],
    }.items():
        function = getattr(library, f"coreml_engine_{name}")
        function.argtypes = arguments
        function.restype = ctypes.c_void_p  # The error, freed by _check.
    for name in ("free", "free_model", "free_state", "free_record"):
        function = getattr(library, f"coreml_engine_{name}")
        function.argtypes = [pointer]
        function.restype = None
    library.coreml_engine_record_value_count.argtypes = [pointer]
    library.coreml_engine_record_value.argtypes = [pointer, integer, ctypes.POINTER(text), tensors]
    library.coreml_engine_record_value.restype = None
    return library


_library = _open()


def _take(text: int) -> str:
    """A text that was given out, which is freed."""
    try:
        return ctypes.string_at(text).decode(errors="replace")
    finally:
        _library.coreml_engine_free(text)


def _check(error: int | None) -> None:
    if error:
        found = json.loads(_take(error))
        raise EngineError(found["text"], found["code"], found["message"], found["artifact"])


def _text_of(function: Any, *arguments: Any) -> str:
    """What a function gives out as its last argument."""
    result = ctypes.c_void_p()
    _check(function(*arguments, ctypes.byref(result)))
    assert result.value is not None
    return _take(result.value)


def _handle_of(function: Any, *arguments: Any) -> int:
    result = ctypes.c_void_p()
    _check(function(*arguments, ctypes.byref(result)))
    assert result.value is not None
    return result.value


def _invalid(message: str, artifact: str) -> EngineError:
    return EngineError(f"invalid_argument: {message} [{artifact}]", "invalid_argument", message, artifact)


def _encoded(value: str | os.PathLike[str], what: str) -> bytes:
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise _invalid(f"{what} contains a null character", repr(value))
    return encoded


def _options(
    *,
    function_name: str = "",
    engine: str = "",
    compile_helper: str = "",
    compile_helper_timeout_s: int = 0,
    compile_helper_memory_mb: int = 0,
    **engine_options: str | int,
) -> _Options:
    for name, value, bits in (
        ("compile_helper_timeout_s", compile_helper_timeout_s, 31),
        ("compile_helper_memory_mb", compile_helper_memory_mb, 63),
    ):
        if not -(1 << bits) <= value < 1 << bits:
            raise _invalid(f"{name} is out of range", str(value))
    return _Options(
        engine=_encoded(engine, "the engine's name"),
        function_name=_encoded(function_name, "the function's name"),
        # The engine knows their names and values.
        engine_options=_encoded(" ".join(f"{name}={value}" for name, value in engine_options.items()), "the engine's options"),
        compile_helper=_encoded(compile_helper, "the path of the compile helper"),
        compile_helper_memory_mb=compile_helper_memory_mb,
        compile_helper_timeout_s=compile_helper_timeout_s,
    )


def _tensor(array: np.ndarray, shape: tuple[int, ...] | None = None) -> _Tensor:
    """A view of a C-contiguous array, which the caller keeps."""
    extents = array.shape if shape is None else shape
    return _Tensor(
        dtype=array.dtype.name.encode(),
        shape=(ctypes.c_int64 * len(extents))(*extents),
        rank=len(extents),
        data=array.ctypes.data,
        size=array.nbytes,
    )


def _dense(value: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise _invalid("the value is not an array", what) from error
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # ascontiguousarray() makes an array of rank 1 of a scalar.
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _spec_text(spec: Mapping[str, Any]) -> str:
    """As C++ names a tensor: x: float32[1..8, 3]."""
    if spec["enumerated_shapes"]:
        return f"{spec['name']}: {spec['dtype']}{{{', '.join(str(list(shape)) for shape in spec['enumerated_shapes'])}}}"
    extents = (
        str(extent) if isinstance(extent, int) else f"{extent[0]}..{'' if extent[1] is None else extent[1]}"
        for extent in spec["shape"]
    )
    return f"{spec['name']}: {spec['dtype']}[{', '.join(extents)}]"


def _describe(function: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that describe shapes; numbers that JSON has none for come as texts."""
    function["default_values"] = {name: float(value) for name, value in function["default_values"].items()}
    for part in ("inputs", "outputs", "states"):
        for spec in function[part]:
            spec["shape"] = tuple(extent if isinstance(extent, int) else tuple(extent) for extent in spec["shape"])
    return function


class State:
    """The values of a function's states between predictions."""

    def __init__(self, handle: int, specs: list[dict[str, Any]]) -> None:
        self._handle = handle
        self._specs = specs

    def __del__(self, free: Any = _library.coreml_engine_free_state) -> None:
        free(self._handle)

    def read(self, name: str) -> np.ndarray:
        """A copy of one state's value."""
        for spec in self._specs:
            if spec["name"] == name:
                value = np.empty(tuple(e if isinstance(e, int) else e[0] for e in spec["shape"]), spec["dtype"])
                _check(_library.coreml_engine_read_state(self._handle, name.encode(), value.ctypes.data, value.nbytes))
                return value
        # Says which states there are.
        _check(_library.coreml_engine_read_state(self._handle, _encoded(name, "the state's name"), None, 0))
        raise AssertionError(name)

    def write(self, name: str, value: Any) -> None:
        array = _dense(value, name)
        _check(_library.coreml_engine_write_state(self._handle, _encoded(name, "the state's name"), ctypes.byref(_tensor(array))))

    def reset(self) -> None:
        """Back to the values given to make_state(), zero where none."""
        _check(_library.coreml_engine_reset_state(self._handle))

    def copy(self) -> State:
        """An independent state with the same values."""
        return State(_handle_of(_library.coreml_engine_copy_state, self._handle), self._specs)


class Model:
    """One loaded function."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        description = json.loads(_text_of(_library.coreml_engine_describe_model, handle))
        self.offers_intermediate_values: bool = description.pop("offers_intermediate_values")
        self.description = _describe(description)
        # Elements, of outputs whose shape depends on the inputs: the most that there were.
        self._capacities = [0] * len(self.description["outputs"])

    def __del__(self, free: Any = _library.coreml_engine_free_model) -> None:
        if hasattr(self, "_handle"):
            free(self._handle)

    def make_state(self, initial: Mapping[str, Any] | None = None) -> State:
        arrays = {name: _dense(value, name) for name, value in (initial or {}).items()}
        names = (ctypes.c_char_p * len(arrays))(*[_encoded(name, "the state's name") for name in arrays])
        tensors = (_Tensor * len(arrays))(*map(_tensor, arrays.values()))
        handle = _handle_of(_library.coreml_engine_make_state, self._handle, len(arrays), names, tensors)
        return State(handle, self.description["states"])

    def predict(self, inputs: Mapping[str, Any], state: State | None = None) -> dict[str, np.ndarray]:
        """Outputs by name."""
        return self._run(inputs, state, 0)[0]

    def inspect(
        self, inputs: Mapping[str, Any], state: State | None = None, timings: bool = True, values: bool = False
    ) -> tuple[dict[str, np.ndarray], list[tuple[str, str, str, int, int]], dict[str, np.ndarray]]:
        """(outputs, [(kind, name, type, start_ns, end_ns)], {name: intermediate value})."""
        return self._run(inputs, state, _TIMINGS * timings | _VALUES * values, is_recorded=True)

    def _run(
        self, inputs: Mapping[str, Any], state: State | None, what: int, is_recorded: bool = False
    ) -> tuple[dict[str, np.ndarray], list[tuple[str, str, str, int, int]], dict[str, np.ndarray]]:
        arrays = self._arrays(inputs)
        tensors = (_Tensor * len(arrays))(*[_tensor(array, shape) for array, shape in arrays])
        specs = self.description["outputs"]
        # The size of a result that depends on its inputs is known after the first try.
        shapes = [[extent if isinstance(extent, int) else extent[0] for extent in spec["shape"]] for spec in specs]
        for attempt in range(2):
            elements = [_count(shape) for shape in shapes]
            if attempt == 0:
                elements = [
                    count if all(isinstance(e, int) for e in spec["shape"]) else max(count, capacity)
                    for count, spec, capacity in zip(elements, specs, self._capacities, strict=True)
                ]
            buffers = [np.empty(count, spec["dtype"]) for count, spec in zip(elements, specs, strict=True)]
            results = (_Tensor * len(specs))(*[_tensor(b, tuple(s)) for b, s in zip(buffers, shapes, strict=True)])
            record = ctypes.c_void_p()
            error = _library.coreml_engine_execute(
                self._handle,
                None if state is None else state._handle,
                len(arrays),
                tensors,
                len(specs),
                results,
                what,
                ctypes.byref(record) if is_recorded else None,
            )
            shapes = [list(tensor.shape[: tensor.rank]) for tensor in results]
            needed = [_count(shape) for shape in shapes]
            self._capacities = [max(pair) for pair in zip(self._capacities, needed, strict=True)]
            if error and attempt == 0 and any(n > e for n, e in zip(needed, elements, strict=True)):
                _library.coreml_engine_free(error)
                continue
            _check(error)
            break
        outputs = {
            spec["name"]: buffer[: _count(shape)].reshape(shape) for spec, buffer, shape in zip(specs, buffers, shapes, strict=True)
        }
        if not is_recorded:
            return outputs, [], {}
        try:
            return outputs, *_read_record(record)
        finally:
            _library.coreml_engine_free_record(record)

    def _arrays(self, inputs: Mapping[str, Any]) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        """The inputs in their order, each with its shape."""
        arrays = []
        for spec in self.description["inputs"]:
            if spec["name"] not in inputs:
                raise _invalid("the input is missing", _spec_text(spec))
            array = _dense(inputs[spec["name"]], _spec_text(spec))
            # A scalar is described as one element.
            shape = (1,) if not array.shape and len(spec["shape"]) == 1 else array.shape
            arrays.append((array, shape))
        if len(inputs) != len(arrays):
            known = {spec["name"] for spec in self.description["inputs"]}
            raise _invalid("the function has no such input", next(str(name) for name in inputs if name not in known))
        return arrays


def _count(shape: list[int]) -> int:
    elements = 1
    for extent in shape:
        elements *= extent
    return elements


def _read_record(record: ctypes.c_void_p) -> tuple[list[tuple[str, str, str, int, int]], dict[str, np.ndarray]]:
    timings = json.loads(_text_of(_library.coreml_engine_record_timings, record))
    values = {}
    for index in range(_library.coreml_engine_record_value_count(record)):
        name, tensor = ctypes.c_char_p(), _Tensor()
        _library.coreml_engine_record_value(record, index, ctypes.byref(name), ctypes.byref(tensor))
        data = ctypes.string_at(tensor.data, tensor.size) if tensor.size else b""
        array = np.frombuffer(bytearray(data), np.dtype(tensor.dtype.decode()))
        values[(name.value or b"").decode(errors="replace")] = array.reshape(tensor.shape[: tensor.rank])
    return [tuple(event) for event in timings], values


def load(path: str | os.PathLike[str], **options: Any) -> Model:
    """Compiles and loads a function of the model package at `path`."""
    where = _encoded(path, "the path")
    return Model(_handle_of(_library.coreml_engine_load, where, ctypes.byref(_options(**options))))


def compile(path: str | os.PathLike[str], folder: str | os.PathLike[str], **options: Any) -> None:
    """Compiles a function into the existing empty folder."""
    given = ctypes.byref(_options(**options))
    _check(_library.coreml_engine_compile(_encoded(path, "the path"), _encoded(folder, "the folder"), given))


def load_compiled(folder: str | os.PathLike[str], **options: Any) -> Model:
    """Loads what compile() made."""
    where = _encoded(folder, "the folder")
    return Model(_handle_of(_library.coreml_engine_load_compiled, where, ctypes.byref(_options(**options))))


def describe(path: str | os.PathLike[str], engine: str = "") -> list[dict[str, Any]]:
    """The description of every function of the package."""
    name = _encoded(engine, "the engine's name")
    return [_describe(f) for f in json.loads(_text_of(_library.coreml_engine_describe, _encoded(path, "the path"), name))]


def engine_names() -> list[str]:
    names: list[str] = json.loads(_text_of(_library.coreml_engine_names))
    return names


def fingerprint(engine: str = "") -> str:
    """What results may depend on: versions, processor features."""
    return _text_of(_library.coreml_engine_fingerprint, _encoded(engine, "the engine's name"))
