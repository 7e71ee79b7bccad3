"""The wheel: what is in it, and what it does in an environment that has nothing else of this workspace."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator

import pytest

from dist import build_wheel, elf, venvs

ROOT = pathlib.Path(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"])
# With --config=full the real wheel, else one with libraries as the build around this test has them.
(WHEEL,) = (ROOT / "dist").glob("wheel*/*.whl")
IS_REAL = WHEEL.parent.name == "wheel"
DATA = ROOT / "runtime/engine/cts/testdata"
APP = ROOT / "dist/testdata/app"


@pytest.fixture(scope="module")
def archive() -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(WHEEL) as opened:
        yield opened


def test_nothing_lies_where_the_executorch_wheel_has_files(archive: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"executorch_coreml", "executorch_coreml.pth", "executorch_coreml-0.1.0.dist-info"}


def test_it_is_small_and_its_record_is_true(archive: zipfile.ZipFile) -> None:
    assert WHEEL.stat().st_size <= build_wheel.MOST_BYTES * (1 if IS_REAL else 2)
    print(f"{WHEEL.name}: {WHEEL.stat().st_size / 1e6:.2f} MB")
    rows = list(csv.reader(io.StringIO(archive.read("executorch_coreml-0.1.0.dist-info/RECORD").decode())))
    assert sorted(row[0] for row in rows) == sorted(archive.namelist())
    for name, digest, size in rows[:-1]:
        content = archive.read(name)
        assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode(), name
        assert int(size) == len(content)


def test_the_same_files_give_the_same_bytes(archive: zipfile.ZipFile) -> None:
    files = {name: archive.read(name) for name in reversed(archive.namelist())}
    assert build_wheel.wheel_bytes(files) == WHEEL.read_bytes()
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_libraries_need_only_what_pip_and_every_linux_have(archive: zipfile.ZipFile) -> None:
    names = [name for name in archive.namelist() if name.startswith(build_wheel.LIB)]
    assert {name.rpartition("/")[2] for name in names} >= {*build_wheel.PROGRAMS, "libcoreml_engine.so", "libcoremldelegate.so"}
    for name in names:
        content = archive.read(name)
        library = elf.Elf(content)
        of_this_machine = [n for n in library.needed() if n.startswith(("libprotobuf.", "libsqlite"))]
        if IS_REAL:
            assert not of_this_machine, name
        build_wheel.check_library(name, content, ["libprotobuf-lite.so.32", *of_this_machine])
        assert library.runpath() in ([], [build_wheel.RUNPATH]), name
        assert bool(library.runpath()) == any("openvino" in n or "executorch" in n for n in library.needed()), name
        # Stripped.
        assert not [section for section in (b".symtab\0", b".debug_info\0") if section in content], name


def test_an_elf_file_that_does_not_fit_is_refused(archive: zipfile.ZipFile) -> None:
    content = archive.read(build_wheel.LIB + "libcoreml_blob.so")
    for damaged in (b"", content[:4], b"\x7fELF\x02\x01" + bytes(200), b"#!/bin/sh\n" + bytes(100)):
        with pytest.raises(ValueError, match=r"ELF file|no dynamic section"):
            elf.Elf(damaged)
    with pytest.raises(SystemExit, match=r"needs libfoo\.so\.1"):
        build_wheel.check_library("x.so", content.replace(b"libstdc++.so.6\0", b"libfoo.so.1\0\0\0\0"))
    newest = max((v for v in elf.Elf(content).needed_versions() if re.fullmatch(r"GLIBC_2\.\d\d", v)), key=lambda v: int(v[8:]))
    with pytest.raises(SystemExit, match=r"GLIBC_2\.99, newer than GLIBC_2\.35"):
        build_wheel.check_library("x.so", content.replace(newest.encode() + b"\0", b"GLIBC_2.99\0"))


def test_a_runpath_that_has_no_room_is_refused(archive: zipfile.ZipFile) -> None:
    content = archive.read(build_wheel.LIB + "libcoreml_engine.so")
    with pytest.raises(ValueError, match="no room"):
        elf.with_runpath(content, "$ORIGIN/" + "x" * 1000)
    assert elf.Elf(elf.with_runpath(content, "$ORIGIN/y")).runpath() == ["$ORIGIN/y"]


# --- In an environment. ---


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> venvs.Venv:
    """One with everything, as after `pip install executorch==1.5.1 WHEEL`."""
    made = venvs.Venv(tmp_path_factory.mktemp("all") / "venv")
    made.link()
    made.install(WHEEL)
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> venvs.Venv:
    """One with neither torch nor ExecuTorch."""
    made = venvs.Venv(tmp_path_factory.mktemp("small") / "venv")
    made.link("numpy", "openvino", "flatbuffers", "rich", "markdown_it_py", "mdurl", "pygments")
    made.install(WHEEL)
    return made


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model package as files: in Bazel's runfiles they are links, which are refused."""
    target = tmp_path_factory.mktemp("package") / "add.mlpackage"
    shutil.copytree(DATA / "add.mlpackage", target)
    return target


def test_predict_without_torch_and_executorch(small: venvs.Venv, package: pathlib.Path) -> None:
    for name in ("executorch_coreml.engine", "executorch.backends.apple.coreml.engine", "executorch.backends.apple.coreml.runtime"):
        program = f"""
import sys
import numpy as np
from {name} import MLModel
model = MLModel({str(package)!r})
x = np.arange(6, dtype=np.float32).reshape(2, 3)
print(model.predict({{"x": x, "y": x}})["sum"].tolist())
helped = MLModel({str(package)!r}, compile_helper=True)
print(helped.predict({{"x": x, "y": x}})["sum"].tolist())
assert "torch" not in sys.modules
"""
        assert small.python_prints(program) == "[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]\n[[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]", name
    done = small.run("python", "-c", "from executorch.backends.apple.coreml import runtime; runtime.set_options(threads=1)")
    assert done.returncode == 1
    assert "ExecuTorch's Python runtime, which cannot be imported" in done.stderr.splitlines()[-1]
    assert "pip install executorch==1.5.1" in done.stderr.splitlines()[-1]


def test_the_command_line_is_there_at_once(venv: venvs.Venv) -> None:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        done = venv.run("coreml", "--help")
        times.append(time.perf_counter() - began)
        assert done.returncode == 0
        assert "verify" in done.stdout
    print(f"coreml --help: {min(times):.3f} s")
    assert min(times) < 0.5


# ExecuTorch's introduction to Core ML, whose weights are random here: nothing is downloaded.
SNIPPET = """
import torch
import torchvision.models as models
from torchvision.models.mobilenetv2 import MobileNet_V2_Weights
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower

mobilenet_v2 = models.mobilenetv2.mobilenet_v2(weights=MobileNet_V2_Weights.DEFAULT).eval()
sample_inputs = (torch.randn(1, 3, 224, 224), )

et_program = to_edge_transform_and_lower(
    torch.export.export(mobilenet_v2, sample_inputs),
    partitioner=[CoreMLPartitioner()],
).to_executorch()

with open("mv2_coreml.pte", "wb") as file:
    et_program.write_to_file(file)
"""
BEFORE = """
import sys, types
sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
import torch, torchvision.models.mobilenetv2 as mobilenetv2
torch.manual_seed(0)
network = mobilenetv2.mobilenet_v2(weights=None)
with torch.no_grad():
    for _ in range(3):
        network(torch.randn(4, 3, 96, 96))
weights = network.eval().state_dict()
mobilenetv2.MobileNet_V2_Weights.get_state_dict = lambda *args, **kwargs: weights
"""
AFTER = """
from executorch.runtime import Runtime
with torch.no_grad():
    expected = mobilenet_v2(*sample_inputs)
actual = Runtime.get().load_program("mv2_coreml.pte").load_method("forward").execute(sample_inputs)[0]
print(float((actual - expected).norm() / expected.norm()) < 5e-3)
"""


def test_executorchs_introduction_runs_verbatim(venv: venvs.Venv, tmp_path: pathlib.Path) -> None:
    (tmp_path / "snippet.py").write_text(BEFORE + SNIPPET + AFTER)
    done = venv.run("python", "snippet.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"


MODEL = """
import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 4)
    def forward(self, x):
        return torch.relu(self.layer(x))
def make():
    return Model().eval()
def inputs():
    return (torch.ones(2, 8),)
"""
LOWER = """
import model, torch
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower
torch.export.save(torch.export.export(model.make(), model.inputs()), "model.pt2")
program = to_edge_transform_and_lower(torch.export.export(model.make(), model.inputs()), partitioner=[CoreMLPartitioner()])
open("model.pte", "wb").write(program.to_executorch().buffer)
"""


@pytest.fixture(scope="module")
def program(venv: venvs.Venv, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("program")
    (folder / "model.py").write_text(MODEL)
    (folder / "lower.py").write_text(LOWER)
    done = venv.run("python", "lower.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "model.pte"


def test_coreml_verify(venv: venvs.Venv, program: pathlib.Path) -> None:
    done = venv.run("coreml", "verify", program, "--reference", "model.pt2", "--json", cwd=program.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)
    # Another model's reference is a miss.
    other = "import model, torch; m = model.make(); torch.nn.init.ones_(m.layer.weight); torch.export.save(torch.export.export(m, model.inputs()), 'o.pt2')"
    assert venv.run("python", "-c", other, cwd=program.parent, PYTHONPATH=str(program.parent)).returncode == 0
    assert venv.run("coreml", "verify", program, "--reference", "o.pt2", cwd=program.parent).returncode == 3


def test_coreml_runner_and_cache(venv: venvs.Venv, program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = venv.run("coreml_runner", f"--model_path={program}")
    assert done.returncode == 0, done.stdout + done.stderr
    cached = "import executorch.backends.apple.coreml.runtime as r; r.set_options(cache_dir='cache'); print(r.prewarm('model.pte').compilations)"
    done = venv.run("python", "-c", cached, cwd=program.parent)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    done = venv.run("coreml-cache", "list", "cache", cwd=program.parent)
    assert done.returncode == 0, done.stderr
    assert "portable" in done.stdout


def test_an_app_of_cmake_links_and_runs(venv: venvs.Venv, program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    if shutil.which("cmake") is None:
        pytest.fail("cmake is not installed. Debian: apt-get install cmake")
    build = tmp_path / "build"
    packages = [
        f"-Dexecutorch_DIR={venv.site}/executorch/share/cmake",
        f"-Dcoreml_delegate_DIR={venv.site}/executorch_coreml/share/cmake",
    ]
    for command in (["cmake", "-S", APP, "-B", build, *packages], ["cmake", "--build", build], [build / "app", program]):
        done = subprocess.run(
            [os.fspath(word) for word in command], capture_output=True, text=True, check=False, env=venv.environment()
        )
        assert done.returncode == 0, done.stdout + done.stderr
    expected = "import model, torch; print(*(f'{v:.4f}' for v in model.make()(*model.inputs()).flatten().tolist()))"
    reference = venv.run("python", "-c", expected, cwd=program.parent, PYTHONPATH=str(program.parent))
    actual, wanted = ([float(v) for v in text.split()] for text in (done.stdout, reference.stdout))
    assert len(wanted) == 8
    assert actual == pytest.approx(wanted, abs=2e-3)
    assert max(wanted) > 0.1


# --- What is wrong with an installation is one sentence. ---


def warning_of(venv: venvs.Venv, program: str = "import executorch.runtime", **variables: str) -> str:
    """What `program`, which succeeds, writes to standard error."""
    done = venv.run("python", "-W", "ignore", "-c", program, **variables)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "Core ML" in line]
    assert len(lines) == 1, done.stderr
    return lines[0]


def error_of(venv: venvs.Venv, program: str, **variables: str) -> str:
    done = venv.run("python", "-W", "ignore", "-c", program, **variables)
    assert done.returncode == 1, done.stdout
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture
def bare(tmp_path: pathlib.Path) -> venvs.Venv:
    made = venvs.Venv(tmp_path / "venv")
    made.link("numpy")
    made.install(WHEEL)
    return made


def test_a_missing_openvino(bare: venvs.Venv) -> None:
    expected = "libcoreml_engine.so needs the package openvino, which is not installed: pip install openvino==2026.4.1"
    assert error_of(bare, "from executorch_coreml.engine import MLModel") == f"ImportError: {expected}"
    # What needs no engine works.
    done = bare.run("coreml-cache", "nonsense")
    assert done.returncode == 2
    assert "usage: coreml-cache" in done.stderr


def test_another_openvino(bare: venvs.Venv) -> None:
    (bare.site / "openvino/libs").mkdir(parents=True)
    (bare.site / "openvino/__init__.py").write_text("")
    (bare.site / "openvino/libs/libopenvino.so.2510").write_bytes(b"")
    (bare.site / "openvino-2025.1.0.dist-info").mkdir()
    (bare.site / "openvino-2025.1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: openvino\nVersion: 2025.1.0\n")
    found = error_of(bare, "from executorch_coreml.engine import MLModel")
    assert found.startswith("ImportError: libcoreml_engine.so needs openvino 2026.4.1, and 2025.1.0 is installed in ")
    assert found.endswith("pip install openvino==2026.4.1")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by libcoreml_engine.so)",
            "libcoreml_engine.so needs GLIBC_2.34, which this system's C library lacks: use a system as new as Ubuntu 22.04 or Debian 12",
        ),
        (
            "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by libcoreml_engine.so)",
            "libcoreml_engine.so is built for glibc, and this system has another C library (musl?)",
        ),
        (
            "libcoreml_engine.so: undefined symbol: _ZN10executorch7runtime16register_backendERKNS0_7BackendE",
            "libcoreml_engine.so does not fit the executorch package that is installed",
        ),
    ],
)
def test_loader_errors_of_other_systems(small: venvs.Venv, error: str, sentence: str) -> None:
    program = f"""
import ctypes
def refuse(path, *args, **kwargs):
    raise OSError({error!r})
ctypes.CDLL = refuse
from executorch_coreml.engine import MLModel
"""
    assert error_of(small, program).startswith(f"ImportError: {sentence}")


def fake(venv: venvs.Venv, version: str, folder: pathlib.Path) -> str:
    info = folder / f"executorch-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: executorch\nVersion: {version}\n")
    return str(folder)


def test_another_executorch_is_a_warning_and_an_error(venv: venvs.Venv, tmp_path: pathlib.Path) -> None:
    # The first on the path is the one that counts; here it is the only one.
    program = """
import importlib.metadata as metadata
real = metadata.distributions
class Other:
    version = "1.4.0"
metadata.distributions = lambda **kwargs: [Other()] if kwargs.get("name") == "executorch" else real(**kwargs)
"""
    expected = "the Core ML delegate is compiled for executorch 1.5.1, and 1.4.0 is installed: pip install executorch==1.5.1"
    assert warning_of(venv, program + "import executorch.runtime").endswith("cannot run in this process: " + expected)
    assert error_of(venv, program + "import executorch.backends.apple.coreml.runtime") == f"ImportError: {expected}"


def test_two_executorchs_on_the_path(venv: venvs.Venv, tmp_path: pathlib.Path) -> None:
    found = error_of(venv, "import executorch.backends.apple.coreml.runtime", PYTHONPATH=fake(venv, "1.4.0", tmp_path / "other"))
    assert found.startswith("ImportError: executorch is on the path several times, as 1.4.0 and 1.5.1: uninstall all but 1.5.1")


def test_two_copies_of_this_package(venv: venvs.Venv, tmp_path: pathlib.Path) -> None:
    shutil.copytree(
        venv.site / "executorch_coreml", tmp_path / "executorch_coreml", ignore=shutil.ignore_patterns("lib", "__pycache__")
    )
    (tmp_path / "executorch_coreml/lib").symlink_to(venv.site / "executorch_coreml/lib")
    done = venv.run("python", "-W", "ignore", "-c", "import executorch_coreml.engine.ml_model", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (found,) = done.stderr.splitlines()
    used, other = (tmp_path / "executorch_coreml").resolve(), (venv.site / "executorch_coreml").resolve()
    assert found == f"executorch_coreml is on the path twice: {used} is used, not {other}; uninstall one of them"


# --- Files of others. ---


def stock_wheel(folder: pathlib.Path, version: str) -> pathlib.Path:
    """The executorch wheel's Core ML files, and some others, as a wheel of their own."""
    (site,) = [p for p in venvs.locked_packages() if (p / "executorch").is_dir()]
    names = [p for p in (site / "executorch/backends/apple").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    names += [site / "executorch/backends/__init__.py", site / "executorch/runtime/__init__.py"]
    files = {p.relative_to(site).as_posix(): p.read_bytes() for p in names}
    # So that versions differ.
    files["executorch/backends/apple/coreml/logging.py"] += f"# {version}\n".encode()
    info = f"executorch-{version}.dist-info/"
    files[info + "METADATA"] = f"Metadata-Version: 2.1\nName: executorch\nVersion: {version}\n".encode()
    files[info + "WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[info + "RECORD"] = build_wheel.record(files, info + "RECORD")
    path = folder / f"executorch-{version}-py3-none-any.whl"
    path.write_bytes(build_wheel.wheel_bytes(files))
    return path


def stock_files(venv: venvs.Venv) -> dict[str, bytes]:
    root = venv.site / "executorch"
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()} if root.exists() else {}


def test_installing_in_any_order_leaves_executorchs_files_as_they_are(tmp_path: pathlib.Path) -> None:
    old, new = (stock_wheel(tmp_path, version) for version in ("1.5.0", "1.5.1"))
    reference = {}
    for wheel in (old, new):
        alone = venvs.Venv(tmp_path / f"alone{wheel.name[11:16]}")
        alone.install(wheel)
        reference[wheel] = stock_files(alone)
        assert len(reference[wheel]) > 20
    assert reference[old] != reference[new]

    venv = venvs.Venv(tmp_path / "venv")
    present = None
    ours = venv.site / "executorch_coreml/_finder.py"
    steps: list[tuple[str, pathlib.Path | None]] = [
        ("ours", WHEEL), ("theirs", old), ("theirs", new), ("ours", None), ("ours", WHEEL),
        ("ours", WHEEL), ("theirs", old), ("theirs", None), ("theirs", new), ("ours", None), ("theirs", None),
    ]  # fmt: skip
    for what, wheel in steps:
        if wheel is None:
            venv.pip("uninstall", "--yes", "executorch-coreml" if what == "ours" else "executorch")
        else:
            venv.pip("install", "--no-deps", "--no-index", "--no-compile", "--force-reinstall", wheel)
        if what == "theirs":
            present = wheel
        assert stock_files(venv) == (reference[present] if present else {}), (what, wheel)
        if what == "ours":
            assert ours.exists() == (wheel is not None)
        assert (venv.site / "executorch_coreml.pth").exists() == ours.exists()
    assert not [p for p in venv.site.rglob("*") if p.is_file()]


def test_what_stays_after_uninstalling_is_the_stock_package(tmp_path: pathlib.Path) -> None:
    venv = venvs.Venv(tmp_path / "venv")
    venv.install(stock_wheel(tmp_path, "1.5.1"), WHEEL)
    program = "import executorch.backends.apple.coreml.logging as l; print(l.__name__)"
    assert venv.python_prints(program) == "executorch_coreml.logging"
    venv.pip("uninstall", "--yes", "executorch-coreml")
    assert venv.python_prints(program) == "executorch.backends.apple.coreml.logging"


def test_starting_python_costs_nothing(venv: venvs.Venv) -> None:
    program = "import sys; print(sorted(m for m in sys.modules if m.startswith(('executorch', 'torch', 'openvino', 'numpy'))))"
    assert venv.python_prints(program) == "['executorch_coreml', 'executorch_coreml._finder']"
