"""A change of how a program is read or translated must reach the fingerprint, or devices keep the numbers of before."""

from __future__ import annotations

import pathlib
import re

PORTABLE, MODEL = pathlib.Path("runtime/engine/portable"), pathlib.Path("runtime/model")
# Rounds constants; the rest of base/ decides no number.
HALF = pathlib.Path("base/half.h")
# Where a compilation begins: the steps of portable_engine.cc's compile().
ROOTS = [MODEL / "package.cc", PORTABLE / "translator.cc", PORTABLE / "borders.cc", PORTABLE / "compiled_folder.cc"]
# Reached, but of no influence on what is written: execution's kernels and threads, and the digests themselves.
EXECUTION = {"stored_linear_kernel.cc", "winograd_kernel.cc", "parallel.h", "parallel.cc", "translation_version.h"}


def _closure() -> set[pathlib.Path]:
    """Sources of the engine and of the model that those reach through their includes."""
    reached: set[pathlib.Path] = set()
    pending = list(ROOTS)
    while pending:
        path = pending.pop()
        if path in reached or (path.parent not in (PORTABLE, MODEL) and path != HALF) or path.name in EXECUTION:
            continue
        reached.add(path)
        pending += [pathlib.Path(name) for name in re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE)]
        implementation = path.with_suffix(".cc")
        if implementation.exists():
            pending.append(implementation)
    return reached


def _listed() -> set[pathlib.Path]:
    return {pathlib.Path(line) for line in (PORTABLE / "translation_sources.txt").read_text().splitlines()}


def test_every_source_that_decides_a_compiled_folder_is_in_the_digest() -> None:
    missing = _closure() - _listed()
    assert not missing, f"add to translation_sources (or to EXECUTION here): {sorted(map(str, missing))}"


def test_sources_that_decide_constants_are_reached() -> None:
    # What the closure itself must find, for the test above to mean something.
    assert {MODEL / "value_parser.cc", MODEL / "float_formats.h", MODEL / "weights.cc", MODEL / "mil_reader.cc", HALF} <= _closure()
    assert {PORTABLE / "ops_constexpr.cc", PORTABLE / "winograd_fusion.cc", PORTABLE / "function_plan.cc"} <= _listed()


def test_what_only_loads_or_executes_is_not_in_the_digest() -> None:
    others = {
        "portable_state.cc",
        "portable_model.cc",
        "loaded_graph.cc",
        "register.cc",
        "winograd_kernel.cc",
        "winograd_kernel_impl.h",
    }
    assert not {path.name for path in _listed()} & others
    assert not [path for path in _listed() if path.stem.endswith(("_test", "_fuzz")) or path.stem.startswith("testing_")]
