"""Many predictions: memory stays, results stay, and threads agree with one.

10,000 predictions with COREML_DELEGATE_FULL_TESTS=1, 400 else.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import gc
import os
import pathlib

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types
from executorch.backends.apple.coreml.engine import _native as _engine
from op_testing import IOS18, save_program

PREDICTIONS = 10_000 if os.environ.get("COREML_DELEGATE_FULL_TESTS") == "1" else 400
# The process may keep this much more at the end than after its first tenth: arenas of malloc and of Python settle late.
KEPT_BYTES = 4 << 20
THREADS = 8
EXTENT = 256


def _anonymous_bytes() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    (line,) = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) << 10


def _watch_memory(step) -> None:
    """Calls step(0), step(1) ...; fails when what comes after the first tenth keeps memory."""
    warm = PREDICTIONS // 10
    for i in range(warm):
        step(i)
    before = _anonymous_bytes()
    for i in range(warm, PREDICTIONS):
        step(i)
    kept = _anonymous_bytes() - before
    assert kept < KEPT_BYTES, f"{kept} bytes more after {PREDICTIONS - warm} predictions"


def _network(x, weight):
    y = mb.linear(x=x, weight=weight)
    y = mb.softmax(x=mb.gelu(x=y), axis=-1)
    return mb.matmul(x=y, y=x, transpose_x=True)


@pytest.fixture
def dynamic_package(tmp_path, rng) -> str:
    """float32 [1 .. 64, 256] to [256, 256]."""
    weight = (rng.normal(size=(EXTENT, EXTENT)) / 16).astype(np.float32)
    x = np.zeros((8, EXTENT), np.float32)
    return save_program(lambda x: _network(x, weight), {"x": x}, tmp_path, dynamic={"x": [0]})


def test_dynamic_shapes(dynamic_package, rng) -> None:
    """Inputs of changing length; each length gives the same bits every time."""
    model = _engine.load(dynamic_package, threads=1)
    inputs = [rng.normal(size=(rows, EXTENT)).astype(np.float32) for rows in (1, 7, 64, 3, 32)]
    first: dict[int, np.ndarray] = {}

    def step(i: int) -> None:
        k = i % len(inputs)
        (actual,) = model.predict({"x": inputs[k]}).values()
        if k not in first:
            first[k] = actual
            return
        np.testing.assert_array_equal(actual, first[k])

    _watch_memory(step)
    assert len(first) == len(inputs)


def test_states(tmp_path) -> None:
    """A ring of 64 rows and a counter, as a decoder's cache: after n predictions they hold what n predictions leave."""
    rows, width = 64, 32

    def build(x, ring, count):
        position = mb.read_state(input=count)
        index = mb.cast(x=mb.mod(x=position, y=np.float16(rows)), dtype="int32")
        updated = mb.scatter(
            data=mb.read_state(input=ring), indices=index, updates=x, axis=0, mode="update", validate_indices=False
        )
        ring = mb.coreml_update_state(state=ring, value=updated)
        # Small enough to be exact in float16.
        following = mb.mod(x=mb.add(x=position, y=np.float16(1)), y=np.float16(rows))
        mb.coreml_update_state(state=count, value=following)
        return mb.reduce_sum(x=mb.cast(x=ring, dtype="fp32"), axes=[0], keep_dims=False)

    specs = [
        mb.TensorSpec(shape=(1, width), dtype=types.fp16),
        mb.StateTensorSpec((rows, width), dtype=types.fp16),
        mb.StateTensorSpec((1,), dtype=types.fp16),
    ]
    program = mb.program(input_specs=specs, opset_version=IOS18)(build)
    package = str(tmp_path / "ring.mlpackage")
    ct.convert(program, minimum_deployment_target=IOS18, skip_model_load=True).save(package)
    model = _engine.load(package, threads=1)
    state = model.make_state()
    ring = np.zeros((rows, width), np.float16)

    def step(i: int) -> None:
        row = np.full((1, width), i % 19 - 9, np.float16)
        (actual,) = model.predict({"x": row}, state=state).values()
        ring[i % rows] = row
        np.testing.assert_array_equal(actual, ring.astype(np.float32).sum(0))

    _watch_memory(step)
    np.testing.assert_array_equal(state.read("ring"), ring)
    assert state.read("count") == PREDICTIONS % rows


@pytest.mark.parametrize("models", [1, THREADS], ids=["one model", "a model each"])
def test_threads_agree_with_one(models, dynamic_package, rng) -> None:
    loaded = [_engine.load(dynamic_package, threads=1) for _ in range(models)]
    inputs = [rng.normal(size=(1 + 5 * i, EXTENT)).astype(np.float32) for i in range(THREADS)]
    expected = [next(iter(loaded[0].predict({"x": x}).values())) for x in inputs]

    def work(thread: int) -> int:
        model = loaded[thread % models]
        different = 0
        for i in range(PREDICTIONS // THREADS):
            k = (thread + i) % THREADS
            (actual,) = model.predict({"x": inputs[k]}).values()
            different += not np.array_equal(actual, expected[k])
        return different

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [0] * THREADS
