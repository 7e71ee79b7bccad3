"""docs/engine_operations.md is what operation_coverage.py writes."""

from __future__ import annotations

import ast
import pathlib

import operation_coverage

_PAGE = pathlib.Path(__file__).absolute().parents[2] / "docs/engine_operations.md"


def test_the_page_is_up_to_date() -> None:
    expected = operation_coverage.render(operation_coverage.own_files())
    assert _PAGE.read_text() == expected, (
        "run: tools/bazel run //tests/coremltools:operation_coverage -- $PWD/docs/engine_operations.md"
    )


def test_every_operation_has_a_test_or_a_reason() -> None:
    without = _PAGE.read_text().partition("## Built by no test")[2].splitlines()
    named = {line.split("|")[1].strip() for line in without if line.startswith("| ") and not line.startswith("| operation")}
    assert named <= set(operation_coverage.WITHOUT_A_TEST)


def test_operations_chosen_by_name_are_found() -> None:
    tree = ast.parse('for op in ("relu", "tanh"):\n    getattr(mb, op)(x=mb.add(x=x, y=y))\nprint("sin")')
    assert operation_coverage.built_operations([tree], {"relu", "tanh", "add", "cos"}) == {"relu", "tanh", "add"}
    tree = ast.parse('mb.add(x=x, y="relu")')
    assert operation_coverage.built_operations([tree], {"relu", "add"}) == {"add"}
