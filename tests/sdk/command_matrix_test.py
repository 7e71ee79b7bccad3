"""Every command, and the C++ runner, on a file of ours, one of the stock exporter's, a wrong one, a truncated one, a missing one, and without
a file."""

from __future__ import annotations

import json
import pathlib
import subprocess

import numpy as np
import program_surgery
import pytest
from executorch.backends.apple.coreml import runtime
from executorch.backends.apple.coreml.sdk import command_line

PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
OURS = PROGRAMS / "sin_float32.pte"
STOCK = PROGRAMS / "stock_sin.pte"
RUNNER = pathlib.Path("runtime/coreml_runner")
RUN = "coreml_runner"

# Command -> what stands after the file. FOLDER is the test's own.
COMMANDS: dict[str, list[str]] = {
    "inspect": [],
    "extract": ["-o", "FOLDER/packages"],
    "run": ["--input", "0=FOLDER/x.npy", "--save", "FOLDER/outputs.npz"],
    "bench": ["-n", "2", "--warm-up", "0"],
    "profile": ["-n", "1"],
    "verify": ["--reference", "FOLDER/expected.npz", "--input", "0=FOLDER/x.npy"],
    "kit": ["--input", "0=FOLDER/x.npy", "-o", "FOLDER/kit"],
    "report": ["-n", "1", "-o", "FOLDER/report.html"],
    "convert": ["-o", "FOLDER/converted.pte"],
    "cache": ["stats"],
    RUN: ["--input", "FOLDER/x.npy", "--output", "FOLDER/y"],
}


def words(command: str, file: pathlib.Path, folder: pathlib.Path) -> list[str]:
    more = [word.replace("FOLDER", str(folder)) for word in COMMANDS[command]]
    # The one command whose file, a folder, stands behind a word.
    return [*more, str(file)] if command == "cache" else [str(file), *more]


@pytest.fixture
def call(coreml, tmp_path):
    """(exit code, standard output, standard error) of a command, or of the runner, on a file."""

    def run(command: str, *arguments: str) -> tuple[int, str, str]:
        if command != RUN:
            return coreml(command, *arguments)
        done = subprocess.run([RUNNER, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def no_constant(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def test_no_command_is_left_out() -> None:
    # lower reads models instead of programs: lower_test.py.
    assert {*COMMANDS, "lower"} == {*command_line.COMMANDS, RUN}


@pytest.mark.parametrize("path", [OURS, STOCK], ids=["ours", "stock"])
@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_good_file(call, command, path, tmp_path) -> None:
    x = np.full((1,) if path == OURS else (2, 3), 0.5, np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "expected.npz", np.sin(x))
    file = path
    if command == "cache":
        file = tmp_path / "cache"
        runtime.set_options(cache_dir=file)
        try:
            assert call("run", str(path))[0] == 0
        finally:
            runtime.set_options(cache_dir="")
    code, out, err = call(command, *words(command, file, tmp_path), "--json")
    assert code == 0, err
    found = json.loads(out, parse_constant=no_constant)
    assert found
    if command == "cache":
        assert found["entries"] == 1
    if command == RUN:
        assert found["outputs"][0]["begins"][0] == pytest.approx(np.sin(0.5), abs=2e-3)
    if command == "run":
        assert found["0"]["mean"] == pytest.approx(np.sin(0.5), abs=2e-3)
    if command == "verify":
        assert found["passed"] is True


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_bad_file(call, command, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    np.savez(tmp_path / "expected.npz", np.ones((2, 3), np.float32))
    whole = STOCK.read_bytes()
    (tmp_path / "text.pte").write_text("this is no program at all, only text that is long enough to be one")
    (tmp_path / "cut.pte").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pte").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.pte").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.iterdir())
    for name in ("text.pte", "cut.pte", "empty.pte", "folder", "missing.pte", "link.pte"):
        code, out, err = call(command, *words(command, tmp_path / name, tmp_path))
        assert (code, out) == (1, ""), (name, err)
        # One line that names the file.
        (line,) = err.splitlines()
        assert line.startswith(f"{command}: " if command == RUN else f"coreml {command}: ")
        assert name in line
        assert "Error" not in line.split(":")[1]
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_file(call, command, capsys) -> None:
    if command == RUN:
        code, out, err = call(RUN)
        assert (code, out) == (2, "")
        assert "name the program to run" in err
        return
    with pytest.raises(SystemExit) as exit_:
        call(command)
    assert exit_.value.code == 2
    assert "the following arguments are required" in capsys.readouterr().err


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "cache"])
def test_on_a_compiled_model(call, command, tmp_path) -> None:
    """What ModelType.COMPILED_MODEL of the stock exporter gives on a Mac: seen and taken out anywhere, run and changed by Core ML only."""
    path = program_surgery.with_compiled_model(STOCK, tmp_path / "compiled.pte")
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    np.savez(tmp_path / "expected.npz", np.ones((2, 3), np.float32))
    code, out, err = call(command, *words(command, path, tmp_path))
    if command == "inspect":
        assert code == 0
        assert "flattened directory, compiled" in out
        assert "coremldata.bin (64 B)" in out
    elif command == "extract":
        assert code == 0
        assert (tmp_path / "packages" / "forward_0.mlmodelc" / "coremldata.bin").read_bytes() == bytes(64)
    else:
        assert (code, out) == (1, "")
        expected = {
            "verify": "holds a compiled model, which only Core ML runs",
            "convert": "holds a model that Core ML has compiled, and a blob lists states",
        }
        said = "compiled models (.mlmodelc) run on Core ML only; export the model as a package"
        assert expected.get(command, said) in err.splitlines()[-1]
        assert "Traceback" not in err
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "converted.pte").exists()
