"""Fixtures of the portable engine's op tests."""

import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers seeded by the test's name: the same in every run, others in every test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
