"""The files that a distribution carries, found without importing it."""

import importlib.util
from pathlib import Path


def folder(package: str) -> Path:
    """The folder of an installed package. FileNotFoundError when it is not among a target's deps."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed: it is missing among the deps of the target")
    return Path(spec.submodule_search_locations[0])
