"""Every command of `coreml` on a file of this exporter and on one of the stock exporter; wrong files get a sentence, not a traceback."""

from __future__ import annotations

import json
import pathlib

import coremltools as ct
import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml import runtime
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk import command_line, payload, program_file, running
from executorch.exir import to_edge_transform_and_lower

PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
OURS = PROGRAMS / "sin_float32.pte"
STOCK = PROGRAMS / "stock_sin.pte"
STOCK_SHARED = PROGRAMS / "stock_shared_weights.pte"
# Bazel's runfiles are links; packages with links inside are refused.
PACKAGES = pathlib.Path("runtime/engine/cts/testdata/add.mlpackage/Manifest.json").resolve().parents[1]

# What the programs of sin take.
INPUTS = {OURS: np.float32([0.75]), STOCK: np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)}


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
    # The golden program was lowered before there were blobs for both runtimes.
    assert "suits" in text
    assert "this project's runtime alone: it was lowered for this runtime alone" in text
    assert "method forward: (float[1]) -> (float[1])" in text
    assert "nothing runs outside delegates" in text


def test_inspect_programs_of_the_stock_exporter(coreml) -> None:
    (method,) = json.loads(succeed(coreml("inspect", "--json", STOCK)))["methods"]
    assert method["delegates"][0]["format"] == "flattened directory"
    assert "this project's runtime and ExecuTorch's stock one" in succeed(coreml("inspect", STOCK))
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
    assert "already exists" in err


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
    """A .pte whose operations take more than a microsecond, but for those of the few numbers behind them."""
    layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.Sigmoid(), torch.nn.Conv2d(16, 16, 3), torch.nn.AvgPool2d(60), torch.nn.Flatten()]
    layers += [layer for _ in range(16) for layer in (torch.nn.Linear(16, 16), torch.nn.Softmax(-1))]
    exported = torch.export.export(torch.nn.Sequential(*layers).eval(), (torch.ones(1, 3, 64, 64),))
    program = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner()]).to_executorch()
    path = tmp_path_factory.mktemp("programs") / "convolutions.pte"
    path.write_bytes(bytes(program.buffer))
    return path


def test_profile_names_the_operations_of_a_program(coreml, convolutions) -> None:
    facts = json.loads(succeed(coreml("profile", "--json", convolutions, "-n", 12)))
    assert min(facts["method_seconds"]) > 0, "each execution has its time, and has the same operations"
    assert min(facts["engine_seconds"]) > 0
    operations = facts["operations"]
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
        # Every part of the delegate's time is somebody's.
        operations, engine = facts["operation_seconds"][index], facts["engine_seconds"][index]
        assert operations == pytest.approx(sum(o["seconds"][index] for o in facts["operations"]))
        assert operations + facts["between_seconds"][index] == pytest.approx(max(engine, operations))
        assert engine + facts["beside_seconds"][index] == pytest.approx(seconds)
    text = succeed(coreml("profile", path, "-n", 1))
    assert "nothing is estimated" in text
    assert "between them and waiting for a processor" in text


# --- convert ---


def outputs_of(coreml, path, tmp_path, *more: object) -> dict[str, np.ndarray]:
    succeed(coreml("run", path, "--seed", 5, "--save", tmp_path / "out.npz", *more))
    return dict(np.load(tmp_path / "out.npz"))


FORMS = {"both": "blob for both runtimes", "coreml_blob": "blob", "inmemoryfs": "flattened directory"}


@pytest.mark.parametrize("path", [OURS, STOCK, STOCK_SHARED])
def test_convert_there_and_back_gives_the_same_outputs(coreml, path, tmp_path) -> None:
    methods = [m["name"] for m in json.loads(succeed(coreml("inspect", "--json", path)))["methods"]]
    expected = {m: outputs_of(coreml, path, tmp_path, "--method", m) for m in methods}
    forms = ("coreml_blob", "both", "inmemoryfs", "both", "coreml_blob", "inmemoryfs")
    forms = forms if path != OURS else (*forms[1:], forms[0])
    source, files = path, None
    for index, form in enumerate(forms):
        target = tmp_path / f"{index}.pte"
        facts = json.loads(succeed(coreml("convert", source, "-o", target, "--format", form, "--json")))
        assert facts["size"] == target.stat().st_size
        inspected = json.loads(succeed(coreml("inspect", "--json", target)))
        delegates = [m["delegates"][0] for m in inspected["methods"]]
        suffix = " reference" if path == STOCK_SHARED else ""
        assert {d["format"] for d in delegates} == {FORMS[form] + suffix}
        assert {tuple(d["runtimes"]) for d in delegates} == {
            ("coreml_delegate",) if form == "coreml_blob" else ("coreml_delegate", "stock")
        }
        assert [d["after"] for d in facts["delegates"]] == [d["format"] for d in delegates]
        # What the former form needed is gone.
        assert len(inspected["named_data"]) == (1 if path == STOCK_SHARED else 0)
        assert files in (None, delegates[0]["files"])
        files = delegates[0]["files"]
        for method, arrays in expected.items():
            for name, array in outputs_of(coreml, target, tmp_path, "--method", method).items():
                np.testing.assert_array_equal(array, arrays[name])
        source = target
    text = succeed(coreml("convert", source, "-o", tmp_path / "same.pte", "--format", forms[-1]))
    assert "already" in text


def lower(module: torch.nn.Module, example: tuple, path: pathlib.Path, **more: object) -> pathlib.Path:
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    exported = torch.export.export(module.eval(), example, **more)
    program = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    path.write_bytes(bytes(program.to_executorch().buffer))
    return path


class Weighty(torch.nn.Module):
    """A weight of 64 KiB and more, which lies in the named data; a dynamic extent; operations with debug handles."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(256, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x))


def test_convert_keeps_large_weights_ranges_and_debug_handles(coreml, tmp_path) -> None:
    torch.manual_seed(0)
    rows = torch.export.Dim("rows", min=1, max=8)
    path = lower(Weighty(), (torch.ones(4, 256),), tmp_path / "ours.pte", dynamic_shapes=({0: rows},))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32))
    given = ("--input", f"0={tmp_path / 'x.npy'}")
    expected = outputs_of(coreml, path, tmp_path, *given)["0"]
    assert expected.shape == (3, 256)
    succeed(coreml("convert", path, "-o", tmp_path / "stock.pte", "--format", "inmemoryfs"))
    succeed(coreml("convert", tmp_path / "stock.pte", "-o", tmp_path / "alone.pte", "--format", "coreml_blob"))
    succeed(coreml("convert", tmp_path / "alone.pte", "-o", tmp_path / "back.pte"))
    for name in ("stock", "alone", "back"):
        np.testing.assert_array_equal(outputs_of(coreml, tmp_path / f"{name}.pte", tmp_path, *given)["0"], expected)
    before, alone, after = (
        json.loads(succeed(coreml("inspect", "--json", p))) for p in (path, tmp_path / "alone.pte", tmp_path / "back.pte")
    )
    # The weights are in the blob that both runtimes read, and named data of the one that only this project's reads.
    assert before["named_data"] == after["named_data"] == {}
    assert len(alone["named_data"]) == 1
    handles = [
        payload.open_payload(program, delegate).debug_handles()
        for program in map(program_file.open_program, (path, tmp_path / "stock.pte", tmp_path / "alone.pte", tmp_path / "back.pte"))
        for delegate in program.core_ml_delegates()
    ]
    assert handles[0]
    assert handles[0] == handles[1] == handles[2] == handles[3]


class Counter(torch.nn.Module):
    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("count", torch.full((2,), start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count.add_(x)
        return self.count * 2


def test_convert_states(coreml, tmp_path) -> None:
    path = lower(Counter(0.0), (torch.ones(2),), tmp_path / "zero.pte")
    succeed(coreml("convert", path, "-o", tmp_path / "stock.pte", "--format", "inmemoryfs"))
    succeed(coreml("convert", tmp_path / "stock.pte", "-o", tmp_path / "back.pte"))
    for name in ("zero", "stock", "back"):
        runnable = running.prepare(tmp_path / f"{name}.pte", {"0": np.float32([1, 2])})
        assert [runnable.call()["0"].tolist() for _ in range(3)] == [[2, 4], [4, 8], [6, 12]]

    path = lower(Counter(3.0), (torch.ones(2),), tmp_path / "three.pte")
    code, _, err = coreml("convert", path, "-o", tmp_path / "refused.pte", "--format", "inmemoryfs")
    assert code == 1
    assert "states that start with values other than zero" in err
    code, _, err = coreml("convert", path, "-o", tmp_path / "refused.pte", "--format", "both")
    assert code == 1
    assert "cannot be written for the stock runtime as well" in err
    assert "starts with values of its own" in err
    assert "this project's runtime alone: the state" in succeed(coreml("inspect", path))
    assert not (tmp_path / "refused.pte").exists()


def test_convert_does_not_overwrite(coreml, tmp_path) -> None:
    (tmp_path / "there.pte").touch()
    code, _, err = coreml("convert", STOCK, "-o", tmp_path / "there.pte")
    assert code == 1
    assert "already exists" in err
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["convert", str(STOCK)])
    assert exit_.value.code == 2


# --- cache ---


@pytest.mark.parametrize("path", [OURS, STOCK])
def test_cache(coreml, path, tmp_path) -> None:
    folder = tmp_path / "cache"
    runtime.set_options(cache_dir=folder)
    try:
        succeed(coreml("run", path))
    finally:
        runtime.set_options(cache_dir="")
    stats = json.loads(succeed(coreml("cache", "stats", folder, "--json")))
    assert (stats["entries"], stats["mode"]) == (1, "read-write")
    assert "mode     read-write" in succeed(coreml("cache", "stats", folder))
    (entry,) = json.loads(succeed(coreml("cache", "list", folder, "--json")))
    assert entry["attributes"]["engine"] == "portable"
    assert entry["bytes"] == stats["bytes"]
    assert entry["name"][:14] in succeed(coreml("cache", "list", folder))
    assert json.loads(succeed(coreml("cache", "verify", folder, "--json")))["damaged"] == []
    assert json.loads(succeed(coreml("cache", "shrink", folder, stats["bytes"], "--json")))["entries"] == 0
    removed = json.loads(succeed(coreml("cache", "evict", folder, entry["name"][:8], "--json")))
    assert (removed["entries"], removed["bytes"]) == (1, stats["bytes"])
    assert json.loads(succeed(coreml("cache", "list", folder, "--json"))) == []
    assert "removed 0 entries" in succeed(coreml("cache", "purge", folder))


def test_cache_tells_damage(coreml, tmp_path) -> None:
    folder = tmp_path / "cache"
    runtime.set_options(cache_dir=folder)
    try:
        succeed(coreml("run", OURS))
    finally:
        runtime.set_options(cache_dir="")
    # The runtime's interpreter has let the model go: nobody uses the entry.
    file = max((p for p in folder.rglob("*") if p.is_file() and "content" in p.parts), key=lambda p: p.stat().st_size)
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    code, out, err = coreml("cache", "verify", folder)
    assert code == 1
    assert "1 damaged" in out
    assert "1 damaged entries were found" in err


def test_cache_wrong_arguments(coreml, tmp_path) -> None:
    (tmp_path / "cache" / "coreml-delegate-1").mkdir(parents=True)
    for arguments, words in (
        (["stats", tmp_path], "is not a cache of compiled models"),
        (["stats", tmp_path / "missing"], "is not a cache of compiled models"),
        (["stats", OURS], "is not a cache of compiled models"),
        (["shrink", tmp_path / "cache"], "shrink takes a number of bytes after the folder"),
        (["shrink", tmp_path / "cache", "many"], "not 'many'"),
        (["evict", tmp_path / "cache", "zz"], "no entry with this name"),
        (["purge", tmp_path / "cache", "zz"], "takes nothing but the folder"),
    ):
        code, out, err = coreml("cache", *arguments)
        assert (code, out) == (1, ""), arguments
        assert words in err
        assert "Traceback" not in err


# --- wrong files and arguments ---


@pytest.mark.parametrize("command", ["inspect", "extract", "run", "bench", "profile", "convert"])
def test_wrong_files_get_a_sentence(coreml, command, tmp_path) -> None:
    more = ["-o", tmp_path / "converted.pte"] if command == "convert" else []
    (tmp_path / "text.pte").write_text("this is no program at all, only text")
    (tmp_path / "cut.pte").write_bytes(OURS.read_bytes()[: OURS.stat().st_size // 2])
    (tmp_path / "stub.pte").write_bytes(OURS.read_bytes()[:20])
    for name, words in (
        ("missing.pte", "there is no file"),
        ("text.pte", "neither a .pte" if command == "inspect" else "not an ExecuTorch program"),
        ("cut.pte", "cut short"),
        ("stub.pte", "ends within its header"),
    ):
        code, out, err = coreml(command, tmp_path / name, *more)
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
        (["--input", "0"], "--input must be NAME=FILE.npy"),
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
