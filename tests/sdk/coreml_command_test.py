"""Every command of `coreml` on a file of this exporter and on one of the stock exporter; wrong files get a sentence, not a traceback."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk import command_line
from executorch.exir import to_edge_transform_and_lower

PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
OURS = PROGRAMS / "sin_float32.pte"
STOCK = PROGRAMS / "stock_sin.pte"
STOCK_SHARED = PROGRAMS / "stock_shared_weights.pte"
# Bazel's runfiles are links; packages with links inside are refused.
PACKAGES = pathlib.Path("runtime/engine/cts/testdata/add.mlpackage/Manifest.json").resolve().parents[1]

# What the programs of sin take.
INPUTS = {OURS: np.float32([0.75]), STOCK: np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def coreml(capsys: pytest.CaptureFixture[str]):
    """Runs a command: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = command_line.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def succeed(result: tuple[int, str, str]) -> str:
    code, out, err = result
    assert code == 0, err
    return out


# --- inspect ---


def test_inspect_a_program_of_this_exporter(coreml) -> None:
    facts = json.loads(succeed(coreml("inspect", "--json", OURS)))
    assert facts["what"] == "program"
    assert facts["size"] == OURS.stat().st_size
    (method,) = facts["methods"]
    assert method["name"] == "forward"
    assert method["inputs"] == ["float[1]"]
    assert method["operators"] == {}
    (delegate,) = method["delegates"]
    assert delegate["format"] == "blob"
    assert delegate["kind"] == "package"
    assert len(delegate["content_id"]) == 64
    assert "Manifest.json" in delegate["files"]
    text = succeed(coreml("inspect", OURS))
    assert "method forward: (float[1]) -> (float[1])" in text
    assert "nothing runs outside delegates" in text


def test_inspect_programs_of_the_stock_exporter(coreml) -> None:
    (method,) = json.loads(succeed(coreml("inspect", "--json", STOCK)))["methods"]
    assert method["delegates"][0]["format"] == "flattened directory"
    facts = json.loads(succeed(coreml("inspect", "--json", STOCK_SHARED)))
    assert len(facts["methods"]) == 2
    delegates = [method["delegates"][0] for method in facts["methods"]]
    assert {d["format"] for d in delegates} == {"flattened directory reference"}
    assert [d["function"] for d in delegates] == [m["name"] for m in facts["methods"]]
    assert delegates[0]["files"] == delegates[1]["files"]
    assert len(facts["named_data"]) == 1
    assert "named data" in succeed(coreml("inspect", STOCK_SHARED))


def test_inspect_a_package(coreml) -> None:
    facts = json.loads(succeed(coreml("inspect", "--json", PACKAGES / "add.mlpackage")))
    assert facts["what"] == "package"
    assert facts["functions"][0]["operations"] == {"add": 1}
    assert facts["functions"][0]["inputs"] == ["x: float32[2, 3]", "y: float32[2, 3]"]
    text = succeed(coreml("inspect", PACKAGES / "add.mlpackage"))
    assert "1 operations: add" in text


# --- extract, run, bench ---


@pytest.mark.parametrize("path", [OURS, STOCK])
def test_extract_and_run_what_was_extracted(coreml, path, tmp_path) -> None:
    (item,) = json.loads(succeed(coreml("extract", path, "-o", tmp_path / "packages", "--json")))
    assert item["path"] == str(tmp_path / "packages" / "forward_0.mlpackage")
    np.save(tmp_path / "x.npy", INPUTS[path])
    facts = json.loads(succeed(coreml("inspect", "--json", item["path"])))
    name = facts["functions"][0]["inputs"][0].partition(":")[0]
    succeed(coreml("run", item["path"], "--input", f"{name}={tmp_path / 'x.npy'}", "--save", tmp_path / "out.npz"))
    (output,) = np.load(tmp_path / "out.npz").values()
    np.testing.assert_allclose(output, np.sin(INPUTS[path]), rtol=0, atol=2e-3)

    code, _, err = coreml("extract", path, "-o", tmp_path / "packages")
    assert code == 1
    assert "exists already" in err


def test_extract_every_method_of_a_program_that_shares_weights(coreml, tmp_path) -> None:
    items = json.loads(succeed(coreml("extract", STOCK_SHARED, "-o", tmp_path, "--json")))
    assert len(items) == 2
    method = items[1]["method"]
    out = succeed(coreml("extract", STOCK_SHARED, "-o", tmp_path / "one", "--method", method))
    assert f"{method}_0.mlpackage" in out
    code, _, err = coreml("extract", STOCK_SHARED, "--method", "nobody")
    assert code == 1
    assert "no Core ML delegate in a method 'nobody'" in err


@pytest.mark.parametrize("path", [OURS, STOCK])
def test_run_a_program(coreml, path, tmp_path) -> None:
    np.save(tmp_path / "x.npy", INPUTS[path])
    facts = json.loads(succeed(coreml("run", "--json", path, "--input", f"0={tmp_path / 'x.npy'}", "--save", tmp_path / "out.npz")))
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["0"], np.sin(INPUTS[path]), rtol=0, atol=2e-3)
    assert facts["0"]["shape"] == list(INPUTS[path].shape)
    assert facts["0"]["max"] == pytest.approx(float(np.sin(INPUTS[path]).max()), abs=2e-3)


def test_made_up_inputs_are_said_and_repeatable(coreml) -> None:
    code, first, err = coreml("run", "--json", OURS, "--seed", 3)
    assert code == 0
    assert "made up from seed 3: 0" in err
    assert succeed(coreml("run", "--json", OURS, "--seed", 3)) == first
    assert succeed(coreml("run", "--json", OURS, "--seed", 4)) != first


@pytest.mark.parametrize("path", [OURS, STOCK, PACKAGES / "add.mlpackage"])
def test_bench(coreml, path) -> None:
    facts = json.loads(succeed(coreml("bench", "--json", path, "-n", 5, "--warm-up", 1)))
    times = facts["milliseconds"]
    assert facts["n"] == 5
    assert 0 < times["min"] <= times["p50"] <= times["p90"] <= times["max"]
    assert "not those of an Apple device" in succeed(coreml("bench", path, "-n", 2, "--warm-up", 0))


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A .pte whose operations take more than a microsecond."""
    layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.Sigmoid(), torch.nn.Conv2d(16, 16, 3), torch.nn.Sigmoid()]
    exported = torch.export.export(torch.nn.Sequential(*layers).eval(), (torch.ones(1, 3, 64, 64),))
    program = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner()]).to_executorch()
    path = tmp_path_factory.mktemp("programs") / "convolutions.pte"
    path.write_bytes(bytes(program.buffer))
    return path


def test_profile_names_the_operations_of_a_program(coreml, convolutions) -> None:
    operations = json.loads(succeed(coreml("profile", "--json", convolutions, "-n", 3)))["operations"]
    assert {"conv", "sigmoid"} & {o["operation"] for o in operations}
    assert max(o["mean_seconds"] for o in operations) > 1e-6


@pytest.mark.parametrize("path", [OURS, STOCK, PACKAGES / "chain.mlpackage"])
def test_profile(coreml, path) -> None:
    facts = json.loads(succeed(coreml("profile", "--json", path, "-n", 4)))
    assert facts["executions"] == 4
    assert len(facts["method_seconds"]) == 4
    assert all(len(o["seconds"]) == 4 for o in facts["operations"])
    # The nth execution's times are known to n microseconds.
    slack = len(facts["operations"]) * 5e-6
    for index, seconds in enumerate(facts["delegate_seconds"]):
        assert seconds <= facts["method_seconds"][index]
        assert sum(o["seconds"][index] for o in facts["operations"]) <= seconds + slack
    text = succeed(coreml("profile", path, "-n", 1))
    assert "nothing is estimated" in text


# --- wrong files and arguments ---


@pytest.mark.parametrize("command", ["inspect", "extract", "run", "bench", "profile"])
def test_wrong_files_get_a_sentence(coreml, command, tmp_path) -> None:
    (tmp_path / "text.pte").write_text("this is no program at all, only text")
    (tmp_path / "cut.pte").write_bytes(OURS.read_bytes()[: OURS.stat().st_size // 2])
    (tmp_path / "stub.pte").write_bytes(OURS.read_bytes()[:20])
    for name, words in (
        ("missing.pte", "there is no file"),
        ("text.pte", "neither a .pte" if command == "inspect" else "no ExecuTorch program"),
        ("cut.pte", "cut short"),
        ("stub.pte", "ends within its header"),
    ):
        code, out, err = coreml(command, tmp_path / name)
        assert (code, out) == (1, ""), name
        assert words in err
        assert "Traceback" not in err


def test_folders_that_are_no_packages(coreml, tmp_path) -> None:
    code, _, err = coreml("inspect", tmp_path)
    assert code == 1
    assert "has no Manifest.json" in err
    code, _, err = coreml("run", tmp_path)
    assert code == 1
    assert "cannot be run" in err


def test_wrong_arguments(coreml, tmp_path) -> None:
    np.save(tmp_path / "x.npy", INPUTS[STOCK])
    np.save(tmp_path / "text.npy", np.array(["a"]))
    for arguments, words in (
        (["--input", "0"], "--input is NAME=FILE.npy"),
        (["--input", "0=missing.npy"], "cannot be read"),
        (["--input", f"7={tmp_path / 'x.npy'}"], "has no input '7'; it has 0"),
        (["--input", f"0={tmp_path / 'text.npy'}"], "is float32, not <U1"),
        (["--input", f"0={tmp_path / 'x.npy'}"], "is [1], not [2, 3]"),
        (["--method", "backward"], "has no method 'backward'; it has forward"),
    ):
        code, _, err = coreml("run", OURS, *arguments)
        assert code == 1
        assert words in err
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["extract"])
    assert exit_.value.code == 2


def test_help_has_examples(capsys) -> None:
    for command in command_line.COMMANDS:
        with pytest.raises(SystemExit) as exit_:
            command_line.main([command, "--help"])
        assert exit_.value.code == 0
        assert f"  coreml {command} " in capsys.readouterr().out
