"""What compiled folders hold, and that loading one gives the numbers of the package."""

from __future__ import annotations

import os

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb
from executorch.backends.apple.coreml.engine import _native as _engine
from op_testing import assert_close, save_program

ROWS = 384


def _linear(rng: np.random.Generator):
    weight = (rng.normal(size=(ROWS, ROWS)) / 16).astype(np.float16)
    x = rng.normal(size=(4, ROWS)).astype(np.float16).astype(np.float32)
    return (
        lambda x: mb.linear(x=mb.cast(x=x, dtype="fp16"), weight=weight),
        {"x": x},
        x.astype(np.float64) @ weight.T.astype(np.float64),
    )


def _convolution(rng: np.random.Generator):
    weight = (rng.normal(size=(ROWS, ROWS, 1, 1)) / 16).astype(np.float16)
    x = rng.normal(size=(1, ROWS, 3, 5)).astype(np.float16).astype(np.float32)
    expected = np.einsum("oi,bihw->bohw", weight[:, :, 0, 0].astype(np.float64), x.astype(np.float64))
    return lambda x: mb.conv(x=mb.cast(x=x, dtype="fp16"), weight=weight), {"x": x}, expected


def _table(rng: np.random.Generator):
    table = rng.normal(size=(ROWS, ROWS)).astype(np.float16)
    x = np.array([0, 7, ROWS - 1], np.int32)
    return lambda x: mb.gather(x=table, indices=x, axis=0), {"x": x}, table[x].astype(np.float64)


def _table_and_product(rng: np.random.Generator):
    """A weight with two users, as a language model's tied embedding has."""
    table = (rng.normal(size=(ROWS, ROWS)) / 16).astype(np.float16)
    x = np.array([0, 7, ROWS - 1], np.int32)
    expected = table[x].astype(np.float64) @ table.T.astype(np.float64)

    def build(x):
        shared = mb.const(val=table)
        return mb.linear(x=mb.gather(x=shared, indices=x, axis=0), weight=shared)

    return build, {"x": x}, expected


@pytest.mark.parametrize("make", [_linear, _convolution, _table, _table_and_product])
def test_float16_weights_are_kept_as_float16(make, rng, tmp_path) -> None:
    """A graph that holds them as float32 takes twice the package's memory, on disk and in the process."""
    build, inputs, expected = make(rng)
    package = save_program(build, inputs, tmp_path)
    folder = tmp_path / "compiled"
    folder.mkdir()
    _engine.compile(package, str(folder))
    assert os.path.getsize(folder / "graph.ov") < 1.2 * 2 * ROWS * ROWS
    for model in (_engine.load(package, threads=1), _engine.load_compiled(str(folder), threads=1)):
        (actual,) = model.predict(inputs).values()
        assert_close(actual, expected, eps=2, dtype=np.float16)
