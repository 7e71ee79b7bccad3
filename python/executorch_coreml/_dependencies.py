"""Imports torch, torchao, coremltools and executorch without the messages they log on every import, and checks their versions.

The messages silenced are exactly these, and only while this module imports them:

- coremltools: libcoremlpython is missing (it exists on macOS only); scikit-learn and torch are newer than it has tested.
- torchao: its CUDA extensions do not load; an enumeration of its is registered in a way torch deprecates.

One warning is silenced for good: torch's own way of copying a program, which exir and the delegate use, calls what torch deprecates.

What replaces them is one line when an installed version is not in the tested matrix. Every module of the ahead-of-time side that
imports one of the four imports this one before.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import warnings

from executorch_coreml._quiet_imports import quiet

logger = logging.getLogger("executorch.backends.apple.coreml")

# The versions the tests of this project run with.
TESTED_VERSIONS = {"torch": "2.13.0", "executorch": "1.5.1", "coremltools": "9.0", "numpy": "2.3.5"}


def _public(version: str) -> str:
    """Without the local part: 2.13.0 for 2.13.0+cpu."""
    return version.partition("+")[0]


def untested_versions() -> list[str]:
    """What is not as tested, such as "numpy 2.4.0 (tested: 2.3.5)"; empty when all is."""
    found = []
    for name, tested in TESTED_VERSIONS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not installed (tested: {tested})")
            continue
        if _public(version) != tested:
            found.append(f"{name} {version} (tested: {tested})")
    return found


def installed_versions() -> dict[str, str]:
    """The versions of what takes part in lowering, without their local parts."""
    found = {}
    for name in ("coremltools", "executorch", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = _public(importlib.metadata.version(name))
    return found


warnings.filterwarnings(
    "ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated", category=FutureWarning, module="copyreg"
)

with quiet():
    import coremltools  # noqa: F401
    import executorch.exir  # noqa: F401
    import torch  # noqa: F401

if _untested := untested_versions():
    logger.warning("Not in the tested matrix of the Core ML delegate: %s.", "; ".join(_untested))
