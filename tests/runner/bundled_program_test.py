"""coreml_runner with ExecuTorch's bundled programs, and ExecuTorch's debugger for Core ML, which calls it as its example_runner."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.devtools import BundledProgram, Inspector
from executorch.devtools.bundled_program.config import MethodTestCase, MethodTestSuite
from executorch.devtools.bundled_program.serialize import serialize_from_bundled_program_to_flatbuffer
from executorch.exir import to_edge_transform_and_lower

RUNNER = pathlib.Path("runtime/coreml_runner").resolve()


class Network(torch.nn.Module):
    def forward(self, x: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.tanh(x * 0.5)
        return y.index_select(0, indices), (y > 0).sum(dim=1)


CASES = [
    (torch.linspace(-2, 2, 12).reshape(3, 4), torch.tensor([2, 0])),
    (torch.cos(torch.arange(12.0)).reshape(3, 4), torch.tensor([1, 1])),
]


def bundle(path: pathlib.Path, cases: list[MethodTestCase]) -> pathlib.Path:
    program = to_edge_transform_and_lower(torch.export.export(Network().eval(), CASES[0]), partitioner=[CoreMLPartitioner()])
    bundled = BundledProgram(program.to_executorch(), [MethodTestSuite(method_name="forward", test_cases=cases)])
    path.write_bytes(serialize_from_bundled_program_to_flatbuffer(bundled))
    return path


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two cases that are right; a third that expects something else; one that expects nothing."""
    wrong = [Network()(*CASES[0])[0].clone(), Network()(*CASES[0])[1]]
    wrong[0][1, 2] += 0.25
    cases = [MethodTestCase(inputs=case, expected_outputs=Network()(*case)) for case in CASES]
    cases += [MethodTestCase(inputs=CASES[0], expected_outputs=wrong), MethodTestCase(inputs=CASES[0])]
    return bundle(tmp_path_factory.mktemp("bundles") / "model.bpte", cases)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RUNNER, *map(str, words)], capture_output=True, text=True, check=False)


def refusal(*words: object) -> str:
    """The error, which is one line."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("index", range(len(CASES)))
def test_the_inputs_of_a_case_are_taken_and_its_outputs_compared(bundled, index, tmp_path) -> None:
    done = run(
        *("-bundled_program_path", bundled, "-testset_idx", index, "-output_verification", "-print_output"),
        *("--output", tmp_path / "y", "--json"),
    )
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    assert facts["made_up_inputs"] == 0
    expected = Network()(*CASES[index])
    np.testing.assert_allclose(np.load(tmp_path / "y0.npy"), expected[0].numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(np.load(tmp_path / "y1.npy"), expected[1].numpy())


def test_an_input_on_the_command_line_goes_before_the_bundle_s(bundled, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 4), np.float32))
    done = run(bundled, "--input", tmp_path / "x.npy", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"][0]["begins"] == pytest.approx([np.tanh(0.5)] * 4, abs=2e-3)
    assert "output 0 is not what the bundle expects: element 0 is 0.46" in refusal(
        bundled, "--input", tmp_path / "x.npy", "--output_verification"
    )


def test_what_is_not_as_expected_or_not_there(bundled, tmp_path) -> None:
    assert "output 0 is not what the bundle expects: element 6 is" in refusal(bundled, "--testset_idx", 2, "--output_verification")
    assert "has no expected outputs" in refusal(bundled, "--testset_idx", 3, "--output_verification")
    assert run(bundled, "--testset_idx", 3).returncode == 0
    assert "has 4 test cases of forward, and no case 4" in refusal(bundled, "--testset_idx", 4)
    assert "only a bundled program has expected outputs" in refusal(
        "tests/end_to_end/testdata/stock_sin.pte", "--output_verification"
    )


def test_damaged_bundles_end_in_an_error(bundled, tmp_path) -> None:
    whole = bundled.read_bytes()
    path = tmp_path / "damaged.bpte"
    for size in (8, 16, 100, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:size])
        assert str(path) in refusal(path)
    path.write_bytes(whole[:4] + b"BP99" + whole[8:])
    assert "the bundle has the format BP99, and this program reads BP08" in refusal(path)
    # The tables lie at the beginning and at the end of the file, the program between them.
    generator = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        offset = int(generator.integers(8, 1200)) if generator.random() < 0.5 else len(whole) - int(generator.integers(8, 1200))
        damaged[offset : offset + 4] = generator.bytes(4)
        path.write_bytes(damaged)
        assert run(path, "--output_verification").returncode in (0, 1), offset


def test_executorchs_debugger_for_core_ml_runs_unchanged(tmp_path) -> None:
    """It looks for its runner below the folder that it lies in, of which this is a copy; and compares operation by operation."""
    (wheel,) = {p for f in sys.path for p in pathlib.Path(f).glob("executorch/examples/apple/coreml/scripts/debugger_cli.py")}
    root = tmp_path / "executorch"
    scripts = root / "examples/apple/coreml/scripts"
    scripts.mkdir(parents=True)
    for name in ("debugger_cli.py", "inspector_utils.py"):
        shutil.copy(wheel.with_name(name), scripts / name)
    (root / "examples/models").symlink_to(wheel.parents[3] / "models")
    runner = root / "cmake-out/examples/devtools/example_runner"
    runner.parent.mkdir(parents=True)
    runner.symlink_to(RUNNER)
    done = subprocess.run(
        [sys.executable, scripts / "debugger_cli.py", "-m", "softmax", "--compute_unit", "cpu_only"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in done.stdout.splitlines() if line.startswith("|")]
    assert rows[0] == ["reference", "reference_compute_unit", "coreml", "coreml_compute_unit", "max_diff"]
    (softmax,) = (row for row in rows[1:] if "softmax" in row[0])
    assert "softmax" in softmax[2]
    # Of what isclose() with its 1e-3 tells apart.
    assert float(softmax[4]) < 2e-3


def test_outputs_only(bundled, tmp_path) -> None:
    """--dump_model_outputs: what the delegate computes inside is not there."""
    found = {}
    for flag in ("--dump_model_outputs", "--dump_intermediate_outputs"):
        folder = tmp_path / flag.strip("-")
        folder.mkdir()
        done = subprocess.run([RUNNER, bundled, flag], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        inspector = Inspector(etdump_path=str(folder / "etdump.etdp"), debug_buffer_path=str(folder / "debug_output.bin"))
        (block,) = (block for block in inspector.event_blocks if block.name == "Execute")
        found[flag] = block.run_output, [event for event in block.events if event.is_delegated_op and event.debug_data]
    outputs, inside = found["--dump_model_outputs"]
    assert torch.allclose(outputs[0], Network()(*CASES[0])[0], atol=2e-3)
    assert inside == []
    assert found["--dump_intermediate_outputs"][1]
