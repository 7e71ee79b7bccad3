"""The perplexity that //benchmarks/llm:perplexity prints, on logits that are known and on a small model."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import perplexity
import pytest
import torch

from examples import checkpoint, decoder
from tests.llm import tiny_model


def test_of_known_logits() -> None:
    ids = torch.tensor([3, 0, 2, 1])
    assert perplexity.perplexity(torch.zeros(3, 50), ids) == pytest.approx(50)
    sure = torch.full((3, 50), -1e4)
    sure[torch.arange(3), ids[1:]] = 0
    assert perplexity.perplexity(sure, ids) == pytest.approx(1)
    # Probability 1/2 for each of the three.
    half = torch.full((3, 50), -torch.inf)
    half[:, 49] = 0
    half[torch.arange(3), ids[1:]] = 0
    assert perplexity.perplexity(half, ids) == pytest.approx(2)


def test_a_program_predicts_as_pytorch_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_model.write_gguf(tmp_path / "m.gguf")
    given = ["--checkpoint", str(path), "--quantizations=b4w", "--tokens=24", "--keep", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["perplexity", *given])
    perplexity.main()
    printed = capsys.readouterr().out
    row = re.search(r"b4w +float32 .*?(\d+) of 23 +(\d+) of 23 +([\d.]+)", printed)
    assert row is not None, printed
    # 4-bit weights move some logits of a random model, and the program none.
    assert int(row[1]) == 23
    assert 15 <= int(row[2]) <= 23
    assert float(row[3]) < 0.15

    model = checkpoint.read(path)
    ids = torch.tensor(model.tokenizer.encode(perplexity.TEXT.read_text()).ids[:24])
    expected = decoder.reference(model, form="static", quantization="b4w", context=512)(ids[None])[0, :-1]
    shape = decoder.Shape.of(model, "static", 512)
    actual = perplexity.of_program(tmp_path / f"static-b4w-{shape.layers}.pte", model, shape, ids)
    assert perplexity.perplexity(actual, ids) == pytest.approx(perplexity.perplexity(expected, ids), rel=0.05)
