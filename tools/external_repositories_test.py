"""Every external repository that a BUILD or .bzl file names is declared in WORKSPACE and in MODULE.bazel."""

import ast
import pathlib
import re

from tools import source_tree

ROOT = source_tree.root()

# There without a declaration: Bazel's own tools, and the names by which a downstream repository and generated files call this one.
# `platforms` comes with Bazel in WORKSPACE mode.
BUILT_IN = {"workspace": {"bazel_tools", "coreml_delegate", "platforms"}, "module": {"bazel_tools", "coreml_delegate"}}

# Repositories of their own: their BUILD files see other names.
SEPARATE = ("third-party/rules/", "tests/downstream/", "examples/fleet/", "integration/", "apple/")


def calls(path: pathlib.Path) -> list[ast.Call]:
    """The calls of a Starlark file, which is close enough to Python to be parsed as such."""
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def names(path: pathlib.Path) -> set[str]:
    """The `name = "..."` arguments of a file."""
    return {
        keyword.value.value
        for call in calls(path)
        for keyword in call.keywords
        if keyword.arg in ("name", "repo_name") and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    }


def lines_of(lock: str) -> dict[str, str]:
    """{target name: line} of a lock."""
    lines = (ROOT / "third-party/pypi" / lock).read_text(encoding="utf-8").splitlines()
    found = {line.partition("==")[0]: line for line in lines if "==" in line and not line.startswith("#")}
    return {re.sub(r"[-.]", "_", name.lower()): line for name, line in found.items()}


def locked() -> set[str]:
    return {"coreml_delegate_pypi_" + name for lock in ("requirements.lock", "extra.lock") for name in lines_of(lock)}


def declared_in_workspace() -> set[str]:
    macros = {
        name for file in ["repositories.bzl", "system.bzl", "wheel_libraries.bzl"] for name in names(ROOT / "third-party" / file)
    }
    return names(ROOT / "WORKSPACE") | macros | {"coreml_delegate_pypi"} | locked()


def used_from_extensions() -> set[str]:
    return {
        argument.value
        for call in calls(ROOT / "MODULE.bazel")
        if isinstance(call.func, ast.Name) and call.func.id == "use_repo"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def named() -> dict[str, list[str]]:
    """{repository: files that name it}."""
    found: dict[str, list[str]] = {}
    for path in source_tree.files(ROOT, "BUILD.bazel", ".bzl", ".bazelrc"):
        where = str(path.relative_to(ROOT))
        if where.startswith(SEPARATE):
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            for name in re.findall(r'"@@?([A-Za-z0-9_.]+)//', line.partition("#")[0]):
                found.setdefault(name, []).append(where)
    return found


def test_the_scan_finds_what_is_known_to_be_there() -> None:
    assert {"rules_cc", "rules_python", "coreml_delegate_pypi", "coreml_delegate_protobuf"} <= named().keys()


def test_named_repositories_are_declared_in_workspace() -> None:
    declared = declared_in_workspace() | BUILT_IN["workspace"]
    assert {name: where for name, where in named().items() if name not in declared} == {}


def test_named_repositories_are_declared_in_module() -> None:
    declared = names(ROOT / "MODULE.bazel") | used_from_extensions() | BUILT_IN["module"]
    assert {name: where for name, where in named().items() if name not in declared} == {}


def test_module_uses_no_repository_that_workspace_lacks() -> None:
    assert used_from_extensions() - declared_in_workspace() == set()


def test_registered_toolchains_are_declared() -> None:
    text = (ROOT / "WORKSPACE").read_text() + (ROOT / "MODULE.bazel").read_text()
    registered = set(re.findall(r'"@([a-z_]+)//:(?:all|toolchain)"', text))
    assert registered == {"coreml_delegate_clang", "coreml_delegate_python"}
    assert registered <= declared_in_workspace() & used_from_extensions()


def test_nothing_here_reaches_the_second_lock() -> None:
    """What only workspaces of examples, benchmarks and sweeps import is fetched by none of this workspace's targets."""
    extra, base = lines_of("extra.lock"), lines_of("requirements.lock")
    assert len(extra) >= 5
    assert not extra.keys() & base.keys()
    needed = {re.sub(r"[-.]", "_", word.lower()) for line in base.values() for word in line.partition("#")[2].split()}
    assert not extra.keys() & needed
    uses = {}
    for path in source_tree.files(ROOT, "BUILD.bazel", ".bzl"):
        where = str(path.relative_to(ROOT))
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"third-party/pypi:(\w+)|coreml_delegate_pypi_(\w+)//|coreml_delegate_pypi//:(\w+)", text))
        used = {name for names in found for name in names if name} & extra.keys()
        if used and not where.startswith(SEPARATE):
            uses[where] = used
    assert uses == {}
