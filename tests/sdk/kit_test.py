"""Device kits: what `coreml kit` makes, what coreml_runner answers with the portable engine and with Core ML over GNUstep in the device's place,
and what `coreml verify --kit` says of the answer and of seeded faults."""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk import kit, kit_answer
from executorch.backends.apple.coreml.sdk.errors import ToolError
from executorch.exir import to_edge_transform_and_lower
from torch import nn

RUNNER = pathlib.Path("runtime/coreml_runner").resolve()
# With the Core ML engine over our framework for GNUstep as well.
BOTH_ENGINES = pathlib.Path("tests/sdk/coreml_runner_with_both_engines").resolve()
PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
STOCK = PROGRAMS / "stock_sin.pte"
STOCK_SHARED = PROGRAMS / "stock_shared_weights.pte"


class Network(nn.Module):
    """Two delegates with an operator of ExecuTorch's between them, a float and an integer output."""

    def __init__(self, gain: float = 0.5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.enter = nn.Parameter(torch.randn(16, 8, generator=generator) * 0.3)
        self.leave = nn.Parameter(torch.randn(8, 16, generator=generator) * 0.3)
        self.gain = gain

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = torch.tanh(nn.functional.linear(x, self.enter))
        h = torch.cumsum(h, 0)
        h = torch.sigmoid(nn.functional.linear(h * self.gain, self.leave))
        return h, h.argmax(dim=1)


X = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


def lowered(module: nn.Module, precision: ct.precision = ct.precision.FLOAT16) -> bytes:
    partitioner = CoreMLPartitioner(
        compile_specs=CoreMLBackend.generate_compile_specs(compute_precision=precision),
        skip_ops_for_coreml_delegation=["aten.cumsum.default"],
    )
    manager = to_edge_transform_and_lower(torch.export.export(module.eval(), (X,)), partitioner=[partitioner])
    return bytes(manager.to_executorch().buffer)


class Files:
    """A program, its kit with values, and the portable engine's answer. The program of a network with another gain has the same operations."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.program, self.other = folder / "model.pte", folder / "other.pte"
        self.program.write_bytes(lowered(Network()))
        self.other.write_bytes(lowered(Network(gain=0.75)))
        self.reference = folder / "model.pt2"
        torch.export.save(torch.export.export(Network().eval(), (X,)), self.reference)
        self.kit = folder / "kit"
        self.made = kit.make(self.program, self.kit, reference=str(self.reference), values=True)
        self.answer = answered(self.kit, folder / "answer.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("kit"))


def answered(folder: pathlib.Path, answer: pathlib.Path, *words: str, runner: pathlib.Path = RUNNER) -> pathlib.Path:
    done = subprocess.run([runner, "--kit", folder, "--answer", answer, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"the answer is in {answer}\n"
    return answer


def refusal(*words: object, code: int = 1) -> str:
    """The runner's error, which is one line."""
    done = subprocess.run([RUNNER, *map(str, words)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    return line


def manifest(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "kit.json").read_text())


def array(value: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value["data"]), value["dtype"]).reshape(value["shape"])


def changed(made: Files, path: pathlib.Path, change: Callable[[dict[str, Any]], None]) -> pathlib.Path:
    """The answer, with something else in it."""
    answer = json.loads(made.answer.read_text())
    change(answer)
    path.write_text(json.dumps(answer))
    return path


def with_array(value: dict[str, Any], new: np.ndarray) -> None:
    value["data"] = base64.b64encode(new.tobytes()).decode()


def test_the_kit_has_both_delegates_and_the_lines_of_the_model(made) -> None:
    found = manifest(made.kit)
    assert made.made.remarks == ()
    assert [delegate["label"] for delegate in found["delegates"]] == ["forward/0", "forward/1"]
    operations = [operation for delegate in found["delegates"] for operation in delegate["operations"]]
    assert {"linear", "tanh", "sigmoid"} <= {operation["type"] for operation in operations}
    (tanh,) = (operation for operation in operations if operation["type"] == "tanh")
    assert tanh["line"]["code"] == "h = torch.tanh(nn.functional.linear(x, self.enter))"
    assert tanh["edge_op"] == "aten.tanh.default"
    np.testing.assert_array_equal(np.load(made.kit / "inputs/0.npy"), X.numpy())
    assert [output["dtype"] for output in found["outputs"]] == ["float32", "int64"]
    # Four times what rounding does, which is at least half a thousandth here; no class of this model is close to another.
    assert 4 * 5e-4 <= found["outputs"][0]["tolerance"] < 1e-2
    assert found["outputs"][1]["tolerance"] == 0


@pytest.mark.parametrize("mode", kit.NUMERIC_MODES)
def test_the_portable_engine_answers_what_is_expected_bit_for_bit(made, mode, tmp_path) -> None:
    path = answered(made.kit, tmp_path / "answer.json", "--numeric-mode", mode)
    answer = json.loads(path.read_text())
    assert (answer["engine"], answer["options"]) == ("portable", {"numeric_mode": mode})
    with np.load(made.kit / f"expected/{mode}.npz") as expected:
        compared = 0
        for output in answer["outputs"]:
            np.testing.assert_array_equal(array(output), expected[f"output/{output['name']}"])
            compared += 1
        for item in answer["values"]:
            index = item["specification"].split("/")[1]
            for value in item["values"]:
                np.testing.assert_array_equal(array(value), expected[f"value/{index}/{value['name']}"])
                compared += 1
        assert compared == len(expected.files) == made.made.outputs + made.made.values
    found = kit_answer.check(made.kit, path)
    assert found.passed
    assert found.values == made.made.values >= 6
    assert found.blame is None


def test_core_ml_over_gnustep_answers_in_the_device_s_place(made, tmp_path) -> None:
    path = answered(made.kit, tmp_path / "answer.json", "--engine", "coreml", "--compute-unit", "all", runner=BOTH_ENGINES)
    found = kit_answer.check(made.kit, path)
    assert found.machine["engine"] == "coreml"
    assert found.machine["options"] == {"compute_unit": "all", "engine": "coreml"}
    assert found.remarks == ()
    assert found.values == made.made.values
    assert found.passed


def test_the_first_operation_at_fault_is_named(made, tmp_path) -> None:
    """A device that multiplies by 0.75 where the model says 0.5, in the second delegate: its program's answer, to the kit of the right one."""
    wrong = tmp_path / "wrong"
    kit.make(made.other, wrong, reference=str(made.reference), values=True)
    names, mine = ([o["name"] for d in manifest(folder)["delegates"] for o in d["operations"]] for folder in (wrong, made.kit))
    assert names == mine
    path = answered(wrong, tmp_path / "answer.json")
    answer = json.loads(path.read_text())
    answer["kit"] = made.made.identity
    path.write_text(json.dumps(answer))

    found = kit_answer.check(made.kit, path)
    assert not found.passed
    assert [output.passed for output in found.outputs] == [False, True]
    assert found.blame is not None
    # What the first delegate computes is right, and so is what enters the second.
    assert (found.blame.kind, found.blame.where, found.blame.mil_op) == ("device", "delegate forward/1", "mul")
    assert found.blame.line is not None
    assert found.blame.line.code.startswith("h = torch.sigmoid(nn.functional.linear(h * self.gain")
    # A half more, and nothing that its inputs had already.
    assert found.blame.error == pytest.approx(0.5, rel=1e-2)
    assert found.blame.inherited == 0
    assert found.blame.allowed == pytest.approx(2e-3)


def test_a_wrong_output_and_one_that_is_not_a_number(made, tmp_path, coreml) -> None:
    def off(answer: dict[str, Any]) -> None:
        with_array(answer["outputs"][0], array(answer["outputs"][0]) * np.float32(1.05))

    def not_a_number(answer: dict[str, Any]) -> None:
        new = array(answer["outputs"][0]).copy()
        new[0, 1] = np.nan
        with_array(answer["outputs"][0], new)

    def other_class(answer: dict[str, Any]) -> None:
        with_array(answer["outputs"][1], array(answer["outputs"][1]) + 1)

    for change, error, misplaced in ((off, 0.05, 0), (not_a_number, np.inf, 1), (other_class, 1.0, 0)):
        path = changed(made, tmp_path / "answer.json", change)
        found = kit_answer.check(made.kit, path)
        (wrong,) = (output for output in found.outputs if not output.passed)
        assert wrong.error == pytest.approx(error, rel=1e-5)
        assert wrong.comparison.misplaced == misplaced
        assert found.blame is not None
        assert found.blame.kind == "outside"
        code, out, _ = coreml("verify", made.kit, "--kit", path)
        assert code == 3
        assert "OUTSIDE THE TOLERANCE" in out
        assert "are inside their tolerances" in out
    code, out, _ = coreml("verify", made.kit, "--kit", made.answer)
    assert code == 0
    assert "every output is right" in out


def test_the_first_value_outside_is_named_whatever_follows(made, tmp_path) -> None:
    second = manifest(made.kit)["delegates"][1]["operations"]
    for chosen in second[:3]:

        def break_from(answer: dict[str, Any], first: str = chosen["name"]) -> None:
            with_array(answer["outputs"][0], array(answer["outputs"][0]) * np.float32(1.5))
            later = {o["name"] for o in second[[o["name"] for o in second].index(first) :]}
            for item in answer["values"]:
                if item["specification"].startswith("delegates/1/"):
                    for value in item["values"]:
                        if value["name"] in later:
                            with_array(value, (array(value) * 1.5).astype(value["dtype"]))

        found = kit_answer.check(made.kit, changed(made, tmp_path / "answer.json", break_from))
        assert found.blame is not None
        assert found.blame.mil_name == chosen["name"]


def test_answers_that_do_not_belong_or_are_not_whole(made, tmp_path, coreml) -> None:
    def said(answer: pathlib.Path, folder: pathlib.Path = made.kit) -> str:
        code, out, err = coreml("verify", folder, "--kit", answer)
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        return line

    other = tmp_path / "other"
    kit.make(made.other, other)
    assert "answers another kit" in said(made.answer, other)
    whole = made.answer.read_bytes()
    for size in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 4):
        (tmp_path / "cut.json").write_bytes(whole[:size])
        assert "is not JSON, or is incomplete" in said(tmp_path / "cut.json")
    changes: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
        (lambda answer: answer["outputs"].pop(), "has no output 1, which the kit expects"),
        (lambda answer: answer["outputs"][0].update(data=answer["outputs"][0]["data"][4:]), "the answer is damaged"),
        (lambda answer: answer["outputs"][0].update(data="=!="), "is incomplete"),
        (lambda answer: answer["outputs"][0].update(shape=[-1]), "the answer is damaged"),
        (lambda answer: answer["outputs"][0].update(shape=[8, 4]), "the kit expects float32[4, 8]"),
        (lambda answer: answer["outputs"][0].update(dtype="object"), "which no kit expects"),
        (lambda answer: answer["values"][0]["values"][0].update(name="absent"), "does not fit the kit"),
        (lambda answer: answer.pop("values"), "does not fit the kit"),
        (lambda answer: answer.update(outputs=7), "does not fit the kit"),
        (lambda answer: answer.update(version=2), "has version 2, and this program reads version 1"),
        (lambda answer: answer.update(format="else"), "is not what `coreml_runner --kit` writes"),
    ]
    for change, words in changes:
        assert words in said(changed(made, tmp_path / "answer.json", change))
    assert "there is no such file" in said(tmp_path / "nowhere.json")
    assert "name the one that `coreml kit` made" in said(made.answer, made.program)


def test_values_that_a_machine_could_not_compute_are_a_remark(made, tmp_path) -> None:
    folder = tmp_path / "kit"
    shutil.copytree(made.kit, folder)
    changed_manifest = manifest(folder)
    broken = changed_manifest["delegates"][0]["probes"][0]["specification"]
    (folder / broken).write_bytes(b"\x08\x07")
    changed_manifest["files"][broken] = hashlib.sha256(b"\x08\x07").hexdigest()
    changed_manifest["identity"] = kit.identity(changed_manifest)
    (folder / "kit.json").write_text(json.dumps(changed_manifest))
    found = kit_answer.check(folder, answered(folder, tmp_path / "answer.json"))
    assert found.passed
    (remark,) = found.remarks
    assert f"No values of {broken} of delegate forward/0: " in remark
    assert 0 < found.values < made.made.values


def test_kits_that_were_changed_or_are_none(made, tmp_path, coreml) -> None:
    folder = tmp_path / "kit"

    def fresh() -> dict[str, Any]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made.kit, folder)
        return manifest(folder)

    def rewritten(**changes: Any) -> None:
        (folder / "kit.json").write_text(json.dumps({**fresh(), **changes}))

    fresh()
    shutil.copy(made.other, folder / "model.pte")
    assert "the file model.pte is not the one with which the kit was made: copy the kit again" in refusal("--kit", folder)
    fresh()
    (folder / "inputs/0.npy").unlink()
    assert "the file inputs/0.npy of the kit does not exist" in refusal("--kit", folder)
    rewritten(version=2)
    assert "the kit has version 2, and this program reads 1" in refusal("--kit", folder)
    for bad in (
        {"files": []},
        {"inputs": ["../x.npy"]},
        {"inputs": 3},
        {"format": "x"},
        {"version": "1"},
        {"program": "absent.pte"},
    ):
        rewritten(**bad)
        assert str(folder) in refusal("--kit", folder), bad
    fresh()
    (folder / "kit.json").write_bytes((folder / "kit.json").read_bytes()[:100])
    assert "incomplete" in refusal("--kit", folder)
    fresh()
    (folder / "link").symlink_to("/etc/hostname")
    assert "link" in refusal("--kit", folder)
    fresh()
    (folder / "kit.json").unlink()
    assert "has no kit.json" in refusal("--kit", folder)
    assert "No such file" in refusal("--kit", tmp_path / "nowhere")
    assert "the run reads this file" in refusal("--kit", made.kit, "--answer", made.kit / "kit.json")
    assert "only --answer, --verbose and the options of the delegate" in refusal("--kit", made.kit, "--seed", 1, code=2)
    assert "only a kit has an answer" in refusal(STOCK, "--answer", "a.json", code=2)

    rewritten(method="else")
    code, _, err = coreml("verify", folder, "--kit", made.answer)
    assert code == 1
    assert "kit.json was changed" in err
    fresh()
    (folder / "expected/float32.npz").write_bytes(b"PK")
    code, _, err = coreml("verify", folder, "--kit", made.answer)
    assert code == 1
    assert "expected/float32.npz was changed" in err


def test_float32_and_the_stock_exporter_s_programs(tmp_path, coreml) -> None:
    """Made with the command; without values, and with the least tolerance there is for float32."""
    program = tmp_path / "model.pte"
    program.write_bytes(lowered(Network(), ct.precision.FLOAT32))
    for path, most in ((program, 1e-5), (STOCK, 1e-2)):
        folder = tmp_path / f"kit_{path.stem}"
        code, out, err = coreml("kit", path, "-o", folder, "--seed", 3, "--json")
        assert code == 0, err
        made = json.loads(out)
        assert (made["values"], made["remarks"]) == (0, [])
        tolerances = [output["tolerance"] for output in manifest(folder)["outputs"]]
        assert 0 < tolerances[0] <= most
        answer = answered(folder, tmp_path / f"{path.stem}.json")
        code, out, _ = coreml("verify", folder, "--kit", answer, "--json")
        assert code == 0
        assert json.loads(out)["passed"] is True
        code, out, err = coreml("kit", path, "-o", folder)
        assert (code, out) == (1, "")
        assert "already exists" in err
    # Where values are asked for and an input of a delegate is not the method's, only a reference knows it.
    code, out, err = coreml("kit", program, "-o", tmp_path / "half", "--values")
    assert code == 0, err
    assert "its inputs are computed inside the method" in out


def test_a_function_of_several(tmp_path) -> None:
    """A method whose delegate is a function of a package that another method uses too."""
    made = kit.make(STOCK_SHARED, tmp_path / "kit", method="decode", values=True)
    assert (made.remarks, made.values) == ((), made.operations)
    assert manifest(tmp_path / "kit")["delegates"][0]["function"] == "decode"
    found = kit_answer.check(tmp_path / "kit", answered(tmp_path / "kit", tmp_path / "answer.json"))
    assert found.passed
    assert found.values == made.values > 0


def test_a_budget_takes_every_nth_value(made, tmp_path) -> None:
    few = kit.make(made.program, tmp_path / "few", reference=str(made.reference), values=True, values_budget=400)
    assert 0 < few.values < made.made.values == made.made.operations == few.operations
    assert any("th operation has its value in the kit" in remark for remark in few.remarks)


def test_what_no_kit_can_be_made_of(tmp_path) -> None:
    (tmp_path / "text.pte").write_text("this is no program at all, only text that is long enough to be one")
    for path, words in (
        (tmp_path / "text.pte", "not an ExecuTorch program"),
        (tmp_path / "absent.pte", "there is no"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(ToolError, match=words):
            kit.make(path, tmp_path / "kit")
    with pytest.raises(ToolError, match="has no method 'backward'"):
        kit.make(STOCK, tmp_path / "kit", method="backward")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.pte"]
