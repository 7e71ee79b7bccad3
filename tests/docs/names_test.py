"""The documentation's Bazel code blocks name rules and targets that there are, and its text names files that there are."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import code_blocks
import pytest

from tools import source_tree

ROOT = source_tree.root()
FILES = [*ROOT.glob("docs/*.md"), ROOT / "README.md"]
BAZEL = [block for block in code_blocks.code_blocks(FILES) if block.is_bazel]
# Folders of this repository that text in backquotes may start with.
FOLDERS = (
    "base",
    "blob",
    "docs",
    "examples",
    "inmemoryfs",
    "kvstore",
    "python",
    "runtime",
    "schema",
    "tests",
    "tools",
    "third-party",
)


def place(block: code_blocks.CodeBlock) -> str:
    return f"{pathlib.Path(block.file).name}:{block.line}"


def defined_in(path: pathlib.Path) -> set[str]:
    """The targets of a BUILD file, or the public names of a .bzl file. Macros that make several targets name the first."""
    text = path.read_text()
    return set(re.findall(r'^\s+name = "([^"]+)"', text, re.M)) | set(re.findall(r"^(?:def )?(\w+)(?: =|\()", text, re.M))


def missing_labels(code: str) -> list[str]:
    missing = []
    for package, name in re.findall(r"@coreml_delegate//([\w/-]*):([\w.-]+)", code):
        folder = ROOT / package
        if name.endswith((".bzl", ".h")):
            if not (folder / name).is_file():
                missing.append(f"//{package}:{name}")
        elif not (folder / "BUILD.bazel").is_file() or name not in defined_in(folder / "BUILD.bazel"):
            missing.append(f"//{package}:{name}")
    for package, file, names in re.findall(r'load\("@coreml_delegate//([\w/-]*):([\w.-]+)",([^)]*)\)', code):
        path = ROOT / package / file
        there = defined_in(path) if path.is_file() else set()
        missing += [f"{name} of //{package}:{file}" for name in re.findall(r'"(\w+)"', names) if name not in there]
    return missing


def test_there_are_blocks() -> None:
    assert len(BAZEL) >= 5


@pytest.mark.parametrize("block", BAZEL, ids=place)
def test_bazel_names_what_there_is(block: code_blocks.CodeBlock) -> None:
    # Bazel's language is a part of Python's.
    compile(block.code, block.place, "exec")
    assert missing_labels(block.code) == []


def test_what_is_missing_is_noticed() -> None:
    assert missing_labels('deps = ["@coreml_delegate//runtime:coremldelegate", "@coreml_delegate//runtime:nothing"]') == [
        "//runtime:nothing"
    ]
    assert missing_labels('load("@coreml_delegate//tools/build_defs:apple.bzl", "MINIMUM_OS", "NOTHING")') == [
        "NOTHING of //tools/build_defs:apple.bzl"
    ]


def test_files_that_the_text_names_are_there() -> None:
    pattern = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+\.(?:h|cc|mm|py|md|bzl|fbs|sh))`")
    named = {(path.name, name) for path in FILES for name in pattern.findall(path.read_text())}
    assert len(named) > 20
    assert sorted((file, name) for file, name in named if not (ROOT / name).is_file()) == []


def test_the_files_to_touch_are_there() -> None:
    """Those of the table in docs/architecture.md, which may have a * and may lie in the Python package."""
    table = (ROOT / "docs/architecture.md").read_text().partition("## What to touch for")[2]
    paths = {path for path in re.findall(r"`([\w./*-]+)`", table) if "/" in path.rstrip("/")}
    assert len(paths) > 25
    folders = (ROOT, ROOT / "python/executorch_coreml")
    assert sorted(path for path in paths if not any(list(folder.glob(path)) for folder in folders)) == []


def test_the_program_that_makes_the_source_needs_a_block(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.md").write_text("no code\n")
    script = str(pathlib.Path(code_blocks.__file__).with_name("cpp_blocks.py"))
    done = subprocess.run(
        [sys.executable, script, str(tmp_path / "out.cc"), str(tmp_path / "empty.md")], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no C++ code block" in done.stderr
