"""The checkout, for tests that look at its files rather than at a target's."""

import collections.abc
import os
import pathlib

# Folders that are not sources: Git's, links to Bazel's outputs, caches of tools.
_SKIPPED = {".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules"}


def root() -> pathlib.Path:
    """The folder of WORKSPACE: in a test's files it is a link into the checkout."""
    return pathlib.Path("WORKSPACE").resolve(strict=True).parent


def files(folder: pathlib.Path, *suffixes: str) -> collections.abc.Iterator[pathlib.Path]:
    """Every file below `folder` whose name ends with one of `suffixes` (all files if none is given), in order of path."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(d for d in folders if d not in _SKIPPED and not (d.startswith("bazel-") and path == str(folder)))
        for name in sorted(names):
            file = pathlib.Path(path, name)
            if not suffixes or name.endswith(suffixes):
                yield file
