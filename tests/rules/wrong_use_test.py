"""What the tests, pages and tables of programs say, of a right program and of what is wrong with one: a sentence, and never a stack of calls."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from typing import Any

import pytest

HERE = pathlib.Path("tests/rules")
LABEL = "--label=//tests/rules:gate"


@pytest.fixture
def run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a program of rules/coreml_rules in this process: (exit code, what it printed, its XML or None)."""

    def call(name: str, *words: str) -> tuple[int, str, ElementTree.Element | None]:
        path = tmp_path / "test.xml"
        monkeypatch.setenv("XML_OUTPUT_FILE", str(path))
        monkeypatch.setattr(sys, "argv", [name, *words])
        capfd.readouterr()
        path_of_module = str(importlib.import_module(f"coreml_rules.{name}").__file__)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(path_of_module, run_name="__main__")
        said = capfd.readouterr()
        assert "Traceback" not in said.out + said.err
        return int(ended.value.code or 0), said.out + said.err, ElementTree.parse(path).getroot() if path.exists() else None

    return call


def properties(case: ElementTree.Element) -> dict[str, str]:
    return {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}


def test_a_right_program(run: Callable[..., Any]) -> None:
    code, said, xml = run(
        "program_test",
        LABEL,
        f"--program={HERE / 'gate.pte'}",
        "--reference",
        str(HERE / "gate.forward.pt2"),
        "--numeric-mode=float32",
    )
    assert code == 0, said
    assert "float32 0: l2-relative" in said
    (case,) = xml.iter("testcase")
    measures = properties(case)
    assert 0 < float(measures["l2_relative"]) < float(measures["tolerance"]) < 1e-2
    assert measures["passed"] == "True"


def test_a_tolerance_missed(run: Callable[..., Any]) -> None:
    code, said, xml = run(
        "program_test",
        LABEL,
        f"--program={HERE / 'gate.pte'}",
        "--reference",
        str(HERE / "gate.forward.pt2"),
        "--tolerance=1e-9",
        "--numeric-mode=float16",
    )
    assert code == 1
    assert "MISSED" in said
    assert "//tests/rules:gate: outputs are outside the tolerance; docs/verify.md" in said
    (failure,) = xml.iter("failure")
    assert str(failure.get("message")).startswith("l2-relative ")
    # The blame.
    assert len(str(failure.text).splitlines()) > 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--program=missing.pte", "--reference", str(HERE / "gate.forward.pt2")), "there is no file missing.pte"),
        ((f"--program={HERE / 'gate.pte'}", "--reference", "no_such_module:make"), "no_such_module cannot be imported from here"),
        (
            (f"--program={HERE / 'gate.pte'}", "--reference", "a.forward.pt2", "b.forward.pt2"),
            "there is no reference for the method 'forward'",
        ),
        (
            (f"--program={HERE / 'gate.pte'}", "--method=decode", "--reference", str(HERE / "gate.forward.pt2")),
            "has no method 'decode'",
        ),
    ],
)
def test_a_wrong_reference_or_program(run: Callable[..., Any], words: tuple[str, ...], sentence: str) -> None:
    code, said, xml = run("program_test", LABEL, *words, "--numeric-mode=float32")
    assert code == 1
    assert said.startswith("//tests/rules:gate: ")
    assert sentence in said
    assert sum(1 for _ in xml.iter("failure")) == 1


def test_sizes(run: Callable[..., Any]) -> None:
    size = (HERE / "gate.pte").stat().st_size
    facts = f"--facts={HERE / 'gate.facts.json'}"
    code, said, xml = run("size_test", LABEL, facts, f"--max-bytes={size}")
    assert (code, said) == (0, f"//tests/rules:gate: {size:,} bytes, {size:,} allowed\n")
    code, said, xml = run("size_test", LABEL, facts, f"--max-bytes={size - 1}")
    assert code == 1
    assert "//tests/rules:gate is 1 bytes larger than allowed. Its largest parts: " in said
    assert "of forward" in said
    assert properties(next(xml.iter("testcase")))["bytes"] == str(size)


def test_partitions(run: Callable[..., Any]) -> None:
    report = f"--partition={HERE / 'wave.partition.json'}"
    code, said, _ = run("partition_test", "--label=//w", report, "--outside=aten.relu")
    assert (code, said) == (0, "//w: 2 partition(s), outside Core ML: aten.relu.default\n")
    code, said, _ = run("partition_test", "--label=//w", report, "--outside=aten.relu.default", "--outside=aten.mm")
    assert code == 0
    assert "//w: aten.mm is allowed outside, but is inside now" in said
    code, said, xml = run("partition_test", "--label=//w", report)
    assert code == 1
    assert "//w: these ops are outside Core ML, where `outside` allows nothing:\n  1 x aten.relu.default of forward: " in said
    assert "[skipped], first at tests/rules/models.py:" in said
    assert sum(1 for _ in xml.iter("failure")) == 1
    code, said, _ = run("partition_test", "--label=//w", report, "--outside=aten.relu", "--max-partitions=1")
    assert (code, "2 partitions, where 1 are allowed" in said) == (1, True)


def test_the_table(run: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    document = json.loads((HERE / "fleet.json").read_text())
    gate, wave = document["programs"]
    assert (gate["label"], gate["bytes"], gate["partitions"]) == ("//tests/rules:gate", (HERE / "gate.pte").stat().st_size, 1)
    assert (wave["outside"], wave["partitions"]) == (["aten.relu.default"], 2)
    assert gate["passed"] is True
    assert 0 < gate["errors"]["float32"] < gate["errors"]["float16"] < 1e-2
    assert (gate["milliseconds"], wave["milliseconds"]) == (1.25, None)
    page = (HERE / "fleet.html").read_text()
    for text in ("//tests/rules:gate", "aten.relu.default", "1.25", "a processor of the test, 2 threads"):
        assert text in page
    assert "<script" not in page

    before = json.loads(json.dumps(document))
    before["programs"][0] |= {"bytes": 1, "outside": ["aten.add.Tensor"], "milliseconds": 2.5}
    before["programs"][1]["label"] = "//tests/rules:<old>"
    (tmp_path / "before.json").write_text(json.dumps(before))
    page = tmp_path / "now.html"
    code, said, _ = run("fleet", f"--table={HERE / 'fleet.json'}", f"--compare={tmp_path / 'before.json'}", f"--html={page}")
    assert code == 0, said
    assert f"//tests/rules:gate: bytes 1 -> {gate['bytes']}; aten.add.Tensor is inside now; time x 0.50" in said
    assert "//tests/rules:wave: is new" in said
    assert "//tests/rules:&lt;old&gt;: is gone" in page.read_text()
    code, said, _ = run("fleet", f"--table={HERE / 'fleet.json'}", f"--compare={HERE / 'fleet.json'}")
    assert (code, "since fleet.json: nothing is different" in said) == (0, True)


def test_bazel_run_prints_the_table() -> None:
    environ = {**os.environ, "RUNFILES_DIR": os.environ["TEST_SRCDIR"]}
    done = subprocess.run(["/bin/sh", str(HERE / "fleet.sh")], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("//tests/rules:gate: ")
    assert ", 2 partition(s), outside: aten.relu.default; error float16 " in done.stdout


def test_a_baseline_of_times(run: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    out = tmp_path / "latency.json"
    code, said, _ = run("latency", "--program", "//tests/rules:gate", "forward", str(HERE / "gate.pte"), f"--out={out}", "-n", "3")
    assert code == 0, said
    document = json.loads(out.read_text())
    times = document["programs"]["//tests/rules:gate"]
    assert 0 < times["min"] <= times["p50"] <= times["max"]
    assert (document["executions"], "threads" in document["machine"]) == (3, True)
    out.unlink()
    code, said, _ = run("latency", "--program", "//x:gone", "forward", "gone.pte", f"--out={out}")
    assert code == 1
    assert said.startswith("ERROR: //x:gone: coreml bench: there is no file gone.pte")
    assert not out.exists()


def document_of(page: str) -> dict[str, Any]:
    """The numbers of a report's page, which it also shows."""
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    document: dict[str, Any] = json.loads(data)
    return document


def test_a_report() -> None:
    """A target's page: what ran where, why, how long and how far from PyTorch. The reason is the lowering's own: skip_ops."""
    page = (HERE / "wave_report.html").read_text()
    document = document_of(page)
    assert (document["file"]["name"], document["settings"]["executions"]) == ("wave.pte", 3)
    assert [step["kind"] for step in document["instructions"]] == ["delegate", "operator", "delegate"]
    (left,) = document["left"]
    assert (left["operator"], left["count"], left["code"]) == ("aten::relu.out", 1, "skipped")
    assert left["source"].startswith("tests/rules/models.py:")
    assert len(document["time"]["method"]) == 3
    assert all(seconds > 0 for seconds in document["time"]["method"])
    sine = next(operation for operation in document["operations"] if operation["type"] == "sin")
    assert 0 < sine["error"]["l2_relative"] < 1e-3
    assert (document["verification"]["passed"], document["verification"]["reference"]) == (True, "wave.forward.pt2")
    assert "bazel-out" not in page
    for shown in ("wave.pte", "aten::relu.out", "tests/rules/models.py"):
        assert shown in page
    assert "https://" not in re.sub(r"https?://www\.w3\.org", "", page)


def test_a_report_without_pytorch_and_of_a_wrong_program(tmp_path: pathlib.Path) -> None:
    from coreml_rules.errors import ActionError
    from coreml_rules.run_actions import run as act

    page = tmp_path / "page.html"
    words = [
        "report",
        "--label=//tests/rules:wave",
        f"--partition={HERE / 'wave.partition.json'}",
        f"--output={page}",
        "--executions=2",
    ]
    act([*words, f"--program={HERE / 'wave.pte'}"])
    document = document_of(page.read_text())
    assert (document["settings"]["reference"], document["left"][0]["code"]) == (None, "skipped")
    assert document["verification"] is None

    page.unlink()
    program = tmp_path / "cut.pte"
    program.write_bytes((HERE / "wave.pte").read_bytes()[:200])
    with pytest.raises(ActionError, match=r"^//tests/rules:wave: .*cut\.pte"):
        act([*words, f"--program={program}"])
    assert not page.exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "is not a table of coreml_fleet of this version"),
        ('{"fleet": 1, "programs": [7]}', "is not a table of coreml_fleet of this version"),
        ('{"fleet": 2, "programs": []}', "is not a table of coreml_fleet of this version"),
    ],
)
def test_another_file_is_no_table(run: Callable[..., Any], tmp_path: pathlib.Path, text: str, sentence: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    code, said, _ = run("fleet", f"--table={HERE / 'fleet.json'}", f"--compare={path}")
    assert code == 1
    assert said.startswith("ERROR: coreml_fleet: ")
    assert sentence in said


def test_a_fault_of_an_action_itself_is_a_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from coreml_rules import worker

    def action(words: Sequence[str]) -> str:
        raise KeyError(words[0])

    code, said = worker.perform(action, ["a word"])
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("ERROR: KeyError: 'a word' (")
    assert "--action_env=COREML_DELEGATE_TRACEBACK=1 shows where it came from" in said
    monkeypatch.setenv("COREML_DELEGATE_TRACEBACK", "1")
    assert "Traceback (most recent call last):" in worker.perform(action, ["a word"])[1]


def test_packages(tmp_path: pathlib.Path) -> None:
    """Of a program; and of the source tree, of which other files than one package's are refused."""
    from coreml_rules.build_actions import run as act
    from coreml_rules.errors import ActionError
    from executorch_coreml.sdk import package_facts
    from executorch_coreml.sdk.errors import ToolError

    (package,) = (HERE / "gate.packages").iterdir()
    assert package.name == "forward_0.mlpackage"
    expected = package_facts.read_package(package)
    source = shutil.copytree(package, tmp_path / "x.mlpackage")
    files = [f"--source={path}" for path in sorted(source.rglob("*")) if path.is_file()]
    act(["package", LABEL, *files, f"--folder={tmp_path / 'copy'}"])
    assert package_facts.read_package(tmp_path / "copy").functions == expected.functions
    with pytest.raises(ActionError, match=r"but must be those of one \.mlpackage"):
        act(["package", LABEL, *files, f"--source={tmp_path / 'y.mlpackage/a'}", f"--folder={tmp_path / 'two'}"])
    (source / "Manifest.json").write_text("{}")
    with pytest.raises((ActionError, ToolError), match=r"//tests/rules:gate: .*mlpackage|package"):
        act(["package", LABEL, *files, f"--folder={tmp_path / 'broken'}"])
