"""Python rules of this workspace."""

load("@rules_python//python:defs.bzl", _py_binary = "py_binary", _py_library = "py_library", _py_test = "py_test")

_PYTEST_MAIN = Label("//tools/build_defs:pytest_main.py")
_PYTEST_INI = Label("//tools/build_defs:pytest.ini")

def py_library(name, **kwargs):
    """py_library; here so that BUILD files load one thing."""
    _py_library(name = name, **kwargs)

def py_binary(name, **kwargs):
    """py_binary that adds no __init__.py of its own: empty ones would hide executorch's namespace packages."""
    _py_binary(name = name, legacy_create_init = 0, **kwargs)

def py_test(name, **kwargs):
    """py_test that adds no __init__.py of its own; tests of this workspace are pytest_tests."""
    _py_test(name = name, legacy_create_init = 0, **kwargs)

def pytest_test(name, srcs, deps = [], data = [], args = [], env = {}, size = "medium", main_srcs = None, sample_one_in = 1, **kwargs):
    """A test that runs pytest on `srcs`.

    Files named conftest.py and helpers among `srcs` are not collected unless pytest's own naming rule (test_*.py, *_test.py) says
    so. `--test_filter=EXPRESSION` becomes pytest's -k, `--test_arg=...` is passed through, and shard_count splits by test.

    Args:
      name: of the test.
      srcs: the test files.
      deps: what they import.
      data: files they read.
      args: arguments for pytest.
      env: environment variables.
      size: as of py_test.
      sample_one_in: without --config=full, run only one in so many cases of each parametrised test, always the same ones;
        a --test_filter chooses among all.
      main_srcs: the files to hand to pytest, when not those of `srcs` that are named like tests.
      **kwargs: as of py_test.
    """
    tests = main_srcs or [s for s in srcs if _is_test_file(s)]
    if not tests:
        fail("{}: none of {} is named test_*.py or *_test.py".format(name, srcs))
    if sample_one_in > 1:
        env = dict(env, PYTEST_SAMPLE_ONE_IN = str(sample_one_in))
    _py_test(
        name = name,
        srcs = srcs + [_PYTEST_MAIN],
        args = ["$(rootpath {})".format(t) for t in tests] + args,
        data = data + [_PYTEST_INI],
        env = env,
        legacy_create_init = 0,
        main = _PYTEST_MAIN,
        size = size,
        deps = deps + [Label("//third-party/pypi:pytest")],
        **kwargs
    )

def _is_test_file(label):
    name = label.rpartition("/")[2].rpartition(":")[2]
    return name.endswith("_test.py") or name.startswith("test_")
