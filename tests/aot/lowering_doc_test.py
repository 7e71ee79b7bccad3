"""The snippets of docs/lowering.md run, one after the other, as a reader would run them."""

from __future__ import annotations

import pathlib
import re

import pytest

SNIPPETS = re.findall(r"```python\n(.*?)```", pathlib.Path("docs/lowering.md").read_text(), re.S)


def test_snippets_run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert len(SNIPPETS) == 6
    names: dict[str, object] = {"__name__": "snippets"}
    for index, snippet in enumerate(SNIPPETS):
        exec(compile(snippet, f"docs/lowering.md, snippet {index}", "exec"), names)
    assert (tmp_path / "model.pte").stat().st_size > 0
    assert "Core ML takes 2 of 2 operations in 1 partition(s)" in capsys.readouterr().out
    assert names["edge"].methods == {"decode", "prefill"}
