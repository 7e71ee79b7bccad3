"""A report in headless Chromium: no error on its console, and the numbers of its JSON. Debian's package `chromium` must be installed."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest
import report_support
from executorch.backends.apple.coreml.sdk import report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return report_support.make_files(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def document(folder: pathlib.Path) -> dict:
    return report_support.make_document(folder)


def test_in_a_browser(document, tmp_path) -> None:
    (tmp_path / "report.html").write_text(report.to_html(document), encoding="utf-8")
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr",
    ]
    done = subprocess.run(
        ["chromium", *arguments, "--virtual-time-budget=5000", "--dump-dom", f"file://{tmp_path / 'report.html'}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "CONSOLE" not in done.stderr
    page = report_support.Page(done.stdout)
    assert 'data-ready="yes"' in done.stdout
    assert 'class="on"' in done.stdout
    assert json.loads(page.data) == document
    report_support.assert_shows(page, document)
