"""coreml_runner where what it writes could cost what it reads, where disks are full, and on arrays made to do harm."""

from __future__ import annotations

import os
import pathlib
import resource
import shutil
import subprocess

import numpy as np
import pytest

RUNNER = pathlib.Path("runtime/coreml_runner").resolve()
STOCK = pathlib.Path("tests/end_to_end/testdata/stock_sin.pte")


@pytest.fixture
def model(tmp_path) -> pathlib.Path:
    """A copy that may be lost."""
    return pathlib.Path(shutil.copy(STOCK, tmp_path / "model.pte"))


def refusal(*words: object, code: int = 1, **more: object) -> str:
    """The error, which is one line."""
    done = subprocess.run([RUNNER, *map(str, words)], capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("coreml_runner: ")
    return line


def test_what_is_read_is_not_written_over(model, tmp_path) -> None:
    (tmp_path / "link").symlink_to(model)
    os.link(model, tmp_path / "y0.npy")
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    trace = tmp_path / "trace.etdump"
    for words in (
        ["--etdump", model],
        ["--etdump", tmp_path / "link"],
        ["--etdump", trace, "--debug-buffer", model],
        ["--etdump", trace, "--input", tmp_path / "x.npy", "--debug-buffer", tmp_path / "x.npy"],
        # Another name of the model.
        ["--output", tmp_path / "y"],
    ):
        assert "the run reads this file: name another file to write" in refusal(model, *words)
    assert "two files: use two names" in refusal(model, "--etdump", trace, "--debug-buffer", trace, code=2)
    assert "the path is a folder" in refusal(model, "--etdump", tmp_path)
    # A rename onto it would take the device away from everybody.
    assert "not a regular file" in refusal(model, "--etdump", "/dev/null")
    assert pathlib.Path("/dev/null").is_char_device()
    assert model.read_bytes() == STOCK.read_bytes()
    assert np.load(tmp_path / "x.npy").sum() == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "model.pte", "x.npy", "y0.npy"]


def test_a_full_disk_leaves_nothing_and_loses_nothing(model, tmp_path) -> None:
    (tmp_path / "y0.npy").write_text("earlier")
    (tmp_path / "values").write_text("earlier")
    before = sorted(tmp_path.iterdir())

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))

    trace = tmp_path / "trace"
    for words in (["--output", tmp_path / "y"], ["--etdump", trace], ["--etdump", trace, "--debug-buffer", tmp_path / "values"]):
        line = refusal(model, *words, preexec_fn=full)
        assert "File too large" in line
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "y0.npy").read_text() == (tmp_path / "values").read_text() == "earlier"
    with open("/dev/full", "w") as sink:
        done = subprocess.run([RUNNER, model], stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "could not be written to standard output: No space left on device" in done.stderr


def npy(path: pathlib.Path, header: str, elements: bytes = b"") -> pathlib.Path:
    text = header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + elements)
    return path


def test_arrays_that_cannot_be(model, tmp_path) -> None:
    begin = "{'descr': '<f4', 'fortran_order': False, 'shape': "
    for shape, words in (
        ("(1000000000, 1000000000)", "cut short"),
        ("(2147483647, 2147483647, 2147483647)", "cut short"),
        ("(0, 4294967299)", "shape in the .npy file cannot be read"),
        ("(-1, 3)", "shape in the .npy file cannot be read"),
        ("(2, 3", "shape in the .npy file cannot be read"),
        ("2", "shape in the .npy file cannot be read"),
    ):
        assert words in refusal(model, "--input", npy(tmp_path / "x.npy", f"{begin}{shape}, }}"))
    assert "elements of type |O" in refusal(
        model, "--input", npy(tmp_path / "x.npy", "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", bytes(48))
    )
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")
    assert "cut short" in refusal(model, "--input", tmp_path / "x.npy")
    os.mkfifo(tmp_path / "fifo")
    for words in ([tmp_path / "fifo"], [model, "--input", tmp_path / "fifo"]):
        assert "not a regular file" in refusal(*words, timeout=60)
