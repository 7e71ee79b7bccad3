"""Facts that live in one place: counted in the sources, printed, and held to that.

A limit is a number of files: more is a second place for a fact that has one.
"""

import pathlib
import re

from tools import source_tree

ROOT = source_tree.root()
NATIVE = (".cc", ".h", ".mm")


def _production(*folders: str, suffixes: tuple[str, ...] = NATIVE) -> list[pathlib.Path]:
    """The sources of a program, without tests and what only tests use."""
    return [
        path
        for folder in folders
        for path in source_tree.files(ROOT / folder, *suffixes)
        if not re.search(r"_(test|fuzz|cts)\.|(^|/)(testing_|fake_)", f"/{path.relative_to(ROOT)}")
        and not {"cts", "fake", "testdata", "gnustep"} & set(path.relative_to(ROOT).parts)
    ]


def _places(pattern: str, paths: list[pathlib.Path]) -> dict[str, int]:
    found = {str(path.relative_to(ROOT)): len(re.findall(pattern, path.read_text(), re.MULTILINE)) for path in paths}
    return {path: count for path, count in found.items() if count}


def _holds(what: str, found: dict[str, int], limit: int) -> None:
    print(f"{what}: {len(found)} files, {sum(found.values())} places (at most {limit} files)")
    for path, count in found.items():
        print(f"  {count} {path}")
    assert len(found) <= limit, f"{what}: {sorted(found)}"


def test_files_that_name_an_engine_option() -> None:
    """numeric_mode, outside the engines: in the table of load options and its builder."""
    paths = [path for path in _production("runtime", "tools") if "engine" not in path.relative_to(ROOT).parts[:2]]
    _holds("numeric_mode outside the engine", _places(r"numeric_mode", paths), LIMITS["numeric_mode"])


def test_clocks() -> None:
    _holds(
        "definitions of now_ns",
        _places(r"^(?:inline )?[\w:]+ now_ns\(\) \{", _production("base", "runtime", "tools")),
        LIMITS["now_ns"],
    )


def test_half_conversion() -> None:
    pattern = (
        r"^(inline |constexpr |static )*[\w:]+ \w*(half_to_float|float_to_half|half_from_float|float_from_half|to_half|from_half)\("
    )
    _holds("half conversion", _places(pattern, _production("base", "blob", "runtime")), LIMITS["half"])


def test_processor_features() -> None:
    pattern = r"__builtin_cpu_supports\(|__get_cpuid"
    _holds("processor features", _places(pattern, _production("base", "runtime", "tools")), LIMITS["cpu"])


def test_strides() -> None:
    """A stride is the product of the extents behind it."""
    found = _places(r"\bstrides? \*= ", _production("base", "blob", "runtime", "tools"))
    _holds("computations of strides", found, LIMITS["strides"])


def test_locks() -> None:
    """Behind base/mutex.h, whose locks Clang checks. A lock that an object holds longer than a scope is std's, over a mutex of ours."""
    paths = _production("base", "blob", "inmemoryfs", "kvstore", "runtime", "tools")
    pattern = r"std::(?:recursive_|shared_|timed_)?mutex|std::condition_variable|std::lock_guard|std::scoped_lock"
    _holds("locks that nothing checks", _places(pattern, paths), 1)


def test_macros() -> None:
    """Public and private ones carry the project's prefix, so that they meet nobody else's; Core ML's header off Apple systems has Apple's."""
    headers = _production("base", "blob", "inmemoryfs", "kvstore", "runtime", "tools", suffixes=(".h",))
    ours = r"COREML_(DELEGATE|ENGINE|BLOB)_"
    _holds("macros of others' names", _places(rf"^\s*#\s*define (?!{ours})\w+", headers), 0)


def test_writing_of_files() -> None:
    """Through base/file.h's FileSystem: a file is opened for writing in one place, and put in the place of another in one."""
    paths = _production("base", "blob", "inmemoryfs", "kvstore", "runtime", "tools", "dist")
    pattern = r"O_CREAT|std::ofstream|fopen\("
    # What writes testdata is no part of a program; a file of /proc is none.
    others = {"blob/make_testdata.cc", "runtime/engine/helper/limits.cc"}
    found = {path: count for path, count in _places(pattern, paths).items() if path not in others}
    _holds("files opened for writing", found, 1)
    _holds("files staged under another name", _places(r"\.coreml-part", paths), 1)


def test_what_engines_share() -> None:
    """An engine has what is its own; what a call may be, what a function is and how long a stage took are said once for all of them."""
    paths = _production("runtime/engine", "runtime/model", suffixes=(".cc", ".mm"))
    for what, pattern in {
        "refusals of tensors": r"\"the tensor's element type is ",
        "refusals of shapes": r"\"the tensor's shape ",
        "results that do not fit": r"does not fit the tensor's",
        "states that are missing": r"\"the function has states: pass",
        "descriptions made of functions": r"^FunctionDescription describe\(",
    }.items():
        _holds(what, _places(pattern, paths), 1)
    _holds("timers of stages", _places(r"^class StageTimer", _production("runtime")), 1)


def test_names_of_engines() -> None:
    """An engine is known by what it registers: nobody else has its name in a string (tests/third_engine adds one)."""
    engines = {"portable", "coreml"}
    paths = [path for path in _production("runtime", "tools") if path.parent.name not in engines]
    _holds("names of engines outside them", _places(r"^[^/\n]*\"(portable|coreml)\"", paths), 0)


def test_facts_of_python_nodes() -> None:
    paths = _production("python/executorch_coreml", suffixes=(".py",))
    for what, pattern in {
        "stack traces of nodes": r"meta\.get\(\"stack_trace\"\)",
        "module stacks of nodes": r"meta\.get\(\"nn_module_stack\"\)",
        "magic of stock references": r"b\"CMJR\"",
        "names of ExecuTorch's dtypes": r"\"HALF\"",
        "the block of a MIL function": r"block_specializations\[\w+\.opset\]",
        "the function that runs by default": r"defaultFunctionName or",
        "extents of MIL types": r"WhichOneof\(\"dimension\"\)",
    }.items():
        _holds(what, _places(pattern, paths), 1)


def test_mechanisms_that_say_what_an_op_means() -> None:
    """One table, op_rules.py: its rows are of four kinds, each a class beside its rows, and nothing is registered with coremltools but one target."""
    sources = _production("python/executorch_coreml", suffixes=(".py",))
    registrations = _places(r"@register_torch_op|set_func_by_name", sources)
    print(f"registrations in coremltools' registry: {registrations}")
    assert registrations == {"python/executorch_coreml/compiler/node_conversion.py": 1}, "its converter asks the table"
    kinds = _places(r"^class \w+\((op_rules\.)?Rule\)", sources)
    print(f"kinds of rules: {kinds}")
    assert kinds == {
        "python/executorch_coreml/compiler/correction_table.py": 1,
        "python/executorch_coreml/compiler/rewrites.py": 1,
        "python/executorch_coreml/partition/constraints.py": 1,
        "python/executorch_coreml/partition/decompositions.py": 1,
    }
    rows = _places(r"^\s*@?\w*(?:correction|_missing|Constraint|Decomposition|Rewrite)\(", sources)
    print(f"rows: {sum(rows.values())} in {sorted(pathlib.Path(path).name for path in rows)}")
    elsewhere = {
        pathlib.Path(path).name
        for path in rows
        if not re.search(r"/(corrections_\w+|torch_ops|control_flow|correction_table)\.py$", path)
    }
    assert elsewhere == {"rewrites.py", "constraints.py", "decompositions.py"}
    replaced = _places(r"\bsetattr\((?!module, source\.name|loaded, attribute)", sources)
    assert replaced == {}, "attributes of other packages that are set"


LIMITS = {"numeric_mode": 2, "now_ns": 1, "half": 2, "cpu": 1, "strides": 1}
