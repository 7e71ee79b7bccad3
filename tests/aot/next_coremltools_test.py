"""Corrections under the next coremltools, of which a development version is published: rows that it has right say so, and no others.

Fetches its wheel with pip, so it is run by its name, with what pip needs of the environment:

    tools/bazel test --test_env=PIP_INDEX_URL //tests/aot:next_coremltools_test
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

VERSION = "9.1.dev1"
# For Python 3.11, 3.12 and 3.13.
HASHES = (
    "30b6e38430629062770e508a82cf6ba0e509547872b514900d9a3dd0520c0ac0",
    "ed097e556a0df05b512e8531f2a077a809ee7470c3ac3f1383c49d3157799f23",
    "fe1c825387e37f165ce32782d171eb0980f1f55361e32d608b7cc63b7954ee1d",
)
# Rows of which no pattern shows all: MIL's epsilon in a logarithm is below what the portable engine tells from 0.
NOT_SHOWN = {"log"}
PROGRAM = pathlib.Path(__file__).with_name("next_coremltools.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The lines of next_coremltools.py under the other version."""
    folder = tmp_path_factory.mktemp("wheel")
    requirement = " ".join([f"coremltools=={VERSION}", *(f"--hash=sha256:{value}" for value in HASHES)])
    (folder / "requirements.txt").write_text(requirement + "\n")
    # The interpreter itself has pip; the test's own is an environment without it.
    pip = [os.path.realpath(sys.executable), "-I", "-m", "pip", "download", "--quiet", "--pre", "--no-deps", "--require-hashes"]
    wanted = ["--only-binary=:all:", "--dest", str(folder), "--requirement", str(folder / "requirements.txt")]
    subprocess.run([*pip, *wanted], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    paths = [str(folder / "site-packages"), str(PROGRAM.parent), *(path for path in sys.path if path)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, str(PROGRAM)], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_every_pattern_is_right(found: list[dict[str, object]]) -> None:
    assert {line["coremltools"] for line in found} == {VERSION}
    assert {str(line["pattern"]): line["guarded"] for line in found if line["guarded"]} == {}


def test_the_rows_that_are_fixed_are_those_that_say_so(found: list[dict[str, object]]) -> None:
    """A row goes by all of its patterns: one that is wrong without it keeps it."""
    needed: dict[tuple[object, object], bool] = collections.defaultdict(bool)
    for line in found:
        needed[line["corrected"], line["fixed_in"]] |= bool(line["without"])
    assert {op for (op, fixed_in), is_needed in needed.items() if fixed_in == VERSION and is_needed} == set(), "not fixed"
    assert {op for (op, fixed_in), is_needed in needed.items() if fixed_in is None and not is_needed} == NOT_SHOWN, (
        f"fixed_in={VERSION!r}"
    )
