"""What belongs to other packages stays as they made it: when the delegate is imported, while it lowers, and afterwards (replacements.py)."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = pathlib.Path(__file__).with_name("replacements.py")
# Said to Python's warnings once, when modules are imported: one message each, or what one module of the delegate would be told of itself.
FILTERS = [
    ["ignore", "ExperimentalWarning", "", r"executorch_coreml\.recipes\.coreml_recipe_provider"],
    ["ignore", "FutureWarning", r"`isinstance\(treespec, LeafSpec\)` is deprecated", "copyreg"],
    ["ignore", "Warning", ".*of the source model, has been renamed to", r"coremltools\."],
]
# Where coremltools has entries of the delegate: under the delegate's own names in the registries that are made for it.
ENTRIES = re.compile(r"name_to_func_mapping\['coreml_delegate::call'\]$|PASS_REGISTRY\.passes\['executorch::\w+'\]$")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(PROGRAM)], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_what_is_looked_at(found: dict[str, Any]) -> None:
    looked_at = set(found["looked_at"])
    passes = "coremltools.converters.mil.mil.passes"
    assert looked_at >= {
        "coremltools.converters._converters_entry.convert",
        "coremltools.converters.mil.frontend.torch.torch_op_registry._TORCH_OPS_REGISTRY.name_to_func_mapping['atan2']",
        f"{passes}.defs.quantization.FP16ComputePrecision.fp16_overflow",
        f"{passes}.pass_pipeline.tqdm",
        f"{passes}.pass_registry.PASS_REGISTRY.passes['common::add_fp16_cast']",
        "tempfile.mkdtemp",
        "tempfile.tempdir",
        "tqdm.std.tqdm.update",
        "warnings.filters",
        "warnings.showwarning",
        "warnings.warn",
    }
    assert len(looked_at) > 10000


@pytest.mark.parametrize("when", ["imported", "lowered"])
def test_nothing_is_replaced(found: dict[str, Any], when: str) -> None:
    assert found[when]["replaced"] == []
    assert [path for path in found[when]["ours"] if not ENTRIES.search(path)] == []
    assert found[when]["filters"] == FILTERS


def test_the_delegate_has_entries_of_its_own(found: dict[str, Any]) -> None:
    """The control: the delegate's code is known for what it is where it is."""
    assert any("coreml_delegate::call" in path for path in found["imported"]["ours"])
    assert any("executorch::cast_optimization" in path for path in found["imported"]["ours"])


def test_nothing_is_replaced_during_a_conversion(found: dict[str, Any]) -> None:
    assert found["failures"] == []
    assert found["looks"] > 3
    assert found["meanwhile"] == []
