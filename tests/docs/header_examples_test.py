"""The first example of each public header compiles: that it is built is the test. Here: that none is left out on the way."""

from __future__ import annotations

import pathlib
import re

import header_examples
import pytest

HEADER = """#ifndef A_H_
#define A_H_

// What it is.
//
//   int a = 1;
//
//   if (a) use(a);
//
// More of it.
//
//   no example any more

#include <vector>

//   nor this
"""


def test_every_example_was_compiled() -> None:
    compiled = re.findall(r'^#line \d+ "(.*)"$', (pathlib.Path("tests/docs") / "header_examples.cc").read_text(), re.M)
    assert {"base/mutex.h", "base/status.h", "kvstore/store.h", "runtime/engine/engine.h"} < set(compiled)
    assert len(compiled) >= 25
    assert list(pathlib.Path("tests/docs").glob("*header_examples_compiled*")), "it was built"


def test_an_example_is_the_first_block_at_the_top() -> None:
    assert header_examples.example_of(HEADER) == (6, ["int a = 1;", "", "if (a) use(a);"])


def test_lists_are_no_examples() -> None:
    assert header_examples.example_of("// Rules:\n//   - a folder is whole;\n")[1] == []
    assert header_examples.example_of("// Order:\n//   1. runtime specs\n")[1] == []


def test_the_template_gives_the_context() -> None:
    source = header_examples.source("void example() {\n//@ a.h\n}", {"a.h": HEADER, "b.h": "// Nothing to show.\n"})
    assert source.splitlines() == [
        '#include "a.h"',
        "void example() {",
        '#line 6 "a.h"',
        "int a = 1;",
        "",
        "if (a) use(a);",
        "}",
        "const int header_example_count = 1;",
    ]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "a.h has an example, which the template does not name"),
        ("//@ a.h\n//@ b.h", "b.h has no example, or is no public header"),
        ("//@ a.h\n//- a.h: no code", "a.h is in the template twice"),
    ],
)
def test_what_the_template_misses_is_said(template: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        header_examples.source(template, {"a.h": HEADER, "b.h": "// Nothing to show.\n"})
