"""Seeded faults are blamed right: 30 mutants of five models in the full run, four of two by default. Prints the table; VERIFY_MUTANTS_SEED chooses others.

tools/bazel test --config=full //tests/sdk:verify_mutants_test --test_output=all
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import verify_models
import verify_mutants
import verify_mutations
from executorch.backends.apple.coreml.sdk.compare import l2_relative

FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))
SEED = int(os.environ.get("VERIFY_MUTANTS_SEED", "0"))


def test_mutants_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    count, models, least = (30, verify_models.MODELS, 28) if FULL else (4, ("convolutional", "perceptron"), 4)
    rows, unseen = verify_mutants.mutants(count, seed=SEED, models=models)
    right = sum(row.is_right for row in rows)
    with capsys.disabled():
        print(
            f"\n{verify_mutants.table(rows)}\n\n{right} of {len(rows)} named right; {unseen} more changed no output, or no engine took them"
        )
    assert len(rows) == count
    assert right >= least


def test_a_mutant_differs_in_its_operation_alone(tmp_path) -> None:
    """The harness changes what it says: weights that others read stay, and a planted overflow changes nothing that has more bits."""
    subject = verify_mutants.Subject.of("perceptron")
    site = next(s for s in subject.victim.sites() if s[0] == "overflow")
    mutant = subject.victim.mutate(site, random.Random(0))
    assert mutant.names == {"planted_product"}
    assert mutant.program != subject.program
    healthy = subject.outputs(subject.program, tmp_path, "float32")
    planted = subject.outputs(mutant.program, tmp_path, "float32")
    assert l2_relative(planted[0], healthy[0]) < 1e-6
    assert {site[0] for site in subject.victim.sites()} <= set(verify_mutations.KINDS)
    assert np.isfinite(healthy[0]).all()
