"""The Python code blocks of the documentation compile, and import what there is.

What the blocks of lowering.md do is run by //tests/aot:compiler_test, what ExecuTorch's own pages say by executorch_doc_test.
"""

from __future__ import annotations

import ast
import importlib
import pathlib

import code_blocks
import pytest

BLOCKS = list(code_blocks.code_blocks([*pathlib.Path("docs").glob("*.md"), pathlib.Path("README.md")]))
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.is_bazel]


def place(block: code_blocks.CodeBlock) -> str:
    return block.place


def missing_imports(code: str) -> list[str]:
    """What a snippet imports and there is not."""
    missing = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            wanted = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wanted = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for module, name in wanted:
            try:
                found = importlib.import_module(module)
            except ImportError as error:
                missing.append(f"{module}: {error}")
                continue
            if name and not hasattr(found, name):
                try:
                    importlib.import_module(f"{module}.{name}")
                except ImportError:
                    missing.append(f"{module} has no {name}")
    return missing


def test_there_are_blocks() -> None:
    assert len(PYTHON) >= 15
    assert {block.language for block in BLOCKS} <= {"python", "cpp", "starlark", "cmake"}, "a kind that nothing checks"


@pytest.mark.parametrize("block", PYTHON, ids=place)
def test_python_compiles_and_imports_what_there_is(block: code_blocks.CodeBlock) -> None:
    compile(block.code, block.place, "exec")
    assert missing_imports(block.code) == []


def test_what_is_missing_is_noticed() -> None:
    assert missing_imports("from executorch.backends.apple.coreml.partition import CoreMLPartitioner, Nothing") == [
        "executorch.backends.apple.coreml.partition has no Nothing"
    ]
    assert missing_imports("import executorch.backends.apple.coreml.nothing") != []
