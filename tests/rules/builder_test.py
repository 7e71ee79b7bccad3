"""The program behind coreml_program: the same bytes from a process and from a worker, whatever was asked before, and one sentence for what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import subprocess
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rules.worker_client import Worker

BUILDER = str(pathlib.Path("rules/builder").absolute())
HERE = pathlib.Path("tests/rules").absolute()
GATE = {"methods": {"forward": "tests.rules.models:gate"}, "inputs": ["float32[4, 8]"], "dynamic_shapes": {"x": "rows=1..16, _"}}


def arguments(folder: pathlib.Path, spec: dict[str, Any], files: tuple[str, ...] = ("models.py", "wrong_models.py")) -> list[str]:
    """As the rule writes them."""
    found = ["lower", "--label=//pkg:name", f"--spec={json.dumps(spec)}", "--main=main"]
    found += [f"--file=tests/rules/{name}={HERE / name}" for name in files]
    return [*found, f"--pte={folder / 'm.pte'}", f"--text={folder / 'm.txt'}", f"--json={folder / 'm.json'}"]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    made = Worker(BUILDER, tmp_path_factory.mktemp("worker"))
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    assert made.process.wait(timeout=60) == 0
    assert "Traceback" not in (pathlib.Path(made.errors.name)).read_text()


def digests(folder: pathlib.Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_a_worker_makes_the_bytes_of_a_process_whatever_it_did_before(worker: Worker, tmp_path: pathlib.Path) -> None:
    folders = [tmp_path / name for name in ("alone", "first", "again")]
    for folder in folders:
        folder.mkdir()
    lines = tmp_path / "arguments"
    lines.write_text("\n".join(arguments(folders[0], GATE)))
    began = time.monotonic()
    environ = {**os.environ, "HOME": str(tmp_path), "LANG": "de_DE.UTF-8"}
    alone = subprocess.run([BUILDER, f"@{lines}"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    print(f"a process of its own: {time.monotonic() - began:.1f} s")
    expected = "//pkg:name: Core ML takes 3 of 3 operations in 1 partition(s), with 0.0 MB of weights, for iOS15.\n"
    assert alone.stderr == expected

    assert worker.ask(arguments(folders[1], GATE), 7) == (0, expected)
    code, _ = worker.ask(
        arguments(tmp_path, {"methods": {"forward": "tests.rules.wrong_models:leaves_traces"}}),
    )
    assert code == 0
    began = time.monotonic()
    assert worker.ask(arguments(folders[2], GATE), 300) == (0, expected)
    print(f"a worker, once it runs: {time.monotonic() - began:.1f} s")
    assert digests(folders[0]) == digests(folders[1]) == digests(folders[2])
    assert set(digests(folders[0])) == {"m.json", "m.pte", "m.txt"}


def test_a_reference_names_no_folder_of_the_build(worker: Worker, tmp_path: pathlib.Path) -> None:
    """Its bytes are those of every checkout and every sandbox, where the files of torch are elsewhere."""
    path = tmp_path / "m.pt2"
    words = ["reference", *arguments(tmp_path, GATE)[1:-3], f"--reference=forward={path}"]
    assert worker.ask(words) == (0, "")
    (recorded,) = [text for name, text in contents(path).items() if name.endswith("/models/model.json")]
    files = set(re.findall(r'File \\+"(.*?)\\+", line', recorded))
    assert any(file.endswith("/site-packages/torch/nn/modules/linear.py") for file in files), files
    assert "tests/rules/models.py" in files
    assert not [file for file in files if file.startswith("/") or ".runfiles" in file]
    assert str(pathlib.Path(BUILDER).parent) not in recorded


def contents(path: pathlib.Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name).decode("utf-8", "replace") for name in file.namelist()}


WRONG = "tests.rules.wrong_models:"
SENTENCES = [
    (
        {"methods": {"forward": "tests.rules.nothing:make"}},
        "there is no module tests.rules.nothing: the py_library of its source is among deps",
    ),
    ({"methods": {"forward": "tests.rules.models:nothing"}}, "the module tests.rules.models has no nothing"),
    (
        {"methods": {"forward": WRONG + "raises"}},
        "tests.rules.wrong_models:raises() raised RuntimeError: the checkpoint is of another architecture (tests/rules/wrong_models.py:7)",
    ),
    ({"methods": {"forward": WRONG + "imports"}}, "raised ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
    ({"methods": {"forward": WRONG + "no_module"}}, "no_module() returned str, but must return a torch.nn.Module"),
    (
        {"methods": {"forward": WRONG + "no_inputs"}},
        "no_inputs() returns no example inputs: return (module, inputs), or set inputs =",
    ),
    (
        {"methods": {"forward": WRONG + "with_inputs"}, "inputs": ["float32[2]"]},
        "returns example inputs, but `inputs` is set too",
    ),
    ({"methods": {"forward": WRONG + "branches"}}, "torch.export cannot export the method forward: "),
    ({**GATE, "inputs": ["float[4, 8]x"]}, "inputs: 'float[4, 8]x' is not a type and shape, such as float32[1, 3, 224, 224]"),
    (
        {**GATE, "dynamic_shapes": {"y": "rows=1..16, _"}},
        "dynamic_shapes names 'y', which is not an argument of forward(); the arguments are x",
    ),
    (
        {**GATE, "dynamic_shapes": {"x": "rows, _"}},
        "dynamic_shapes: 'rows' of x has no range: write rows=LEAST..MOST where the name appears first",
    ),
    (
        {**GATE, "compile_specs": {"precision": "FLOAT32"}},
        "compile_specs: there is no 'precision'; the arguments are blob_format, compute_precision",
    ),
    (
        {**GATE, "compile_specs": {"compute_precision": "FLOAT8"}},
        "compute_precision: there is no 'FLOAT8'; it must be one of FLOAT16, FLOAT32",
    ),
    (
        {**GATE, "compile_specs": {"op_linear_quantizer_config": '{"mode": "cubic"}'}},
        "compile_specs: ",
    ),
    (
        {**GATE, "recipe": "coreml_fp17"},
        "recipe: there is no 'coreml_fp17'; the recipes are coreml_codebook_weight_only, coreml_fp16",
    ),
    (
        {**GATE, "recipe": "coreml_fp16", "recipe_arguments": {"group_sise": "32"}},
        "recipe: Core ML recipe 'coreml_fp16' has no parameter 'group_sise'",
    ),
    (
        {**GATE, "quantization": '{"global_config": {"quantization_scheme": "odd"}}'},
        "quantization: the value is not a LinearQuantizerConfig of coremltools: ",
    ),
    # The partitioner's own sentence.
    ({"methods": {"forward": "tests.rules.models:bessel"}, "lower_full_graph": True}, "aten.special_bessel_j0.default"),
    (
        {"methods": {"forward": "tests.rules.models:scaled"}},
        "scaled() raised TypeError: scaled() missing 1 required positional argument: 'weights'",
    ),
]


@pytest.mark.parametrize(("spec", "sentence"), SENTENCES)
def test_what_is_wrong_is_one_error(worker: Worker, tmp_path: pathlib.Path, spec: dict[str, Any], sentence: str) -> None:
    code, said = worker.ask(arguments(tmp_path, spec))
    assert code == 1
    assert said.startswith("ERROR: //pkg:name: "), said
    assert sentence in said
    assert said.count("ERROR:") == 1
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_an_undeclared_file_is_not_there(worker: Worker, tmp_path: pathlib.Path) -> None:
    code, said = worker.ask(arguments(tmp_path, {"methods": {"forward": "tests.rules.models:gate"}}, files=("wrong_models.py",)))
    assert (code, "there is no module tests.rules.models" in said) == (1, True), said


def test_a_process_that_dies_is_said_and_the_worker_goes_on(worker: Worker, tmp_path: pathlib.Path) -> None:
    code, said = worker.ask(arguments(tmp_path, {"methods": {"forward": WRONG + "dies"}}))
    assert code == 1
    assert "The process of the action was ended by SIGKILL (out of memory?" in said
    assert "about to die" in said
    assert worker.ask(arguments(tmp_path, GATE))[0] == 0


def test_what_stays_outside_is_said(worker: Worker, tmp_path: pathlib.Path) -> None:
    code, said = worker.ask(arguments(tmp_path, {"methods": {"forward": "tests.rules.models:wave"}, "skip_ops": ["aten.relu"]}))
    assert code == 0, said
    assert "//pkg:name: Left outside: 1 x aten.relu.default: " in said
    left = json.loads((tmp_path / "m.json").read_text())["methods"]["forward"][0]["left"]
    # A path of the source tree, the same in every build.
    assert {node["source"]["file"] for node in left} == {"tests/rules/models.py"}
    code, said = worker.ask(arguments(tmp_path, {"methods": {"forward": "tests.rules.models:bessel"}}))
    assert code == 0, said
    assert "//pkg:name: Neither Core ML nor ExecuTorch can execute aten.special_bessel_j0.default: " in said


def lowered(worker: Worker, folder: pathlib.Path, spec: dict[str, Any]) -> dict[str, Any]:
    """The partition report of each method."""
    code, said = worker.ask(arguments(folder, spec))
    assert code == 0, said
    return json.loads((folder / "m.json").read_text())["methods"]


def test_compile_specs_reach_the_program(worker: Worker, tmp_path: pathlib.Path) -> None:
    specs = {"compute_precision": "FLOAT32", "minimum_deployment_target": "iOS17", "compute_unit": "CPU_ONLY"}
    assert lowered(worker, tmp_path, {**GATE, "compile_specs": specs})["forward"][0]["deployment_target"] == "iOS17"
    words = ["facts", "--label=//pkg:name", f"--pte={tmp_path / 'm.pte'}", f"--json={tmp_path / 'facts.json'}"]
    assert worker.ask(words) == (0, "")
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["path"] == "m.pte"
    (delegate,) = facts["methods"][0]["delegates"]
    assert (delegate["compute_precision"], delegate["compute_units"]) == ("float32", "cpu_only")


QUANTIZED = {
    "pt2e": {
        "compile_specs": {"minimum_deployment_target": "iOS17"},
        "quantization": '{"global_config": {"quantization_scheme": "symmetric"}}',
        "calibration": "tests.rules.models:samples",
    },
    "recipe": {"recipe": "coreml_pt2e_int8_static", "calibration": "tests.rules.models:samples"},
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_quantization_reaches_the_program(worker: Worker, tmp_path: pathlib.Path, name: str) -> None:
    (report,) = lowered(worker, tmp_path, {**GATE, **QUANTIZED[name]})["forward"]
    assert report["deployment_target"] == "iOS17"
    assert any("quantize_per_tensor" in op for op in report["partitions"][0]["ops"]), report


def test_methods(worker: Worker, tmp_path: pathlib.Path) -> None:
    functions = {"prefill": "tests.rules.models:prefill", "decode": "tests.rules.models:decode"}
    found = lowered(worker, tmp_path, {"methods": functions})
    assert {name: report[0]["delegated_nodes"] for name, report in found.items()} == {"prefill": 3, "decode": 3}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\x05\x0a\x03ab", "the stream ends inside a request"),
        (b"\xff", "the stream ends inside the length of a request"),
        (b"\x03\x0a\x09a", "field 1 of a request is longer than the request"),
        (b"\x01\x0d", "field 1 of a request has the unknown wire type 5"),
        (b"\x02\x18\xff", "a number of a request is cut off"),
    ],
)
def test_a_damaged_request_is_refused(data: bytes, sentence: str) -> None:
    import io

    from coreml_rules.worker_protocol import read_request

    with pytest.raises(ValueError, match=sentence):
        read_request(io.BytesIO(data))


def test_lowering_imports_little_that_the_worker_has_not(tmp_path: pathlib.Path) -> None:
    """At most a fifth of the modules of a process that lowers are imported for each program."""
    program = f"""
import os, sys
sys.argv = ["builder"]
from coreml_rules import build_actions
before = len(sys.modules)
build_actions.run({arguments(tmp_path, GATE)!r})
print(before, len(sys.modules))
"""
    import coreml_rules

    folder = pathlib.Path(coreml_rules.__file__).parent.parent
    runfiles = pathlib.Path(BUILDER + ".runfiles")
    root = runfiles if runfiles.is_dir() else pathlib.Path(os.environ["TEST_SRCDIR"])
    wheels = [str(path) for path in root.glob("*/site-packages")]
    paths = [str(folder), str(pathlib.Path("rules").absolute()), str(pathlib.Path("python").absolute()), *wheels]
    import sys

    environ = {"PYTHONPATH": os.pathsep.join(paths), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True).stdout
    before, after = map(int, said.split()[-2:])
    print(f"{before} modules are imported by the worker, {after - before} for the first program")
    assert before > 1000
    assert (after - before) / after < 0.2
