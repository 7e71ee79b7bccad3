"""Models compiled in a process of their own: delegate, store, MLModel and coremltools, with the program that ships and with bad ones."""

from __future__ import annotations

import os
import pathlib
import stat

import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml import runtime
from executorch.backends.apple.coreml.engine import _compile_helper, ml_model
from executorch.runtime import Runtime

PROGRAM = pathlib.Path("tests/end_to_end/testdata/stock_shared_weights.pte")
PACKAGES = pathlib.Path("runtime/engine/cts/testdata")
TOKENS = torch.cos(torch.arange(64, dtype=torch.float32))[None]
X = {"x": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "y": np.full((2, 3), 0.1, np.float32)}


def copy_package(name: str, target: pathlib.Path) -> str:
    """Its files are symbolic links among Bazel's runfiles, which are refused."""
    source = PACKAGES / f"{name}.mlpackage"
    for folder, _, files in os.walk(source, followlinks=True):
        for file in files:
            path = target / pathlib.Path(folder, file).relative_to(source)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pathlib.Path(folder, file).read_bytes())
    return str(target)


@pytest.fixture
def package(tmp_path) -> str:
    return copy_package("add", tmp_path / "add.mlpackage")


@pytest.fixture(autouse=True)
def defaults(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    yield
    runtime.set_options(compile_helper=False, compile_helper_timeout_s=0, compile_helper_memory_mb=0, cache_dir="", numeric_mode="")
    assert list(temporary.glob("coreml-compile-*")) == []


def script(path: pathlib.Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def counted(tmp_path):
    """The program that ships, and how often it ran."""
    runs = tmp_path / "runs"
    runs.write_text("")
    path = script(tmp_path / "helper", f'echo run >>"{runs}"\nexec "{_compile_helper.program(True)}" "$@"\n')
    return path, lambda: len(runs.read_text().splitlines())


def execute() -> torch.Tensor:
    method = Runtime.get().load_program(PROGRAM).load_method("decode")
    assert method is not None, runtime.last_error()
    return method.execute([TOKENS])[0].clone()


def failure() -> str:
    with pytest.raises(RuntimeError):
        Runtime.get().load_program(PROGRAM).load_method("decode")
    return runtime.last_error()


@pytest.mark.parametrize("mode", ["float32", "float16"])
def test_a_delegate_computes_the_same_to_the_last_bit(counted, mode) -> None:
    runtime.set_options(numeric_mode=mode)
    expected = execute()
    path, runs = counted
    runtime.set_options(compile_helper=path)
    assert torch.equal(execute(), expected)
    assert runs() == 1
    runtime.set_options(compile_helper=True)
    assert torch.equal(execute(), expected)
    runtime.set_options(compile_helper=False)
    execute()
    assert runs() == 1


def test_the_cache_is_filled_by_it_and_its_key_does_not_know(counted, tmp_path) -> None:
    path, runs = counted
    runtime.set_options(cache_dir=tmp_path / "cache", compile_helper=path)
    expected = execute()
    assert runs() == 1
    for helper in (path, "/nonexistent/helper", False):
        runtime.set_options(compile_helper=helper)
        assert torch.equal(execute(), expected)
    assert runs() == 1
    assert runtime.cache.stats().compilations == 1


def test_what_becomes_of_the_helper_is_said(tmp_path) -> None:
    runtime.set_options(compile_helper="/nonexistent/helper")
    assert "build //runtime:coreml_compile_helper" in failure()
    runtime.set_options(compile_helper=script(tmp_path / "crash", "kill -SEGV $$\n"))
    assert "the compiler died of SIGSEGV on this model" in failure()
    runtime.set_options(compile_helper=script(tmp_path / "hang", "sleep 1000\n"), compile_helper_timeout_s=1)
    assert "not finished this model after 1 s" in failure()
    # This process goes on.
    runtime.set_options(compile_helper=True, compile_helper_timeout_s=0, compile_helper_memory_mb=2000)
    execute()
    runtime.set_options(compile_helper_memory_mb=1)
    assert failure()


def test_ml_model(package, counted) -> None:
    path, runs = counted
    expected = ml_model.MLModel(package).predict(X)
    for helper in (path, True, pathlib.Path(path)):
        model = ml_model.MLModel(package, compile_helper=helper)
        for name, value in model.predict(X).items():
            np.testing.assert_array_equal(value, expected[name])
    assert runs() == 2
    with pytest.raises(ValueError, match="has no intermediate values"):
        model.intermediate_values(X)
    assert any(kind == "operation" for kind, *_ in model.inspect(X))


def test_ml_model_says_what_happened(package, tmp_path) -> None:
    def error(helper: str, **options: int) -> ml_model.EngineError:
        with pytest.raises(ml_model.EngineError) as raised:
            ml_model.MLModel(package, compile_helper=helper, **options)
        return raised.value

    assert error("/nonexistent/helper").code == "not_found"
    crash = error(script(tmp_path / "crash", "kill -SEGV $$\n"))
    assert crash.code == "engine_failure"
    assert "SIGSEGV" in str(crash)
    assert error(script(tmp_path / "hang", "sleep 1000\n"), compile_helper_timeout_s=1).code == "resource_exhausted"
    assert error(script(tmp_path / "lie", "echo '{}'\n")).code == "internal"
    assert error(_compile_helper.program(True), compile_helper_timeout_s=-1).code == "invalid_argument"


def test_a_hostile_package_is_refused_in_the_same_words(tmp_path) -> None:
    damaged = pathlib.Path(copy_package("weights", tmp_path / "damaged.mlpackage"))
    for weights in damaged.rglob("weight.bin"):
        weights.write_bytes(weights.read_bytes()[:64])
    for path in (str(damaged), copy_package("unsupported", tmp_path / "unsupported.mlpackage")):
        said = []
        for helper in (False, True):
            with pytest.raises(ml_model.EngineError) as raised:
                ml_model.MLModel(path, compile_helper=helper)
            said.append((raised.value.code, str(raised.value)))
        assert said[0] == said[1]


def test_coremltools(package, counted) -> None:
    import coremltools

    path, runs = counted
    runtime.enable_coremltools(compile_helper=path)
    try:
        outputs = coremltools.models.MLModel(package).predict(X)
    finally:
        runtime.enable_coremltools()
    np.testing.assert_array_equal(outputs["sum"], X["x"] + X["y"])
    assert runs() == 1


def test_a_program_that_does_not_ship_is_said(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(_compile_helper, "candidates", lambda: [tmp_path / "coreml_compile_helper"])
    with pytest.raises(FileNotFoundError, match="tools/bazel build -c opt //runtime:coreml_compile_helper"):
        runtime.set_options(compile_helper=True)
