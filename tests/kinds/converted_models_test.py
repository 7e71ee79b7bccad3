"""Models of scikit-learn and XGBoost that coremltools converted predict what their makers predict (make_testdata.py)."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import numpy as np
import pytest
from executorch_coreml.engine import MLModel

TESTDATA = pathlib.Path(__file__).with_name("testdata")
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads((TESTDATA / "expected.json").read_text())

# XGBoost computes in float32, and so do scikit-learn's steps on float32 rows; the others in double precision, as is done here.
FLOAT32 = 4 * float(np.finfo(np.float32).eps)
DOUBLE = 64 * float(np.finfo(np.float64).eps)
IN_FLOAT32 = ("xgboost", "linear_regressor", "scaled", "normalized", "imputed")


def _inputs(model: MLModel, given: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    values = {}
    for spec in model.inputs:
        value = given[spec.name]
        values[spec.name] = np.array([math.nan if v is None else v for v in value]) if isinstance(value, list) else value
    return values


def test_every_model_has_samples() -> None:
    assert {path.stem for path in TESTDATA.glob("*.mlmodel")} == set(EXPECTED)
    assert all(len(samples) >= 4 for samples in EXPECTED.values())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_predictions_are_those_of_the_maker(name: str) -> None:
    model = MLModel(TESTDATA / f"{name}.mlmodel")
    tolerance = FLOAT32 if name.startswith(IN_FLOAT32) else DOUBLE
    label, *rest = (spec.name for spec in model.outputs)
    for sample in EXPECTED[name]:
        found = model.predict(_inputs(model, sample["inputs"]))
        expected = sample["outputs"]
        if "prediction" in expected:
            assert isinstance(found["prediction"], float)
            np.testing.assert_allclose(found["prediction"], expected["prediction"], rtol=tolerance, atol=8 * tolerance)
            continue
        assert found[label] == expected["classLabel"]
        if "probabilities" in expected:
            assert list(found[rest[0]]) == expected["classes"]
            np.testing.assert_allclose(list(found[rest[0]].values()), expected["probabilities"], rtol=0, atol=tolerance)


def test_a_list_of_inputs_gives_a_list() -> None:
    model = MLModel(TESTDATA / "tree_classifier.mlmodel")
    samples = EXPECTED["tree_classifier"]
    results = model.predict([_inputs(model, sample["inputs"]) for sample in samples])
    assert [result["classLabel"] for result in results] == [sample["outputs"]["classLabel"] for sample in samples]
    assert len({result["classLabel"] for result in results}) == 3
