"""Fixtures of the portable engine's op tests."""

import gc
import zlib

import numpy as np
import pytest


def pytest_collection_finish() -> None:
    # ct.convert() ends with a full collection, most of a case's time when it walks over all modules every time.
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers seeded by the test's name: the same in every run, others in every test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
