"""Programs from the stock exporter of the installed executorch wheel run with PyTorch's results: one method, several methods over shared
weights, compile specs, states, dynamic shapes, integer and bool borders, operations left outside.

Tolerances are l2-relative, by the program's precision; docs/engine.md has what was measured.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import executorch.backends.apple.coreml.runtime  # noqa: F401
import pytest
import torch
from executorch.runtime import Runtime

HERE = pathlib.Path(__file__).parent
# Exact integers and bools aside. The stock exporter's default precision is float16.
FLOAT16_TOLERANCE = 2e-3
FLOAT32_TOLERANCE = 1e-6

CASES = {
    "sin": FLOAT16_TOLERANCE,
    "conv_relu_float16_iOS15": FLOAT16_TOLERANCE,
    "conv_relu_float16_iOS17": FLOAT16_TOLERANCE,
    "conv_relu_float16_iOS18": FLOAT16_TOLERANCE,
    "conv_relu_float32_iOS15": FLOAT32_TOLERANCE,
    "conv_relu_float32_iOS17": FLOAT32_TOLERANCE,
    "conv_relu_float32_iOS18": FLOAT32_TOLERANCE,
    "embed": FLOAT32_TOLERANCE,
    "accumulate": FLOAT16_TOLERANCE,
    "shared_weights": FLOAT16_TOLERANCE,
    "range": FLOAT16_TOLERANCE,
    "mixed": FLOAT16_TOLERANCE,
}


def path_without_this_project() -> list[str]:
    """sys.path without the folders that hold this project's package."""
    return [p for p in sys.path if p and not (pathlib.Path(p) / "executorch_coreml").exists()]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("stock")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path_without_this_project()), PYTHONSAFEPATH="1")
    script = HERE / "stock_exporter.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return folder


def difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    actual, expected = actual.double(), expected.double()
    return float((actual - expected).norm() / max(float(expected.norm()), 1e-30))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("source", ["file", "bytes"])
def test_runs_with_torchs_results(programs: pathlib.Path, name: str, source: str) -> None:
    path = programs / f"{name}.pte"
    program = Runtime.get().load_program(path if source == "file" else path.read_bytes())
    expected = torch.load(programs / f"{name}.pt")
    assert program.method_names == set(expected)
    methods = {method: program.load_method(method) for method in expected}
    for method, calls in expected.items():
        for inputs, outputs in calls:
            actual = methods[method].execute(list(inputs))
            assert len(actual) == len(outputs)
            for got, wanted in zip(actual, outputs, strict=True):
                assert got.dtype == wanted.dtype
                assert got.shape == wanted.shape
                if wanted.is_floating_point():
                    assert difference(got, wanted) <= CASES[name]
                else:
                    assert torch.equal(got, wanted)


def test_the_exporter_wrote_what_is_meant_to_be_read(programs: pathlib.Path) -> None:
    """Were these facts otherwise, the cases above would test less than they say."""
    facts = json.loads((programs / "facts.json").read_text())
    assert set(facts) == set(CASES)
    assert facts["shared_weights"]["shared"], "no payload in named data (CMJR)"
    assert not facts["sin"]["shared"]
    assert facts["mixed"]["delegates"] == 2


def test_every_state_is_its_methods_own_and_starts_at_zero(programs: pathlib.Path) -> None:
    calls = torch.load(programs / "accumulate.pt")["forward"]
    for _ in range(2):
        method = Runtime.get().load_program(programs / "accumulate.pte").load_method("forward")
        for inputs, outputs in calls:
            assert torch.equal(method.execute(list(inputs))[0], outputs[0])
