"""Runs MIL programs through the portable engine and compares the results with references.

A test builds a program with coremltools' builder, computes what it must give in float64 with NumPy or torch, and calls
`check`. Tolerances are in units of the dtype's epsilon, relative to the largest magnitude of the expected values, so that one number
means the same for every test:

    def test_linear(rng):
        x = rng.normal(size=(4, 8)).astype(np.float32)
        ...
        check(lambda x: mb.linear(x=x, weight=w), {"x": x}, x @ w.T)
"""

from __future__ import annotations

import logging
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np

os.environ.setdefault("TQDM_DISABLE", "1")
logging.getLogger("coremltools").setLevel(logging.ERROR)

import coremltools as ct  # noqa: E402
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402
from coremltools.converters.mil.mil import get_new_symbol, types  # noqa: E402
from executorch.backends.apple.coreml.engine import _native as _engine  # noqa: E402

EngineError = _engine.EngineError

IOS15 = ct.target.iOS15
IOS16 = ct.target.iOS16
IOS17 = ct.target.iOS17
IOS18 = ct.target.iOS18
OPSETS = (IOS15, IOS16, IOS17, IOS18)

Arrays = Mapping[str, np.ndarray]


def save_program(
    build: Callable,
    inputs: Arrays,
    folder: str | os.PathLike,
    *,
    opset: ct.target = IOS15,
    dynamic: Sequence[str] | Mapping[str, Sequence[int]] = (),
) -> str:
    """Writes the program `build(**inputs)` as a package into `folder` and returns its path.

    No optimisation pass of coremltools runs: the package has the operations that `build` made. `dynamic` names inputs of which
    all extents, or the given axes, are unknown to the program, from 1 to 64.
    """
    placeholders, shapes = {}, []
    for name, value in inputs.items():
        value = np.asarray(value)
        axes: Sequence[int] = ()
        if name in dynamic:
            axes = dynamic[name] if isinstance(dynamic, Mapping) else range(value.ndim)
        extents = [get_new_symbol() if axis in axes else int(size) for axis, size in enumerate(value.shape)]
        placeholders[name] = mb.placeholder(shape=extents, dtype=types.numpy_type_to_builtin_type(value.dtype))
        ranges = [
            ct.RangeDim(1, 64, default=min(int(size), 64)) if axis in axes else int(size) for axis, size in enumerate(value.shape)
        ]
        shapes.append(ct.TensorType(name=name, shape=ranges))
    from coremltools.converters.mil.mil import Function, Program

    program = Program()
    with Function(placeholders, opset_version=opset) as function:
        outputs = build(**function.inputs)
        function.set_outputs(list(outputs) if isinstance(outputs, (list, tuple)) else [outputs])
        program.add_function("main", function)
    model = ct.convert(
        program,
        source="milinternal",
        convert_to="mlprogram",
        minimum_deployment_target=opset,
        compute_precision=ct.precision.FLOAT32,
        inputs=shapes if dynamic else None,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    path = str(pathlib.Path(folder) / "program.mlpackage")
    model.save(path)
    return path


def run(
    build: Callable,
    inputs: Arrays,
    *,
    opset: ct.target = IOS15,
    dynamic: Sequence[str] | Mapping[str, Sequence[int]] = (),
    mode: str = "float32",
) -> list[np.ndarray]:
    """The program's outputs in order. EngineError when the engine refuses it."""
    with tempfile.TemporaryDirectory() as folder:
        model = _engine.load(save_program(build, inputs, folder, opset=opset, dynamic=dynamic), numeric_mode=mode, threads=1)
        results = model.predict({name: np.ascontiguousarray(value) for name, value in inputs.items()})
        return [np.array(results[output["name"]]) for output in model.description["outputs"]]


def assert_close(actual: np.ndarray, expected: np.ndarray, *, eps: float = 64, dtype: np.dtype | type = np.float32) -> None:
    """Equal shapes; integers and booleans equal; reals within `eps` epsilons of `dtype` at the scale of `expected`."""
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if not np.issubdtype(actual.dtype, np.floating):
        np.testing.assert_array_equal(actual, expected)
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_array_equal(actual[np.isinf(expected)], expected[np.isinf(expected)])
    if not finite.any():
        return
    scale = max(float(np.abs(expected[finite]).max()), float(np.finfo(dtype).tiny))
    error = float(np.abs(actual[finite].astype(np.float64) - expected[finite].astype(np.float64)).max())
    units = error / (scale * float(np.finfo(dtype).eps))
    assert units <= eps, f"error {error:.3g} at scale {scale:.3g}: {units:.1f} epsilons of {np.dtype(dtype).name}, allowed {eps}"


def check(
    build: Callable,
    inputs: Arrays,
    expected: np.ndarray | Sequence[np.ndarray],
    *,
    opset: ct.target = IOS15,
    dynamic: Sequence[str] | Mapping[str, Sequence[int]] = (),
    mode: str = "float32",
    eps: float = 64,
    dtype: np.dtype | type = np.float32,
) -> None:
    """`run` and `assert_close` for every output."""
    outputs = run(build, inputs, opset=opset, dynamic=dynamic, mode=mode)
    wanted = list(expected) if isinstance(expected, (list, tuple)) else [expected]
    assert len(outputs) == len(wanted), f"{len(outputs)} outputs, expected {len(wanted)}"
    for actual, value in zip(outputs, wanted):
        assert_close(actual, value, eps=eps, dtype=dtype)
