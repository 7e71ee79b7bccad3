"""The layers of the design hold: in #include lines, in the dependencies of BUILD files, and in Python imports.

A component may use those of lower layers, never one above or beside it.
"""

import ast
import pathlib
import re

import pytest

from tools import source_tree

ROOT = source_tree.root()
PYTHON = "python/executorch_coreml/"

# From the bottom up. A folder belongs to the longest entry that it starts with.
LAYERS = [
    ["base"],
    ["inmemoryfs", "schema", "kvstore"],
    ["blob"],
    # blob's codecs for Python.
    ["blob/c_api"],
    ["runtime/engine", "runtime/model"],
    # What an engine must do, for the engines' tests; it writes packages as the model reader's tests do.
    ["runtime/engine/cts"],
    ["runtime/engine/portable", "runtime/engine/coreml", "runtime/assets"],
    ["runtime/engine/coreml/gnustep"],
    ["runtime/delegate", "runtime/include"],
    # runtime/engine_c_api: the engines for callers without ExecuTorch. runtime/runner: a program.
    ["runtime/engine_c_api", "runtime/runner", PYTHON + "engine"],
    [PYTHON + part for part in ("runtime", "compiler", "partition", "quantizer", "recipes")],
    # The tools: they run what was lowered, and lower it again to compare.
    [PYTHON + "sdk"],
]
LEVEL = {component: level for level, layer in enumerate(LAYERS) for component in layer}

# Beside each other in the table, but one thing.
TOGETHER = [
    # The public headers are the delegate's.
    {"runtime/delegate", "runtime/include"},
    # One ahead-of-time path: recipes drive the partitioner, which names the compiler.
    {PYTHON + part for part in ("compiler", "partition", "quantizer", "recipes")},
]

# Third-party code that only some folders may include: pattern, folders, why.
CONFINED = [
    (
        r"openvino/",
        ["runtime/engine/portable", "third-party/openvino", "benchmarks"],
        "the portable engine is the only user of OpenVINO",
    ),
    (r"CoreML/", ["runtime/engine/coreml", "third-party"], "the Core ML engine is the only user of Core ML"),
    (r"Foundation/", ["runtime/engine/coreml", "third-party"], "Foundation stays inside the Core ML engine"),
    (r"(Python\.h|pybind11/)", [], "the runtime never needs Python"),
    (r"sqlite3\.h", ["kvstore", "third-party", "benchmarks"], "the key-value store is the only user of SQLite"),
]


def component(path: str) -> str | None:
    """The component that a path from the root belongs to, None if it is in no layer (tests, tools, examples...)."""
    fits = [c for c in LEVEL if path == c or path.startswith(c + "/")]
    return max(fits, key=len, default=None)


def allowed(user: str | None, used: str | None) -> bool:
    if user is None or used is None or user == used:
        return True
    return LEVEL[used] < LEVEL[user] or any(user in group and used in group for group in TOGETHER)


def includes(path: pathlib.Path) -> list[str]:
    return re.findall(r'^\s*#\s*(?:include|import)\s*[<"]([^>"]+)[>"]', path.read_text(encoding="utf-8"), re.MULTILINE)


def dependencies(path: pathlib.Path) -> list[str]:
    """The packages of this repository whose labels a BUILD file holds, comments and load lines left out."""
    lines = [line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    text = "\n".join(line for line in lines if not line.startswith("load("))
    # Whom a target is visible to is not what it uses.
    text = re.sub(r"visibility\s*=\s*\[[^\]]*\]", "", text)
    return re.findall(r'"//([^:"]*)(?::[^"]*)?"', text)


def imports(path: pathlib.Path) -> list[str]:
    """The folders of this repository's Python packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            for package in ("executorch.backends.apple.coreml.", "executorch_coreml."):
                if name.startswith(package):
                    found.add(PYTHON + name.removeprefix(package).partition(".")[0])
    return sorted(found)


def violations() -> list[str]:
    found = []
    for path in source_tree.files(ROOT, ".h", ".cc", ".mm", ".m", ".py", "BUILD.bazel"):
        where = path.relative_to(ROOT).as_posix()
        user = component(str(pathlib.PurePosixPath(where).parent))
        if user is None:
            continue
        if path.suffix == ".py":
            # A test may drive what it tests through a neighbour.
            used = [] if path.name.startswith("test_") or path.name.endswith("_test.py") else imports(path)
        elif path.name == "BUILD.bazel":
            used = dependencies(path)
        else:
            used = includes(path)
        for name in used:
            other = component(name)
            if not allowed(user, other):
                found.append(f"{where}: {user} must not use {other} ({name})")
    return found


def test_every_component_uses_lower_layers_only() -> None:
    assert violations() == []


@pytest.mark.parametrize(("pattern", "folders", "reason"), CONFINED, ids=[c[0] for c in CONFINED])
def test_third_party_code_stays_where_it_belongs(pattern: str, folders: list[str], reason: str) -> None:
    found = [
        f"{where}: {name}: {reason}"
        for path in source_tree.files(ROOT, ".h", ".cc", ".mm", ".m")
        if not (where := path.relative_to(ROOT).as_posix()).startswith((*[f + "/" for f in folders], "tests/"))
        for name in includes(path)
        if re.match(pattern, name)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("user", "used", "is_allowed"),
    [
        ("blob", "base", True),
        ("base", "blob", False),
        ("blob", "blob/c_api", False),
        ("inmemoryfs", "schema", False),
        ("runtime/engine/cts", "runtime/engine", True),
        ("runtime/engine", "runtime/engine/portable/ops", False),
        ("runtime/engine/portable/ops", "runtime/engine", True),
        ("runtime/engine/portable", "runtime/engine/coreml", False),
        ("runtime/engine/coreml/gnustep", "runtime/engine/portable", True),
        ("runtime/delegate", "runtime/assets", True),
        ("runtime/assets", "runtime/engine/portable", False),
        (PYTHON + "partition", PYTHON + "compiler", True),
        (PYTHON + "compiler", PYTHON + "runtime", False),
        (PYTHON + "sdk", PYTHON + "partition", True),
        (PYTHON + "compiler", PYTHON + "sdk", False),
        ("runtime/delegate", "runtime/engine_c_api", False),
        ("tests", "runtime/delegate", True),
    ],
)
def test_the_rule(user: str, used: str, is_allowed: bool) -> None:
    assert allowed(component(user), component(used)) == is_allowed
