"""//tools:python has everything of this workspace under the documented name, and programs that run a .pte there find the delegate."""

import os
import pathlib
import subprocess
import tempfile

import pytest

PYTHON = pathlib.Path(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "tools/python")
SOURCES = pathlib.Path(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "python/source_names.txt")


def python(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "COREML_DELEGATE_AUTOLOAD")}
    with tempfile.NamedTemporaryFile("w", suffix=".py", dir=os.environ.get("TEST_TMPDIR")) as script:
        script.write(program)
        script.flush()
        return subprocess.run(
            [str(PYTHON), script.name],
            env={**environ_of_runfiles(), **environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )


def environ_of_runfiles() -> dict[str, str]:
    return {"RUNFILES_DIR": os.environ["TEST_SRCDIR"], "PYTHONDONTWRITEBYTECODE": "1"}


MODULES = """
import importlib, pathlib, sys
import executorch_coreml
name = "executorch.backends.apple.coreml"
ours = pathlib.Path(executorch_coreml.__file__).parent
def modules(root):
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
wheel = [pathlib.Path(p, "executorch/backends/apple/coreml") for p in sys.path if pathlib.Path(p, "executorch/backends/apple/coreml").is_dir()]
assert wheel, "no executorch wheel"
names = {m for m in modules(ours) if m} | {m for root in wheel for m in modules(root) if m and not m.startswith(("test", "runtime.test"))}
missing = []
for module in sorted(names):
    try:
        found = importlib.import_module(f"{name}.{module}")
    except ModuleNotFoundError as error:
        # A private module of the stock package below one of ours is nobody's.
        if error.name == f"{name}.{module}" and module.rpartition(".")[2].startswith("_"):
            continue
        missing.append(f"{module}: {error}")
        continue
    place = pathlib.Path(found.__file__)
    if found.__name__ != f"executorch_coreml.{module}" or ours not in place.parents:
        missing.append(f"{module} is {found.__name__} in {place}")
print("\\n".join(missing) or "all ours")
print(*sorted(names))
"""


@pytest.fixture(scope="module")
def modules() -> list[str]:
    done = python(MODULES)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_module_below_the_documented_name_is_ours(modules: list[str]) -> None:
    assert modules[:-1] == ["all ours"]


def test_no_module_of_the_source_tree_is_left_out(modules: list[str]) -> None:
    parts = [pathlib.PurePosixPath(line).with_suffix("").parts for line in SOURCES.read_text().splitlines()]
    sources = {".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts} - {""}
    assert len(sources) > 100
    assert sources - set(modules[-1].split()) == set()


REGISTERED = """
import sys
import executorch.exir
assert "executorch_coreml.runtime" not in sys.modules
{first}
from executorch.extension.pybindings import portable_lib
print("CoreMLBackend" in portable_lib._get_registered_backend_names())
from executorch.runtime import Runtime
names = Runtime.get().backend_registry.registered_backend_names
print("CoreMLBackend" in names, getattr(__import__("executorch.runtime").runtime.Program.load_method, "_holds_bytes", False))
"""


@pytest.mark.parametrize("first", ["", "import executorch.extension.llm.runner"])
def test_the_delegate_is_registered_without_an_import_line(first: str) -> None:
    done = python(REGISTERED.format(first=first))
    assert (done.returncode, done.stdout) == (0, "True\nTrue True\n"), done.stderr


def test_a_variable_turns_it_off() -> None:
    done = python(REGISTERED.format(first=""), COREML_DELEGATE_AUTOLOAD="0")
    assert (done.returncode, done.stdout) == (0, "False\nFalse False\n"), done.stderr
    explicit = "import executorch.backends.apple.coreml.runtime"
    done = python(REGISTERED.format(first=explicit), COREML_DELEGATE_AUTOLOAD="0")
    assert (done.returncode, done.stdout) == (0, "True\nTrue True\n"), done.stderr
