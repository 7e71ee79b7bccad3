"""Files that somebody made to do harm, disks that are full, output that nobody reads, Ctrl-C."""

from __future__ import annotations

import contextlib
import html.parser
import io
import json
import os
import pathlib
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import tracemalloc
import zipfile

import hostile_texts
import numpy as np
import program_surgery
import pytest
import torch
from executorch.backends.apple.coreml.sdk import command_line, files, program_file, report, verify_reference
from executorch.backends.apple.coreml.sdk.errors import ToolError
from executorch.backends.apple.coreml.sdk.report import numbers, plots

PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
OURS = PROGRAMS / "sin_float32.pte"
STOCK = PROGRAMS / "stock_sin.pte"
# Bazel's runfiles are links; packages with links inside are refused.
PACKAGES = pathlib.Path("runtime/engine/cts/testdata/add.mlpackage/Manifest.json").resolve().parents[1]


@pytest.fixture
def refusal(coreml):
    """The one line that a command says instead of doing its work."""

    def run(*arguments: object) -> str:
        code, out, err = coreml(*arguments)
        assert (code, out) == (1, "")
        return err.splitlines()[-1]

    return run


@pytest.fixture
def model(tmp_path) -> pathlib.Path:
    """A copy that may be lost."""
    return pathlib.Path(shutil.copy(OURS, tmp_path / "model.pte"))


# --- arrays ---


def npy(path: pathlib.Path, header: str, elements: bytes = b"") -> pathlib.Path:
    text = header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + elements)
    return path


class Evil:
    """What runs when it is unpickled."""

    def __init__(self, marker: pathlib.Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return pathlib.Path.touch, (self.marker,)


def test_arrays_that_cannot_be(refusal, tmp_path) -> None:
    np.savez(tmp_path / "several.npy.npz", np.ones(1, np.float32))
    (tmp_path / "several.npy.npz").rename(tmp_path / "several.npy")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04" + bytes(50))
    npy(tmp_path / "huge.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }")
    npy(tmp_path / "negative.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", b"1234")
    marker = tmp_path / "pickled"
    np.save(tmp_path / "object.npy", np.array([Evil(marker)], dtype=object), allow_pickle=True)
    for name, words in (
        ("several", "holds several arrays"),
        ("empty", "EOFError"),
        ("zip", "BadZipFile"),
        ("huge", "MemoryError"),
        ("negative", "Failed to read all data"),
        ("object", "Object arrays cannot be loaded"),
    ):
        line = refusal("run", OURS, "--input", f"0={tmp_path / name}.npy")
        assert words in line
        assert f"{name}.npy" in line
    assert not marker.exists()


def test_integers_are_not_wrapped_around() -> None:
    from executorch.backends.apple.coreml.sdk import running

    assert running._choose({"0": ((1,), np.dtype(np.int32))}, {"0": np.int64([7])}, 0, OURS)[0]["0"].tolist() == [7]
    with pytest.raises(ToolError, match="which cannot hold all of the given numbers"):
        running._choose({"0": ((1,), np.dtype(np.int32))}, {"0": np.int64([2**40])}, 0, OURS)


def test_an_input_is_given_once(refusal, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.float32([1]))
    given = ("--input", f"0={tmp_path / 'x.npy'}")
    assert "--input 0 is given twice" in refusal("run", OURS, *given, *given)


def test_an_archive_that_unpacks_to_more_than_the_memory_is_not_unpacked(refusal, tmp_path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(300):
            archive.writestr(f"arr_{index}.npy", b"x")
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        # The size of the member, in the archive's directory: 4 GB each.
        content[at + 24 : at + 28] = b"\xf0\xff\xff\xff"
        at = content.find(b"PK\x01\x02", at + 4)
    path.write_bytes(content)
    assert "more than this machine's memory" in refusal("verify", OURS, "--reference", path, "--input", "0=x.npy")


def test_a_saved_program_is_not_unpickled(tmp_path, refusal) -> None:
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.ones(2),)), tmp_path / "good.pt2")
    assert verify_reference.load(str(tmp_path / "good.pt2")).example_inputs()[0].tolist() == [1, 1]  # type: ignore[index]
    marker = tmp_path / "pickled"
    evil = io.BytesIO()
    torch.save((Evil(marker),), evil)
    torch.load(io.BytesIO(evil.getvalue()), weights_only=False)
    assert marker.exists()  # So it does harm where nobody prevents it.
    marker.unlink()
    with zipfile.ZipFile(tmp_path / "good.pt2") as source, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as target:
        replaced = 0
        for name in source.namelist():
            is_inputs = "sample_inputs" in name
            replaced += is_inputs
            target.writestr(name, evil.getvalue() if is_inputs else source.read(name))
    assert replaced == 1
    assert "cannot be loaded as a program" in refusal("verify", OURS, "--reference", tmp_path / "evil.pt2")
    assert not marker.exists()
    with verify_reference._nothing_unpickled(), pytest.raises(pickle.UnpicklingError, match="Python objects"):
        pickle.loads(pickle.dumps(Evil(marker)))
    assert not marker.exists()
    pickle.loads(pickle.dumps(Evil(marker)))  # Others may go on.
    assert marker.exists()


# --- names in a program ---


def test_a_method_does_not_say_where_its_model_goes(coreml, tmp_path) -> None:
    for index, name in enumerate(("../../escaped", str(tmp_path / "absolute"), "..", "", "a\x00b", "x" * 300)):
        path = program_surgery.with_method_name(OURS, tmp_path / "model.pte", name)
        folder = tmp_path / "deep" / "er" / str(index)
        code, out, err = coreml("extract", path, "-o", folder, "--json")
        assert code == 0, err
        (item,) = json.loads(out)
        assert pathlib.Path(item["path"]).parent == folder
        (written,) = folder.iterdir()
        assert (written / "Manifest.json").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "model.pte"]


def test_names_do_not_reach_the_terminal_as_commands(coreml, tmp_path) -> None:
    # Rename the window, clear the screen, turn the direction of writing.
    path = program_surgery.with_method_name(OURS, tmp_path / "model.pte", "f\x1b]0;owned\x07\x1b[2J\u202e\x9b\n")
    code, out, err = coreml("inspect", path)
    assert code == 0
    assert "\\x1b]0;owned\\x07\\x1b[2J\\u202e\\x9b" in out
    code, _, err = coreml("run", path)
    assert code == 1
    assert all(c.isprintable() or c == "\n" for c in out + err)


def test_parts_that_do_not_fit_together(refusal, tmp_path) -> None:
    file = program_file.read_pte(OURS)
    file.program.execution_plan[0].delegates[0].processed.index = 7
    with pytest.raises(ToolError, match="its parts do not fit together"):
        program_file.of_pte(file, OURS, 1)
    file = program_file.read_pte(OURS)
    file.program.execution_plan[0].inputs = [99]
    with pytest.raises(ToolError, match="its parts do not fit together"):
        program_file.of_pte(file, OURS, 1)
    assert "not a regular file" in refusal("inspect", "/dev/null")
    os.mkfifo(tmp_path / "fifo.pte")
    for command in ("inspect", "run", "extract"):
        assert "not a regular file" in refusal(command, tmp_path / "fifo.pte")


def test_packages_that_are_damaged(refusal, tmp_path) -> None:
    package = tmp_path / "add.mlpackage"
    shutil.copytree(PACKAGES / "add.mlpackage", package)
    specification = package / "Data" / "com.apple.CoreML" / "model.mlmodel"
    whole = specification.read_bytes()
    for content, words in ((b"", "its model is empty"), (whole[: len(whole) // 2], "cannot be read as a model package")):
        specification.write_bytes(content)
        assert words in refusal("inspect", package)
        assert "cannot be run" in refusal("run", package)
    specification.write_bytes(whole)
    (package / "Manifest.json").write_text("[" * 100_000)
    assert "cannot be read as a model package" in refusal("inspect", package)
    assert "cannot be run" in refusal("run", package)


def test_a_file_is_in_memory_once(tmp_path) -> None:
    """And once as pages of the file, which the system can take back: ExecuTorch's reader alone holds three copies."""
    size = 64 << 20

    def edit(file) -> None:
        file.program.backend_delegate_data[0].data = bytes(size)

    path = program_surgery.change(OURS, tmp_path / "large.pte", edit)
    tracemalloc.start()
    try:
        assert len(program_file.open_program(path).delegates()[0].processed) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size


def test_file_names_that_are_not_utf8(coreml, refusal, tmp_path) -> None:
    path = shutil.copy(OURS, os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pte"))
    code, out, _ = coreml("inspect", path)
    assert code == 0
    assert "\\udcff.pte" in out
    assert "its name is not UTF-8: rename it" in refusal("report", path, "-o", tmp_path / "r.html")


# --- the page ---


class Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        assert not any(name.startswith("on") for name, _ in attrs)


@pytest.fixture(scope="module")
def document() -> dict:
    return report.collect(OURS, settings=report.Settings(executions=1))


def test_no_text_of_a_model_becomes_part_of_the_page(document, tmp_path) -> None:
    text = report.to_html(hostile_texts.attacked(document))
    found = Tags(text).count
    assert "img" not in found
    assert found["script"] == 2
    assert json.loads(text.split('id="data">')[1].split("</script>")[0])["file"]["name"] == hostile_texts.ATTACK
    # Were one text not escaped, its script would not run.
    policy = text.split('http-equiv="Content-Security-Policy" content="')[1].split('"')[0]
    assert "default-src 'none'; script-src 'sha256-" in policy
    assert plots.write(hostile_texts.attacked(document), tmp_path)


def test_names_with_dots_are_found_in_the_json() -> None:
    document = {"time": {"loading": {"load a.b%2E": 0.5}}}
    assert numbers.at(document, f"time.loading.{numbers.key('load a.b%2E')}") == 0.5


def test_an_earlier_report_that_was_changed(refusal, document, tmp_path) -> None:
    path = tmp_path / "earlier.json"
    changes = (
        {"report": 1},
        [],
        {**document, "report": 2},
        {**document, "operations": [1]},
        {**document, "operations": [{**document["operations"][0], "seconds": "fast"}]},
        {**document, "summary": {**document["summary"], "p50_seconds": float("nan")}},
        {**document, "summary": {**document["summary"], "p50_seconds": 10**400}},
        {**document, "file": None},
    )
    for change in changes:
        path.write_text(json.dumps(change))
        assert "is not a report of this version" in refusal("report", OURS, "-o", tmp_path / "r.html", "--compare", path)
    path.write_text("[" * 200_000)
    assert "cannot be read" in refusal("report", OURS, "-o", tmp_path / "r.html", "--compare", path)
    path.write_bytes(b"\xff")
    assert "cannot be read" in refusal("report", OURS, "-o", tmp_path / "r.html", "--compare", path)
    assert "not a partitioner's report" in refusal("report", OURS, "-o", tmp_path / "r.html", "--partition-report", path)
    assert not (tmp_path / "r.html").exists()


# --- what is written ---


def test_what_is_read_is_not_written_over(refusal, model, tmp_path) -> None:
    before = model.read_bytes()
    (tmp_path / "link.pte").symlink_to(model)
    os.link(model, tmp_path / "second.pte")
    np.save(tmp_path / "x.npy", np.float32([1]))
    os.link(tmp_path / "x.npy", tmp_path / "x.npz")
    for target in (model, tmp_path / "link.pte", tmp_path / "second.pte"):
        assert "is, or is part of, something that is read" in refusal("report", model, "-o", target)
        assert "already exists" in refusal("convert", model, "-o", target)
    save = ("run", model, "--input", f"0={tmp_path / 'x.npy'}", "--save")
    assert "something that is read" in refusal(*save, tmp_path / "x.npz")
    assert "does not end in .npz" in refusal(*save, model)
    other = pathlib.Path(shutil.copy(STOCK, tmp_path / "other.pte"))
    assert "is not an HTML page" in refusal("report", model, "-o", other)
    assert "forward_0.mlpackage cannot be written" in refusal("extract", model, "-o", model)
    package = tmp_path / "add.mlpackage"
    shutil.copytree(PACKAGES / "add.mlpackage", package)
    assert "part of, something that is read" in refusal("report", package, "-o", package / "Manifest.json")
    assert model.read_bytes() == before
    assert other.read_bytes() == STOCK.read_bytes()


def test_a_full_disk_leaves_nothing_and_loses_nothing(coreml, refusal, document, tmp_path) -> None:
    (tmp_path / "page.html").write_text("<!doctype html>earlier")
    (tmp_path / "out.npz").write_text("earlier")
    before = sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a full disk, an error of write().
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        lines = [
            refusal("run", OURS, "--save", tmp_path / "out.npz"),
            refusal("extract", OURS, "-o", tmp_path),
            refusal("convert", OURS, "-o", tmp_path / "new.pte"),
        ]
        with pytest.raises(ToolError, match="cannot be written"), files.written(tmp_path / "page.html", "the report") as sink:
            sink.write(report.to_html(document).encode())
        with pytest.raises(ToolError, match="cannot be written"):
            plots.write(document, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert all("cannot be written" in line and "File too large" in line for line in lines)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "out.npz").read_text() == "earlier"
    assert (tmp_path / "page.html").read_text() == "<!doctype html>earlier"
    code, _, err = coreml("run", OURS, "--save", tmp_path / "made" / "out.npz")
    assert code == 0, err
    assert np.load(tmp_path / "made" / "out.npz")["0"].shape == (1,)


def test_files_that_are_written_elsewhere(refusal, tmp_path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "r.html", tmp_path):
        assert "cannot be written to" in refusal("report", OURS, "-n", 1, "-o", target)
    assert "cannot be written to" in refusal("report", OURS, "-n", 1, "--plots", tmp_path / "file")
    with files.written(pathlib.Path("/dev/null"), "nothing") as sink:
        sink.write(b"x")
    assert pathlib.Path("/dev/null").is_char_device()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with files.written(tmp_path / "link", "it") as sink:
        sink.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"x"


def test_outputs_may_have_any_name(tmp_path) -> None:
    files.write_arrays(tmp_path / "out.npz", {"file": np.ones(2), "allow_pickle": np.zeros(1)}, "the outputs")
    assert {name: array.tolist() for name, array in np.load(tmp_path / "out.npz").items()} == {
        "file": [1, 1],
        "allow_pickle": [0],
    }


# --- output, interruption ---


def test_json_has_no_nan(coreml, tmp_path) -> None:
    np.save(tmp_path / "nan.npy", np.float32([np.nan]))
    code, out, _ = coreml("run", "--json", OURS, "--input", f"0={tmp_path / 'nan.npy'}")
    assert code == 0
    facts = json.loads(out, parse_constant=lambda text: pytest.fail(text))["0"]
    assert (facts["min"], facts["not_finite"], facts["begins"]) == (None, 1, [None])
    np.savez(tmp_path / "expected.npz", np.float32([1]))
    given = ("--reference", tmp_path / "expected.npz", "--input", f"0={tmp_path / 'nan.npy'}")
    code, out, _ = coreml("verify", "--json", OURS, *given)
    assert code == 3
    json.loads(out, parse_constant=lambda text: pytest.fail(text))
    text = coreml("run", OURS, "--input", f"0={tmp_path / 'nan.npy'}")[1]
    assert "nan" in text.split("float32[1]")[1]


def test_output_that_nobody_takes(monkeypatch, capsys) -> None:
    for more in ([], ["--json"]):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as closed:
            monkeypatch.setattr(sys, "stdout", closed)
            # rich ends the program by itself.
            with contextlib.suppress(SystemExit):
                assert command_line.main(["inspect", str(OURS), *more]) == 1
        assert capsys.readouterr().err == ""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert command_line.main(["inspect", "--json", str(OURS)]) == 1
    assert (
        capsys.readouterr().err == "coreml inspect: the operating system refused an operation: [Errno 28] No space left on device\n"
    )


def test_control_c_leaves_nothing_behind(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "r.html").write_text("<!doctype html>earlier")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for arguments in (
            ["bench", str(OURS), "-n", "9999999"],
            ["report", str(OURS), "-n", "30000", "-o", str(tmp_path / "r.html")],
        ):
            signal.setitimer(signal.ITIMER_REAL, 1.5)
            assert command_line.main(arguments) == command_line.INTERRUPTED
            assert capsys.readouterr().err.splitlines()[-1] == f"coreml {arguments[0]}: stopped"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert (tmp_path / "r.html").read_text() == "<!doctype html>earlier"


def test_numbers_out_of_range(coreml, refusal, capsys) -> None:
    for arguments in (["--seed", "-1"], ["--threads", "-1"], ["--seed", "9" * 30], ["--threads", "two"]):
        with pytest.raises(SystemExit) as exit_:
            coreml("run", OURS, *arguments)
        assert exit_.value.code == 2
        assert "must be a whole number from 0" in capsys.readouterr().err
    for command in ("bench", "profile", "report"):
        for n in ("0", "-5"):
            assert "-n must be at least 1" in refusal(command, OURS, "-n", n, *(["-o", "r.html"] if command == "report" else []))
    assert "there is not enough memory" in refusal("bench", OURS, "-n", 10**13)
