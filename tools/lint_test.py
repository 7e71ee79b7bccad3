"""ruff finds nothing in the Python sources, they are formatted, and mypy --strict agrees with their types. Settings are in pyproject.toml.

tools/bazel test //tools:lint_test
tools/bazel run //tools:python -- -m mypy ...   one file
"""

import os
import pathlib
import subprocess
import sys

import ruff

from tools import source_tree

# The wheel's program lies beside its importable code.
RUFF = pathlib.Path(ruff.__file__).resolve().parents[2] / "bin" / "ruff"
CHECKED_TYPES = ("python/executorch_coreml", "tools")


def _said(command: list[str], environ: dict[str, str]) -> str:
    """What a program says that ends with another code than 0; empty for 0."""
    done = subprocess.run(command, cwd=source_tree.root(), env=environ, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_ruff_finds_nothing() -> None:
    assert _said([str(RUFF), "check", "--no-cache", "--output-format=concise", "."], dict(os.environ)) == ""


def test_the_sources_are_formatted() -> None:
    assert _said([str(RUFF), "format", "--no-cache", "--check", "--output-format=concise", "."], dict(os.environ)) == ""


def test_the_types_agree(tmp_path: pathlib.Path) -> None:
    """With the wheels' own types, as far as they have any. The sources are the checkout's, not the copies of this test."""
    wheels = [path for path in sys.path if path.endswith("site-packages")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(wheels), "MYPYPATH": "python"}
    command = [sys.executable, "-m", "mypy", "--explicit-package-bases", "--namespace-packages", f"--cache-dir={tmp_path}"]
    assert _said([*command, *CHECKED_TYPES], environ) == ""
