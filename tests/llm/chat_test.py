"""The example `chat`, started as a program: on a tiny model by default, on the real one with --config=full."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.llm import tiny_model

CHAT = Path("examples/chat").absolute()
FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))


def chat(*arguments: str, questions: str = "") -> tuple[int, str]:
    """Exit status and output of the program."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run([CHAT, *arguments], input=questions, capture_output=True, text=True, check=False, env=environ)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout


def test_a_prompt_is_continued_and_a_kept_program_serves_a_chat(tmp_path: Path) -> None:
    model = tiny_model.write_gguf(tmp_path / "m.gguf", quantization=gguf.GGMLQuantizationType.Q8_0)
    options = [f"--checkpoint={model}", "--context=160", f"--keep={tmp_path}", "--tokens=8"]
    status, output = chat(*options, "--prompt=the cat in the hat")
    assert status == 0, output
    assert re.search(r"^\s*convert +\d+\.\d\d s   peak memory +\d+ MiB$", output, re.MULTILINE)
    assert re.search(r"^the cat in the hat.+", output, re.MULTILINE)
    assert re.search(r"prompt \d+ tokens, [\d.]+/s; answer \d tokens, [\d.]+/s; resident \d+ MiB, peak \d+ MiB", output)
    assert re.search(
        r"^(\d) of \1 tokens are those that PyTorch chooses; logits differ by at most 0\.\d+ \(normal", output, re.MULTILINE
    )
    assert len(list(tmp_path.glob("chat-*-static-fp16-160.pte"))) == 1

    # A chat with the program that is there: going back, beginning anew, and a question that has no room.
    status, output = chat(*options, questions="\n".join(["the hat", "/undo", "in", "/new", "an ant", "x" * 200, "/quit"]) + "\n")
    assert status == 0, output
    assert "was made before; delete it to lower again" in output
    assert "convert" not in output
    assert len(re.findall(r"^(\d) of \1 tokens are those that PyTorch chooses", output, re.MULTILINE)) == 3
    assert re.search(r"the prompt has \d+ tokens, but only \d+ of the context's 160 are free; .*/undo and /new make room", output)


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    def poison(tensors: dict[str, np.ndarray]) -> None:
        tensors["blk.0.ffn_up.weight"][0] = np.nan

    bad = tiny_model.write_gguf(tmp_path / "bad.gguf", change=poison)
    status, output = chat(f"--checkpoint={bad}", "--prompt=a")
    assert status == 1
    assert f"{bad}: layers.0.feed_forward.w3.weight holds 64 values that are not finite, so every answer would be NaN\n" in output
    good = tiny_model.write_gguf(tmp_path / "good.gguf")
    status, output = chat(f"--checkpoint={good}", "--context=64", f"--prompt={'x' * 64}")
    assert status == 1
    assert "the prompt has 64 tokens, but the context has 64: shorten it, or see --context\n" in output


if FULL:  # It takes minutes.

    @pytest.mark.parametrize("quantization", ["fp16", "b4w"])
    def test_the_capital_of_france(quantization: str) -> None:
        status, output = chat(f"--quantization={quantization}", "--prompt=The capital of France is", "--tokens=8")
        assert status == 0, output
        assert "The capital of France is Paris" in output
        assert "8 of 8 tokens are those that PyTorch chooses" in output
