"""BUILD and .bzl files load what newer Bazels no longer have by themselves.

Bazel 8 took the rules of C++, Python, Java, protocol buffers and shells out of its own names, Bazel 9 their providers and modules. Older ones, where this
workspace is tested, have them still, so that nothing else here would tell.
"""

import ast
import re

import pytest

from tools import source_tree

ROOT = source_tree.root()

# Where a name comes from since then is the business of its load.
GONE = re.compile(
    r"(cc|py|java|sh|proto|objc)_(library|binary|test|import|runtime|runtime_pair|toolchain|toolchain_suite|proto_library|shared_library)"
    r"|cc_common|java_common|apple_common|objc_import|(Cc|Py|PyRuntime|Java|Proto|Objc|CcToolchainConfig|DebugPackage)Info"
)


def unloaded(text: str) -> list[str]:
    """Names of GONE that a file uses as its own and neither loads nor defines: "LINE: NAME"."""
    tree = ast.parse(text)
    known: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load":
            known |= {str(a.value) for a in node.args[1:] if isinstance(a, ast.Constant)} | {str(k.arg) for k in node.keywords}
        elif isinstance(node, ast.FunctionDef):
            known.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and GONE.fullmatch(node.id) and node.id not in known:
            found.append(f"{node.lineno}: {node.id}")
        # native.cc_library is gone as well.
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "native"
            and GONE.fullmatch(node.attr)
        ):
            found.append(f"{node.lineno}: native.{node.attr}")
    return found


# The stand-ins of the published rule modules are what makes the loads work where nothing can be downloaded.
FILES = [
    path
    for path in source_tree.files(ROOT, "BUILD.bazel", "BUILD", ".bzl")
    if not str(path.relative_to(ROOT)).startswith("third-party/rules/")
]


def test_every_file_loads_what_it_uses() -> None:
    assert len(FILES) > 100
    assert {str(path.relative_to(ROOT)): found for path in FILES if (found := unloaded(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('cc_library(name = "a")', ["1: cc_library"]),
        ('load("@rules_cc//cc:defs.bzl", "cc_library")\ncc_library(name = "a")', []),
        ('load("//:x.bzl", py_test = "our_test")\npy_test(name = "a")', []),
        ("def f(dep):\n    return dep[CcInfo]", ["2: CcInfo"]),
        ("def f():\n    native.sh_test(name = 1)", ["2: native.sh_test"]),
        ("def cc_test(name):\n    pass\n\ncc_test(name = 1)", []),
    ],
)
def test_what_is_missing_is_found(text: str, found: list[str]) -> None:
    assert unloaded(text) == found
