"""The package under its own name and its documented one, beside an executorch wheel or without one.

Each test runs a program in a process of its own, over folders that stand for site-packages: one with this package's finder and small modules, one
with what the executorch wheel has at the same places.
"""

import pathlib
import shutil
import subprocess
import sys

import pytest
from executorch_coreml import _finder

# Beside the finder, in our package.
OURS = {
    "partition/__init__.py": "from executorch_coreml.partition.part import VALUE\n",
    "partition/part.py": "VALUE = object()\n",
    "slow.py": "import time\ntime.sleep(0.2)\nimport executorch_coreml.counter as counter\ncounter.runs.append(__name__)\nVALUE = object()\n",
    "counter.py": "runs = []\n",
    "program.py": "import sys\nif __name__ == '__main__':\n    print('ours', *sys.argv[1:])\n",
    "tool/__init__.py": "",
    "tool/__main__.py": "print('our package')\n",
    "broken.py": "raise ValueError('broken when imported')\n",
}
# In the executorch wheel; only backends/ has an __init__.py there.
WHEEL = {
    "backends/__init__.py": "",
    "backends/apple/coreml/partition/__init__.py": "STOCK = True\n",
    "backends/apple/coreml/partition/only_stock.py": "STOCK = True\n",
    "backends/apple/coreml/test/__init__.py": "",
    "backends/apple/coreml/test/tester.py": "from executorch.backends.apple.coreml.partition import VALUE\n",
    "backends/apple/mps/__init__.py": "NAME = 'mps'\n",
    "backends/xnnpack/__init__.py": "NAME = 'xnnpack'\n",
    "version.py": "__version__ = '1.5.1'\n",
}


def write(root: pathlib.Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.fixture(params=["ours first", "the wheel first"])
def places(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> list[pathlib.Path]:
    """Two folders of sys.path, in either order."""
    found = [ours(tmp_path), tmp_path / "wheel"]
    write(found[1] / "executorch", WHEEL)
    return found if request.param == "ours first" else found[::-1]


def ours(folder: pathlib.Path) -> pathlib.Path:
    root = folder / "ours"
    write(root / "executorch_coreml", OURS)
    assert _finder.__file__ is not None
    for name in ("_finder.py", "__init__.py"):
        shutil.copyfile(pathlib.Path(_finder.__file__).parent / name, root / "executorch_coreml" / name)
    return root


def run(places: list[pathlib.Path], *arguments: str, installed: bool = True) -> subprocess.CompletedProcess[str]:
    """Python with these folders; `installed`: with what the .pth file does when the interpreter starts."""
    start = f"import sys; sys.path[:0] = {[str(p) for p in places]!r}\n" + ("import executorch_coreml\n" if installed else "")
    if arguments[0] == "-m":
        program = f"import runpy\nsys.argv = {list(arguments[1:])!r}\nrunpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
    else:
        program = arguments[0]
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + program], capture_output=True, text=True, check=False, timeout=60
    )


def prints(places: list[pathlib.Path], *arguments: str) -> str:
    result = run(places, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def fails(places: list[pathlib.Path], program: str) -> str:
    """The last line of its traceback."""
    result = run(places, program)
    assert result.returncode == 1, result.stdout
    return result.stderr.strip().splitlines()[-1]


NAME = "executorch.backends.apple.coreml"


@pytest.mark.parametrize("first", ["executorch_coreml", NAME])
def test_both_names_are_one_module(places: list[pathlib.Path], first: str) -> None:
    second = NAME if first == "executorch_coreml" else "executorch_coreml"
    program = f"""
import importlib
for name in ("", ".partition", ".partition.part"):
    one, two = importlib.import_module({first!r} + name), importlib.import_module({second!r} + name)
    assert one is two, name
    assert one.__name__ == one.__spec__.name == "executorch_coreml" + name, (one.__name__, one.__spec__)
    assert sys.modules[{first!r} + name] is sys.modules[{second!r} + name]
import {NAME}.partition as documented
from {NAME} import partition
assert documented is partition and not hasattr(partition, "STOCK")
import {NAME}.partition
assert {NAME}.partition.part.VALUE is partition.VALUE
print("same")
"""
    assert prints(places, program) == "same"


def test_the_wheels_other_packages_are_the_wheels(places: list[pathlib.Path]) -> None:
    program = f"""
import executorch.version, executorch.backends.xnnpack, executorch.backends.apple.mps
print(executorch.version.__version__, executorch.backends.xnnpack.NAME, executorch.backends.apple.mps.NAME)
from {NAME}.test import tester
from {NAME} import partition
assert tester.__name__ == {NAME!r} + ".test.tester" and tester.VALUE is partition.VALUE
"""
    assert prints(places, program) == "1.5.1 xnnpack mps"


def test_below_a_package_of_ours_nothing_of_the_wheel_is_served(places: list[pathlib.Path]) -> None:
    assert (
        fails(places, f"import {NAME}.partition.only_stock")
        == f"ModuleNotFoundError: No module named '{NAME}.partition.only_stock'"
    )


def test_missing_names(places: list[pathlib.Path]) -> None:
    assert fails(places, f"import {NAME}.no_such") == f"ModuleNotFoundError: No module named '{NAME}.no_such'"
    assert fails(places, f"from {NAME} import no_such").startswith("ImportError: cannot import name 'no_such'")
    assert fails(places, "import executorch.no_such") == "ModuleNotFoundError: No module named 'executorch.no_such'"
    program = (
        f"import importlib.util\nprint([importlib.util.find_spec({NAME!r} + n) is None for n in ('.no_such', '.partition', '')])"
    )
    assert prints(places, program) == "[True, False, False]"
    # A name that only starts like ours is another's.
    assert fails(places, f"import {NAME}x") == f"ModuleNotFoundError: No module named '{NAME}x'"


@pytest.mark.parametrize("name", [NAME, "executorch_coreml"])
def test_an_import_that_raises_leaves_no_module(places: list[pathlib.Path], name: str) -> None:
    program = f"""
for _ in range(2):
    try:
        import {name}.broken
    except ValueError as error:
        print(error, [n for n in sys.modules if n.endswith(".broken")])
"""
    assert prints(places, program) == "broken when imported []\nbroken when imported []"


@pytest.mark.parametrize("name", [NAME, "executorch_coreml"])
def test_modules_run_as_programs(places: list[pathlib.Path], name: str) -> None:
    assert prints(places, "-m", f"{name}.program", "x", "y") == "ours x y"
    assert prints(places, "-m", f"{name}.tool") == "our package"


def test_sources_are_found(places: list[pathlib.Path]) -> None:
    program = f"""
import inspect
from {NAME} import partition
from {NAME}.partition import part
print(inspect.getsource(part).strip())
spec = __import__("importlib.util", fromlist=["x"]).find_spec({NAME!r} + ".program")
print(spec.origin == spec.loader.get_filename(spec.name), "__main__" in spec.loader.get_source(spec.name))
"""
    assert prints(places, program) == "VALUE = object()\nTrue True"


def test_without_an_executorch_wheel(tmp_path: pathlib.Path) -> None:
    places = [ours(tmp_path)]
    program = f"""
from {NAME}.partition import VALUE
import executorch_coreml.partition
assert executorch_coreml.partition.VALUE is VALUE
print("ours")
"""
    assert prints(places, program) == "ours"
    assert fails(places, "import executorch.runtime") == "ModuleNotFoundError: No module named 'executorch.runtime'"
    assert fails(places, f"import {NAME}.test") == f"ModuleNotFoundError: No module named '{NAME}.test'"


def test_a_wheel_installed_after_the_process_started_is_found(tmp_path: pathlib.Path) -> None:
    places = [ours(tmp_path), tmp_path / "wheel"]
    places[1].mkdir()
    program = f"""
import pathlib, importlib
folder = pathlib.Path({str(places[1])!r}) / "executorch"
folder.mkdir()
(folder / "version.py").write_text("VERSION = 1\\n")
importlib.invalidate_caches()
import executorch.version
print(executorch.version.VERSION)
"""
    assert prints(places, program) == "1"


def test_without_its_pth_file_the_wheels_modules_are_served(places: list[pathlib.Path]) -> None:
    """What tells that the tests above would fail without the finder."""
    result = run(places, f"from {NAME} import partition\nprint(partition.STOCK)", installed=False)
    assert result.stdout.strip() == "True", result.stderr


def test_installing_twice_adds_nothing(places: list[pathlib.Path]) -> None:
    program = """
from executorch_coreml import _finder
before = list(sys.meta_path)
_finder.install()
print(sys.meta_path == before, [type(f).__name__ for f in before].count("Finder"), sys.meta_path[0].__class__.__name__)
"""
    assert prints(places, program) == "True 1 Finder"


def test_threads_import_both_names_at_once(places: list[pathlib.Path]) -> None:
    program = f"""
import importlib, threading
names = [{NAME!r} + ".slow", "executorch_coreml.slow"] * 8
start = threading.Barrier(len(names))
found = []
def work(name):
    start.wait()
    found.append(importlib.import_module(name))
threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join(30)
assert not any(thread.is_alive() for thread in threads), "deadlock"
from executorch_coreml import counter
print(len(found), len(set(map(id, found))), counter.runs, all(hasattr(m, "VALUE") for m in found))
"""
    assert prints(places, program) == "16 1 ['executorch_coreml.slow'] True"


def test_starting_imports_only_what_python_has_imported_already(places: list[pathlib.Path]) -> None:
    """The .pth file runs in every process: it must cost nothing."""
    program = """
before = set(sys.modules)
import executorch_coreml
print(sorted(set(sys.modules) - before))
"""
    result = run(places, program, installed=False)
    assert result.stdout.strip() == "['__future__', 'executorch_coreml', 'executorch_coreml._finder']", (
        result.stdout + result.stderr
    )
