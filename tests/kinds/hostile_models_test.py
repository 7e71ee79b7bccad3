"""Damaged and contradictory models end with a sentence or a prediction: an EngineError or ValueError, never another exception, a crash or a hang."""

from __future__ import annotations

import pathlib
import random
from typing import Any

import pytest
import specs
from coremltools.proto import Model_pb2
from executorch_coreml.engine import EngineError, MLModel
from hostile_models import mutate, survives

TESTDATA = pathlib.Path(__file__).with_name("testdata")
# Of each model; a seed that fails is replayed by its number, which the failure names.
MUTATIONS = 30


def originals() -> dict[str, Any]:
    found = {}
    for path in sorted(TESTDATA.glob("*.mlmodel")):
        found[path.stem] = Model_pb2.Model()
        found[path.stem].ParseFromString(path.read_bytes())
    found["suppression"] = specs.suppression(boxes=(2, 10))
    return found


@pytest.mark.parametrize("name", sorted(originals()))
def test_changed_fields(name: str, tmp_path: pathlib.Path) -> None:
    original = originals()[name]
    loaded = 0
    for seed in range(MUTATIONS):
        generator = random.Random(f"{name} {seed}")
        changed = Model_pb2.Model()
        changed.CopyFrom(original)
        for _ in range(generator.choice([1, 1, 2, 4])):
            mutate(changed, generator)
        path = specs.save(changed, tmp_path)
        try:
            loaded += survives(path, generator)
        except Exception as error:
            raise AssertionError(f"seed {seed} of {name}: {type(error).__name__}: {error}") from error
    # Changes must be of both sorts to say anything.
    assert 0 < loaded < MUTATIONS


def test_changed_bytes(tmp_path: pathlib.Path) -> None:
    refused = 0
    for name in ("forest_classifier", "imputed_regressor", "svc_votes"):
        content = (TESTDATA / f"{name}.mlmodel").read_bytes()
        for seed in range(MUTATIONS):
            generator = random.Random(f"{name} {seed}")
            changed = bytearray(content)
            for _ in range(generator.choice([1, 3, 10])):
                changed[generator.randrange(len(changed))] = generator.randrange(256)
            path = tmp_path / "model.mlmodel"
            path.write_bytes(changed[: generator.choice([len(changed), generator.randrange(len(changed))])])
            refused += not survives(path, generator)
    assert refused > MUTATIONS / 2


@pytest.mark.parametrize("content", [b"", b"\x00", b"hello", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f"])
def test_files_that_are_no_models(content: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.mlmodel"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"model\.mlmodel"):
        MLModel(path)
    with pytest.raises(EngineError, match=r"nothing\.mlmodel"):
        MLModel(tmp_path / "nothing.mlmodel")
