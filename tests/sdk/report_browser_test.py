"""Reports in headless Chromium: no message on its console, the numbers of the JSON on the page, and screenshots.

Debian's package `chromium` must be installed (apt-get install chromium); without it the test fails. The screenshots, from which the docs
have theirs, are among the test's outputs (bazel-testlogs/tests/sdk/report_browser_test/test.outputs/).
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess

import hostile_texts
import model_zoo
import pytest
import report_support
import torch
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk import report
from executorch.exir import to_edge_transform_and_lower
from PIL import Image


@dataclasses.dataclass(frozen=True)
class Shown:
    """A page as Chromium has it after its script."""

    dom: str
    console: list[str]


@pytest.fixture
def chromium(tmp_path):
    """Runs Chromium on a page: (what follows the headless options) -> (standard output, standard error)."""
    program = shutil.which("chromium")
    assert program, "this test needs Chromium, 400 MB that nothing else does: apt-get install chromium"

    def run(page: pathlib.Path, *words: str) -> tuple[str, str]:
        options = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
        )
        done = subprocess.run(
            [program, *options, "--virtual-time-budget=5000", *words, f"file://{page}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            # Chromium makes a socket in TMPDIR, and ends when the path has more than 107 bytes, as a test's own folder has.
            env={**os.environ, "HOME": str(tmp_path), "TMPDIR": "/tmp"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout, done.stderr

    return run


def show(chromium, document: dict, folder: pathlib.Path) -> Shown:
    page = folder / "report.html"
    page.write_text(report.to_html(document), encoding="utf-8")
    dom, log = chromium(page, "--dump-dom")
    return Shown(dom, [line for line in log.splitlines() if "CONSOLE" in line])


def assert_right(shown: Shown, document: dict) -> None:
    assert shown.console == []
    # The script has come to its end, and has coloured the graph.
    assert 'data-ready="yes"' in shown.dom
    assert 'class="on"' in shown.dom
    page = report_support.Page(shown.dom)
    assert json.loads(page.data) == document
    report_support.assert_shows(page, document)


def test_a_program_with_faults(chromium, tmp_path) -> None:
    document = report_support.make_document(report_support.make_files(tmp_path))
    assert_right(show(chromium, document, tmp_path), document)


def test_a_console_message_would_be_seen(chromium, tmp_path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><script>absent()</script>")
    assert "CONSOLE" in chromium(page, "--dump-dom")[1]


@pytest.mark.parametrize("name", ["minilm", "mobilenet_v3"])
def test_a_model_of_the_zoo(chromium, tmp_path, name, monkeypatch) -> None:
    # The page names the reference as it was given.
    monkeypatch.chdir(tmp_path)
    module, inputs = model_zoo.MODELS[name].build()
    torch.export.save(torch.export.export(module, inputs), f"{name}.pt2")
    lowered = to_edge_transform_and_lower(torch.export.export(module, inputs), partitioner=[CoreMLPartitioner()])
    pathlib.Path(f"{name}.pte").write_bytes(bytes(lowered.to_executorch().buffer))
    document = report.collect(pathlib.Path(f"{name}.pte"), settings=report.Settings(executions=10, reference=f"{name}.pt2"))
    shown = show(chromium, document, tmp_path)
    assert_right(shown, document)
    # Each operation has a row in the table and a node in the graph.
    count = document["summary"]["operations"]
    assert count > 90
    assert shown.dom.count('<tr id="op') == count
    assert shown.dom.count('<g class="node') == count
    take_pictures(chromium, tmp_path / "report.html", name)


def take_pictures(chromium, page: pathlib.Path, name: str) -> None:
    """Of the page's beginning and of its graph, into the test's outputs."""
    outputs = pathlib.Path(os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", page.parent))
    graph = page.with_name("graph.html")
    only = "<style>header, nav, footer, section:not(#graph) { display: none }</style></head>"
    graph.write_text(page.read_text(encoding="utf-8").replace("</head>", only, 1), encoding="utf-8")
    for source, part, height in ((page, "", 1500), (graph, "_graph", 760)):
        picture = outputs / f"report_{name}{part}.png"
        chromium(source, f"--screenshot={picture}", f"--window-size=1200,{height}", "--hide-scrollbars")
        with Image.open(picture) as image:
            assert image.size == (1200, height)
            # Text, bars, colours: an empty page has one colour, or two.
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50


def test_hostile_names_run_no_script(chromium, tmp_path) -> None:
    document = report_support.make_document(report_support.make_files(tmp_path))
    shown = show(chromium, hostile_texts.attacked(document), tmp_path)
    # A script that ran would say so on the console, and so would one that the page's policy had to stop.
    assert shown.console == []
    assert 'data-ready="yes"' in shown.dom
    assert "<img" not in shown.dom.split('<script type="application/json"')[0]
