"""The program coreml_runner: values equal to the Python runtime's, traces that ExecuTorch's Inspector reads, errors in one line."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import executorch.backends.apple.coreml.runtime  # noqa: F401  registers the backend
import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.devtools import Inspector
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

RUNNER = pathlib.Path("runtime/coreml_runner")
PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
OURS = PROGRAMS / "sin_float32.pte"
STOCK = PROGRAMS / "stock_sin.pte"
STOCK_SHARED = PROGRAMS / "stock_shared_weights.pte"

X = {
    OURS: np.float32([0.75]),
    STOCK: np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3),
    STOCK_SHARED: np.cos(np.arange(64, dtype=np.float32))[None],
}


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUNNER, *map(str, words)], capture_output=True, text=True, check=False)


def succeed(*words: object) -> dict:
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(*words: object, code: int = 1) -> str:
    """The error, which is one line."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("coreml_runner: ")
    return line


def in_python(path: pathlib.Path, method: str, *tensors: torch.Tensor) -> list[np.ndarray]:
    return [o.numpy() for o in Runtime.get().load_program(path).load_method(method).execute(list(tensors))]


@pytest.mark.parametrize(("path", "method"), [(OURS, "forward"), (STOCK, "forward"), (STOCK_SHARED, "decode")])
@pytest.mark.parametrize("kind", ["npy", "raw"])
def test_values_equal_those_of_the_python_runtime(path, method, kind, tmp_path) -> None:
    file = tmp_path / f"x.{kind}"
    np.save(file, X[path]) if kind == "npy" else file.write_bytes(X[path].tobytes())
    prefix = tmp_path / "y"
    facts = succeed(path, "--method", method, "--input", file, "--output", prefix, "--output-format", kind, "--iterations", 3)
    (expected,) = in_python(path, method, torch.from_numpy(X[path]))
    if kind == "npy":
        found = np.load(f"{prefix}0.npy")
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    else:
        found = np.fromfile(f"{prefix}0.bin", np.float32).reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)
    (output,) = facts["outputs"]
    assert output["type"] == f"float32[{', '.join(map(str, expected.shape))}]"
    assert output["min"] == expected.min()
    assert output["max"] == expected.max()
    assert output["mean"] == pytest.approx(float(expected.mean()), rel=1e-6, abs=1e-6)
    assert len(facts["execution_ms"]) == 3
    assert facts["made_up_inputs"] == 0


def test_made_up_inputs_are_ones_or_of_a_seed() -> None:
    assert succeed(OURS)["outputs"][0]["max"] == pytest.approx(np.sin(1), abs=1e-6)
    first, again, other = (succeed(STOCK, "--seed", seed)["outputs"][0] for seed in (5, 5, 6))
    assert first == again
    assert first["begins"] != other["begins"]
    assert all(-1 <= x <= 1 for x in first["begins"])
    assert "input 0   float32[1]" in run(OURS).stdout


class Mixed(torch.nn.Module):
    """Some of it outside the delegate; a float16 output; two inputs, one of integers; scratch that overflows no float16."""

    def forward(self, x: torch.Tensor, indices: torch.Tensor):
        h = torch.sigmoid(torch.nn.functional.linear(x, torch.full((8, 8), 0.25)))
        return torch.cumsum(h, 0).index_select(0, indices), (h + 1).half()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    example = (torch.ones(4, 8), torch.zeros(2, dtype=torch.int64))
    partitioner = CoreMLPartitioner(skip_ops_for_coreml_delegation=["aten.cumsum.default"])
    lowered = to_edge_transform_and_lower(torch.export.export(Mixed().eval(), example), partitioner=[partitioner])
    path = tmp_path_factory.mktemp("programs") / "mixed.pte"
    path.write_bytes(bytes(lowered.to_executorch().buffer))
    return path


def test_operators_outside_the_delegate_and_several_inputs(mixed, tmp_path) -> None:
    x, indices = torch.randn(4, 8, generator=torch.Generator().manual_seed(3)), torch.tensor([3, 1])
    np.save(tmp_path / "x.npy", x.numpy())
    np.save(tmp_path / "indices.npy", indices.numpy())
    succeed(
        *(mixed, "--input", f"1={tmp_path / 'indices.npy'}", "--input", f"0={tmp_path / 'x.npy'}", "--output", tmp_path / "y"),
        *("--mmap", "--threads", 1, "--warm-up", 2, "--reset-states"),
    )
    expected = in_python(mixed, "forward", x, indices)
    assert expected[1].dtype == np.float16
    for index, array in enumerate(expected):
        np.testing.assert_array_equal(np.load(tmp_path / f"y{index}.npy"), array)


# A float16 tensor corrupts ETDump's memory, which shows after some executions; a full buffer would end the process.
@pytest.mark.parametrize("which", ["ours", "stock", "mixed"])
def test_traces_are_read_by_the_inspector(which, mixed, tmp_path) -> None:
    path = {"ours": OURS, "stock": STOCK, "mixed": mixed}[which]
    etdump, values = tmp_path / "a.etdump", tmp_path / "a.bin"
    facts = succeed(path, "--iterations", 12, "--warm-up", 3, "--etdump", etdump, "--debug-buffer", values)
    assert facts["etdump_bytes"] == etdump.stat().st_size
    assert facts["debug_buffer_bytes"] == values.stat().st_size > 0
    inspector = Inspector(etdump_path=str(etdump), debug_buffer_path=str(values))
    events = [event for block in inspector.event_blocks for event in block.events]
    # In blocks of executions with the same events; the first loads the graph that gives the values.
    assert sum(len(e.perf_data.raw) for e in events if e.name == "Method::execute") == 15
    assert any(e.name.startswith("load ") for e in events)
    inside = {e.name: e.debug_data for e in events if e.is_delegated_op and e.debug_data}
    assert inside
    assert all(torch.isfinite(torch.as_tensor(v)).all() for data in inside.values() for v in data)
    if which == "ours":
        assert any(np.allclose(data[0], np.sin(1), atol=1e-6) for data in inside.values())


def test_executorchs_inspector_for_core_ml_runs_unchanged(tmp_path) -> None:
    etdump = tmp_path / "a.etdump"
    succeed(OURS, "--etdump", etdump)
    (script,) = {
        str(p) for f in sys.path for p in pathlib.Path(f).glob("executorch/examples/apple/coreml/scripts/inspector_cli.py")
    }
    done = subprocess.run(
        [sys.executable, script, "--etdump_path", str(etdump)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # Its own columns, from the metadata of operations. What only Apple's system can tell is not there.
    assert "coreml_operator" in done.stdout
    assert "sin" in done.stdout
    assert "coreml_preferred_device" not in done.stdout


def test_cache_folder(tmp_path) -> None:
    folder = tmp_path / "cache"
    for _ in range(2):
        assert succeed(OURS, "--cache-dir", folder, "--cache-budget-mb", 50, "--cache-verification", "full")["outputs"]
    assert len(list((folder / "coreml-delegate-1" / "entries").iterdir())) == 1


def test_compile_helper(tmp_path) -> None:
    limits = ["--compile-helper-timeout-s", 100, "--compile-helper-memory-mb", 2000]
    here, there = tmp_path / "here", tmp_path / "there"
    assert succeed(OURS, "--output", here)["outputs"]
    assert succeed(OURS, "--output", there, "--compile-helper", "runtime/coreml_compile_helper", *limits)["outputs"]
    np.testing.assert_array_equal(np.load(f"{there}0.npy"), np.load(f"{here}0.npy"))
    assert "build //runtime:coreml_compile_helper" in refusal(OURS, "--compile-helper", tmp_path / "missing")


def test_numeric_mode_reaches_the_engine(tmp_path) -> None:
    in_float32, in_float16 = (
        succeed(STOCK, "--seed", 1, "--numeric-mode", mode, "--compute-units", "cpu_only", "--engine", "portable")["outputs"][0]
        for mode in ("float32", "float16")
    )
    assert in_float32["begins"] != in_float16["begins"]
    assert in_float16["begins"] == pytest.approx(in_float32["begins"], abs=2e-3)


def test_wrong_files(tmp_path) -> None:
    (tmp_path / "text.pte").write_text("this is no program at all, only text that is long enough")
    for name, size in (("cut", STOCK.stat().st_size // 2), ("stub", 20), ("empty", 0)):
        (tmp_path / f"{name}.pte").write_bytes(STOCK.read_bytes()[:size])
    for name, words in (
        ("missing.pte", "No such file"),
        ("text.pte", "is not an ExecuTorch program: name a .pte file"),
        ("cut.pte", "it was cut short; copy it again"),
        ("stub.pte", "ends within its header"),
        ("empty.pte", "is not an ExecuTorch program"),
        ("", "cannot be read"),
    ):
        assert words in refusal(tmp_path / name)


def test_damaged_programs_end_in_an_error(tmp_path) -> None:
    whole = bytearray(STOCK.read_bytes())
    # The delegate's payload, whose index is at its end, lies behind the program.
    for offset in range(40, len(whole), 509):
        damaged = bytearray(whole)
        damaged[offset : offset + 8] = b"\xff" * 8
        (tmp_path / "damaged.pte").write_bytes(damaged)
        assert run(tmp_path / "damaged.pte").returncode in (0, 1), offset


def test_wrong_arguments(tmp_path) -> None:
    np.save(tmp_path / "x.npy", X[STOCK])
    np.save(tmp_path / "long.npy", np.zeros((2, 4), np.float32))
    np.save(tmp_path / "integers.npy", np.zeros((2, 3), np.int64))
    (tmp_path / "x.bin").write_bytes(b"123")
    for arguments, words in (
        (["--method", "backward"], "has no method with this name; it has forward"),
        (["--input", "missing.npy"], "No such file"),
        (["--input", f"4={tmp_path / 'x.npy'}"], "takes 1 inputs, so there is no input 4"),
        (["--input", tmp_path / "integers.npy"], "is float32[2, 3], but the file has int64[2, 3]"),
        (["--input", tmp_path / "long.npy"], "error 0x"),
        (["--input", tmp_path / "x.bin"], "24 bytes, but the file has 3"),
        (["--numeric-mode", "bfloat16"], "the values are: float32, float16"),
        (["--engine", "absent"], "absent"),
        (["--cache-dir", "x" * 255], "more than 254 bytes"),
        (["--output", tmp_path / "nowhere" / "y"], "could not be written"),
        (["--etdump", tmp_path / "nowhere" / "e"], "could not be written"),
        (["--data", tmp_path / "weights.ptd"], "No such file"),
    ):
        assert words in refusal(STOCK, *arguments), arguments
    assert "name the program to run" in refusal(code=2)
    assert "no such option" in refusal(STOCK, "--frobnicate", code=2)
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "coreml_runner --model model.pte" in done.stdout
