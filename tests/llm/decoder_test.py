"""The example's two forms of a language model: the logits of prompt, answer and what comes after going back, beside PyTorch's."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import rich.console
import torch

from examples import checkpoint, decoder, pipeline
from tests.llm import tiny_model

CONTEXT = 64
TEXT = "the cat in the hat and another thing that there is"

# Each is lowered: 20 seconds.
VARIANTS = [f"{form}-{quantization}" for form in decoder.FORMS for quantization in decoder.QUANTIZATIONS]
if not os.environ.get("COREML_DELEGATE_FULL_TESTS"):
    VARIANTS = ["static-fp16", "state-b4w"]

# A float16 program beside float32 arithmetic, logits of up to 40: 10 bits of mantissa, a few layers.
TOLERANCE = 0.1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    return checkpoint.read(tiny_model.write_gguf(tmp_path_factory.mktemp("gguf") / "m.gguf"))


@pytest.fixture(scope="module", params=VARIANTS)
def lowered(
    request: pytest.FixtureRequest, model: checkpoint.Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, Path]:
    form, quantization = request.param.split("-")
    path = tmp_path_factory.mktemp("pte") / f"{request.param}.pte"
    with pipeline.Stages(rich.console.Console(file=io.StringIO())).running() as stages:
        path.write_bytes(decoder.lower(model, form=form, quantization=quantization, context=CONTEXT, stages=stages))
    return form, quantization, path


def test_logits_of_prompt_answer_and_a_second_try_are_those_of_pytorch(
    model: checkpoint.Checkpoint, lowered: tuple[str, str, Path]
) -> None:
    form, quantization, path = lowered
    session = decoder.Session(path, model, decoder.Shape.of(model, form, CONTEXT))
    reference = decoder.reference(model, form=form, quantization=quantization, context=CONTEXT)

    def check(ids: list[int], logits: torch.Tensor) -> None:
        expected = reference(torch.tensor([ids]))[0, -1]
        assert logits.shape == expected.shape
        assert torch.isfinite(logits).all()
        assert (logits.float() - expected).abs().max() <= TOLERANCE

    ids = model.tokenizer.encode(TEXT).ids
    assert decoder.PREFILL_TOKENS < len(ids) < CONTEXT - 10
    logits = session.feed(ids)
    prompt = len(ids)
    check(ids, logits)
    for _ in range(5):
        ids.append(int(logits.argmax()))
        logits = session.feed(ids[-1:])
        check(ids, logits)
    # Another continuation, from the middle of the prompt on: what was there behind it is forgotten.
    session.truncate(prompt - 20)
    other = ids[: prompt - 20] + model.tokenizer.encode(" in a tin").ids
    check(other, session.feed(other[prompt - 20 :]))
    # A prompt that does not fit leaves everything as it was.
    with pytest.raises(
        decoder.PromptError, match=f"has {CONTEXT} tokens, but only {CONTEXT - len(other)} of the context's {CONTEXT} are free"
    ):
        session.feed([5] * CONTEXT)
    assert session.position == len(other)
    # The context can be filled to its last token.
    rest = [7 + i % 200 for i in range(session.room)]
    check(other + rest, session.feed(rest))
    assert session.room == 0
    with pytest.raises(decoder.PromptError, match="only 0 of"):
        session.feed([5])
    # And from the beginning again.
    session.truncate(0)
    again = model.tokenizer.encode("an ant").ids
    check(again, session.feed(again))


def test_what_is_no_prompt_is_refused_with_a_sentence(model: checkpoint.Checkpoint, lowered: tuple[str, str, Path]) -> None:
    form, _, path = lowered
    session = decoder.Session(path, model, decoder.Shape.of(model, form, CONTEXT))
    with pytest.raises(decoder.PromptError, match="the prompt is empty"):
        session.feed([])
    with pytest.raises(decoder.PromptError, match="comes from another tokenizer"):
        session.feed([3, len(tiny_model.tokens())])
    with pytest.raises(ValueError, match="cannot go to token 3: there are 0"):
        session.truncate(3)
    assert session.position == 0


def test_the_methods_of_the_static_form_share_their_weights(model: checkpoint.Checkpoint, lowered: tuple[str, str, Path]) -> None:
    form, quantization, path = lowered
    weights = sum(value.numel() for name, value in model.weights.items() if name != "output.weight")
    if quantization == "fp16":
        # One copy in float16, and less than half of another for graphs, tables of rotations and masks of these tiny methods.
        assert 2 * weights < path.stat().st_size < 2 * weights * (1.5 if form == "state" else 2.5)
