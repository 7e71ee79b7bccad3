"""Which tests cover which MIL operation: writes docs/engine_operations.md.

    tools/bazel run //tests/coremltools:operation_coverage -- $PWD/docs/engine_operations.md

The operations and the opsets that define them are those of coremltools' registry. A test covers an operation when its source builds it:
`mb.OPERATION(...)`, or `getattr(mb, ...)` beside the operation's name as a string. What ran, and with what result, is in
tests/results/coremltools.md.
"""

from __future__ import annotations

import ast
import collections
import pathlib
import sys
from collections.abc import Iterable, Iterator

# Tests shown of each operation and suite.
_SHOWN = 4
# Operations that no test builds by name, and why that is right.
WITHOUT_A_TEST = {
    "_const_symbolic": "never in a package: a constant of symbols inside coremltools",
    "conv_quantized": "never in a package: coremltools writes it for neural networks only",
    "classify": "no operation to the engine: its probabilities are an output, `features_test.py` has classifiers",
    "custom_layer": "not executed: a model with it is refused",
}


def registry() -> dict[str, list[str]]:
    """The names of coremltools' core operations, with the opsets that define each: "CoreML5" stands for iOS 15 and older."""
    import coremltools as ct
    from coremltools.converters.mil.mil.ops import defs  # noqa: F401  (registers them)
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    def opset(target: ct.target) -> int:
        # The serialised name has the specification version less one; iOS 13 to 15 are written as CoreML5.
        return max(int(target.value) - 1, 5)

    # The registry has an entry for every opset; one that defines the operation anew has a class of its own.
    changes: dict[str, list[str]] = {}
    for name, variants in sorted(SSAOpRegistry.core_ops.items()):
        numbers: dict[type, int] = {}
        for target in sorted(variants, key=lambda target: target.value):
            numbers.setdefault(variants[target], opset(target))
        changes[name] = [f"CoreML{number}" for number in sorted(set(numbers.values()))]
    return changes


def _tests(tree: ast.Module) -> Iterator[tuple[str, list[ast.AST]]]:
    """(CLASS::TEST or TEST, its nodes) of a file; a class's helpers count for each of its tests, a module's functions for none."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield node.name, [node]
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            helpers = [n for n in node.body if not (isinstance(n, ast.FunctionDef) and n.name.startswith("test"))]
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name.startswith("test"):
                    yield node.name, [member, *helpers]


def _called_helpers(nodes: list[ast.AST], functions: dict[str, ast.AST]) -> list[ast.AST]:
    """`nodes`, and the functions of the file that they name, and those these name."""
    found = list(nodes)
    seen: set[str] = set()
    for node in found:  # Grows.
        for name in ast.walk(node):
            if isinstance(name, ast.Name) and name.id in functions and name.id not in seen:
                seen.add(name.id)
                found.append(functions[name.id])
    return found


def built_operations(nodes: Iterable[ast.AST], names: set[str]) -> set[str]:
    """The operations that the nodes build."""
    built: set[str] = set()
    strings: set[str] = set()
    chooses = False
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mb":
                built.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.add(node.value)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
                chooses = chooses or (isinstance(node.args[0], ast.Name) and node.args[0].id == "mb")
    return (built | strings if chooses else built) & names


def covering_tests(files: Iterable[tuple[str, pathlib.Path]], names: set[str]) -> dict[str, set[str]]:
    """Operation -> "LABEL: TEST" of the tests that build it; `files` are (label, path)."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for label, path in files:
        tree = ast.parse(path.read_text())
        functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        for test, nodes in _tests(tree):
            for name in built_operations(_called_helpers(nodes, functions), names):
                found[name].add(f"{label}: {test}")
    return found


def _cell(tests: set[str]) -> str:
    shown = sorted(tests)[:_SHOWN]
    return ", ".join(shown) + (f" and {len(tests) - len(shown)} more" if len(tests) > len(shown) else "")


def render(own: Iterable[pathlib.Path]) -> str:
    """The page's text; `own` are the files of tests/engine."""
    import coremltools.converters.mil.mil.ops.tests as suite

    operations = registry()
    names = set(operations)
    folder = pathlib.Path(suite.__path__[0])
    theirs = covering_tests(
        ((f"{path.parent.name}/{path.stem.removeprefix('test_')}", path) for path in sorted(folder.rglob("test_*.py"))), names
    )
    ours = covering_tests(((path.stem.removeprefix("test_"), path) for path in sorted(own)), names)
    covered = {name for name in names if theirs.get(name) or ours.get(name)}
    without = sorted(names - covered)
    lines = [
        "# Operations of ML Programs, and the tests that cover them",
        "",
        "Written by `tools/bazel run //tests/coremltools:operation_coverage -- $PWD/docs/engine_operations.md`; a test compares this page with what it would",
        "write now. The opsets are those in which coremltools defines the operation or changes it; a later opset has it too. Tests of `coremltools` are those",
        "of its own op suite, by folder of opset, file and class, which `//tests/coremltools:op_suite_test` runs on the portable engine; tests of",
        "`tests/engine` compare with NumPy and PyTorch in every opset they take. What ran and passed, by opset and operation, is in",
        "`tests/results/coremltools.md`.",
        "",
        f"{len(names)} operations, {len(covered)} of them built by a test.",
        "",
        "| operation | defined in | tests/engine | coremltools |",
        "|---|---|---|---|",
    ]
    for name in sorted(covered):
        cells = (_cell(found.get(name, set())) for found in (ours, theirs))
        lines.append(f"| {name} | {', '.join(operations[name])} | {' | '.join(cells)} |")
    lines += ["", "## Built by no test", "", "| operation | defined in | |", "|---|---|---|"]
    lines += [f"| {name} | {', '.join(operations[name])} | {WITHOUT_A_TEST.get(name, '')} |" for name in without]
    return "\n".join(lines) + "\n"


def own_files() -> list[pathlib.Path]:
    """tests/engine/test_*.py, beside this folder."""
    return sorted((pathlib.Path(__file__).absolute().parents[1] / "engine").glob("test_*.py"))


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).write_text(render(own_files()))
