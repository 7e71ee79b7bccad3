"""ExecuTorch's own Core ML tests, from the installed wheel, against this package: names, behaviour and, on the portable engine, numbers.

The files switch their predictions off away from macOS; here they are switched on, and counted. Nothing in the files is changed, except that
the vision transformer, of which a test asserts the graph, has random weights instead of downloaded ones.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections import Counter
from typing import Any

# torchvision's compiled operators do not load with a CPU build of torch; models work without them.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))

import executorch.backends.apple.coreml.runtime  # noqa: E402, F401  registers the backend
import executorch.runtime as executorch_runtime  # noqa: E402
import pytest  # noqa: E402
import torchvision  # noqa: E402

PACKAGE = "executorch.backends.apple.coreml.test"
utils = importlib.import_module(f"{PACKAGE}.test_coreml_utils")
utils.IS_VALID_TEST_RUNTIME = True


def _file(name: str) -> Any:
    """A test file with its predictions switched on."""
    module = importlib.import_module(f"{PACKAGE}.{name}")
    assert "site-packages" in str(module.__file__), module.__file__
    if hasattr(module, "_TEST_RUNTIME"):
        module._TEST_RUNTIME = True
    module.Runtime = executorch_runtime.Runtime
    return module


TestCoreMLPartitioner = _file("test_coreml_partitioner").TestCoreMLPartitioner
TestCoreMLMultifunction = _file("test_coreml_multifunction").TestCoreMLMultifunction
TestEnumeratedShapes = _file("test_enumerated_shapes").TestEnumeratedShapes
TestTorchOps = _file("test_torch_ops").TestTorchOps

# Executions of a method that must have happened, by test class: what the files ask for.
EXPECTED = {
    "TestCoreMLMultifunction": 5,
    "TestEnumeratedShapes": 4,
    "TestTorchOps": 11,
}
predictions: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    execute, kind = executorch_runtime.Method.execute, getattr(request.cls, "__name__", "")

    def counted(self: Any, inputs: Any) -> Any:
        predictions[kind] += 1
        return execute(self, inputs)

    vit = torchvision.models.vit_b_16
    monkeypatch.setattr(executorch_runtime.Method, "execute", counted)
    monkeypatch.setattr(torchvision.models, "vit_b_16", lambda weights: vit(weights=None))


class TestThatPredictionsWereExecuted:
    """Last in the file, so that it sees the counts."""

    def test_counts(self, request: pytest.FixtureRequest) -> None:
        print(f"\npredictions executed: {sum(predictions.values())} {dict(predictions)}")
        ran = {item.cls.__name__ for item in request.session.items if item.cls is not None}
        for kind, count in EXPECTED.items():
            if kind in ran:
                assert predictions[kind] >= count, f"{kind}: {predictions[kind]} of {count}"
