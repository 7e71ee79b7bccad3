"""Running a .pte or a package with given or made-up inputs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from executorch_coreml.sdk import program_file
from executorch_coreml.sdk.errors import ToolError


@dataclasses.dataclass(frozen=True)
class Runnable:
    """Something loaded that gives named outputs.

    `call` may be repeated; states it has go on from call to call. The inputs that it is given stand in for those of `inputs`, in this call only.
    """

    input_names: tuple[str, ...]
    inputs: Mapping[str, np.ndarray]
    # Names of inputs that were made up.
    made_up: tuple[str, ...]
    call: Callable[..., Mapping[str, np.ndarray]]
    # Of a package: one execution, as the engine's events (kind, name, operation, start in ns, end in ns).
    inspect: Callable[[], list[tuple[str, str, str, int, int]]] | None = None
    # Of a .pte prepared with `traced`: writes ExecuTorch's ETDump of what was called so far.
    write_etdump: Callable[[Path], None] | None = None


def prepare(
    path: Path,
    given: Mapping[str, np.ndarray],
    *,
    method: str = "forward",
    seed: int = 0,
    threads: int = 0,
    numeric_mode: str = "float32",
    traced: bool = False,
) -> Runnable:
    """Loads a .pte or .mlpackage. Inputs not given are made up from `seed`: normal reals, zero integers.

    Inputs of a .pte are named 0, 1, ... in the order of the method's arguments. `traced`: a .pte with an event tracer attached.

    Raises:
        ToolError: for a file that cannot be loaded, an input that does not exist or does not fit.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ToolError(f"{path} cannot be run, because its name is not UTF-8: rename it") from error
    if path.is_dir():
        return _package(path, given, method, seed, threads, numeric_mode)
    return _program(path, given, method, seed, threads, numeric_mode, traced)


def _make_up(shape: Sequence[int], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
    if dtype.kind == "f":
        return generator.normal(size=shape).astype(dtype)
    return np.zeros(shape, dtype)


def _choose(
    specs: Mapping[str, tuple[tuple[int, ...], np.dtype]], given: Mapping[str, np.ndarray], seed: int, path: Path
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    unknown = sorted(set(given) - set(specs))
    if unknown:
        raise ToolError(f"{path} has no input {unknown[0]!r}; it has {', '.join(specs)}")
    generator = np.random.default_rng(seed)
    inputs, made_up = {}, []
    for name, (shape, dtype) in specs.items():
        made = _make_up(shape, dtype, generator)
        if name not in given:
            inputs[name] = made
            made_up.append(name)
            continue
        try:
            # What does not fit becomes infinite, as the reals of a model do.
            with np.errstate(over="ignore"):
                inputs[name] = given[name].astype(dtype, casting="same_kind")
        except TypeError as error:
            raise ToolError(f"input {name} of {path} is {dtype}, not {given[name].dtype}: save it as {dtype}") from error
        if dtype.kind in "iu" and not np.array_equal(inputs[name], given[name]):
            raise ToolError(f"input {name} of {path} is {dtype}, which cannot hold all of the given numbers: save it as {dtype}")
    return inputs, tuple(made_up)


def _package(path: Path, given: Mapping[str, np.ndarray], function: str, seed: int, threads: int, numeric_mode: str) -> Runnable:
    from executorch_coreml.engine import ml_model

    with _refused(path, ml_model.EngineError):
        name = None if function == "forward" else function
        model = ml_model.MLModel(path, function_name=name, threads=threads, numeric_mode=numeric_mode)
    specs = {
        spec.name: (tuple(extent if isinstance(extent, int) else extent[0] for extent in spec.shape), spec.dtype)
        for spec in model.inputs
    }
    inputs, made_up = _choose(specs, given, seed, path)
    state = model.make_state() if model.states else None

    def call(changed: Mapping[str, np.ndarray] = MappingProxyType({})) -> Mapping[str, np.ndarray]:
        with _refused(path, ml_model.EngineError):
            return model.predict_tensors({**inputs, **changed}, state)

    def inspect() -> list[tuple[str, str, str, int, int]]:
        with _refused(path, ml_model.EngineError):
            return model.inspect(inputs, state)

    return Runnable(tuple(specs), inputs, made_up, call, inspect)


def _program(
    path: Path, given: Mapping[str, np.ndarray], method_name: str, seed: int, threads: int, numeric_mode: str, traced: bool
) -> Runnable:
    program = program_file.open_program(path)
    methods = {method.name: method for method in program.methods}
    if method_name not in methods:
        raise ToolError(f"{path} has no method {method_name!r}; it has {', '.join(methods)}")

    import torch
    from executorch.runtime import Runtime, Verification

    from executorch_coreml import runtime
    from executorch_coreml.dtypes import DTYPES

    options: dict[str, str | int] = {"threads": threads, "numeric_mode": numeric_mode}
    by_name = {dtype.scalar_type: torch.empty(0, dtype=dtype.torch).numpy().dtype for dtype in DTYPES}
    specs = {}
    for index, tensor in enumerate(methods[method_name].inputs):
        if tensor.scalar_type not in by_name:
            raise ToolError(
                f"input {index} of {method_name} in {path} is {tensor.scalar_type}: only tensors of numbers can be passed here"
            )
        specs[str(index)] = (tensor.sizes, by_name[tensor.scalar_type])
    inputs, made_up = _choose(specs, given, seed, path)
    for (name, array), tensor in zip(inputs.items(), methods[method_name].inputs, strict=True):
        fits = array.ndim == len(tensor.sizes) if tensor.is_dynamic else array.shape == tensor.sizes
        if not fits:
            raise ToolError(f"input {name} of {method_name} in {path} is {list(tensor.sizes)}, not {list(array.shape)}")
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in inputs.items()}
    if traced:
        from executorch.extension.pybindings import portable_lib

        with _refused(path, RuntimeError, runtime.last_error), runtime.options(**options):
            module = portable_lib._load_for_executorch(str(path), enable_etdump=True)

        def execute(given: list[torch.Tensor]) -> Sequence[Any]:
            # The first run loads the method.
            with runtime.options(**options):
                return module.run_method(method_name, given)
    else:
        module = None
        with _refused(path, RuntimeError, runtime.last_error), runtime.options(**options):
            # The file stays mapped as long as the program lives.
            program_in_use = Runtime.get().load_program(path, verification=Verification.InternalConsistency)
            loaded = program_in_use.load_method(method_name)

        def execute(given: list[torch.Tensor]) -> Sequence[Any]:
            assert program_in_use is not None
            return loaded.execute(given)

    def call(changed: Mapping[str, np.ndarray] = MappingProxyType({})) -> Mapping[str, np.ndarray]:
        given = {**tensors, **{name: torch.from_numpy(np.array(array)) for name, array in changed.items()}}
        with _refused(path, RuntimeError, runtime.last_error):
            outputs = execute(list(given.values()))
        return {str(i): _as_array(o) for i, o in enumerate(outputs)}

    def write_etdump(target: Path) -> None:
        module.write_etdump_result_to_file(str(target))

    return Runnable(tuple(specs), inputs, made_up, call, write_etdump=write_etdump if traced else None)


def _as_array(output: Any) -> np.ndarray:
    """An output of a .pte; bfloat16, which NumPy does not have, as the float32 of the same value."""
    if not hasattr(output, "numpy"):
        return np.asarray(output)
    return output.float().numpy() if str(output.dtype) == "torch.bfloat16" else output.numpy()


@contextlib.contextmanager
def _refused(path: Path, kind: type[Exception], more: Callable[[], str] = lambda: "") -> Iterator[None]:
    try:
        yield
    except (kind, ValueError) as error:
        raise ToolError(f"{path} cannot be run: {more() or error}") from error
