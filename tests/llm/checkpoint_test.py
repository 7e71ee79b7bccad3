"""Checkpoints and prompts that cannot be used: a sentence each that names the part, and nothing else happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from examples import checkpoint, decoder
from tests.llm import tiny_model


def test_a_gguf_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = checkpoint.read(tiny_model.write_gguf(tmp_path / "m.gguf"))
    written = tiny_model.gguf_tensors()
    assert model.parameters == {
        "dim": 64,
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 2,
        "hidden_dim": 96,
        "head_dim": 16,
        "vocab_size": len(tiny_model.tokens()),
        "norm_eps": pytest.approx(1e-5),
        "rope_theta": 10000.0,
    }
    np.testing.assert_array_equal(model.weights["layers.1.feed_forward.w2.weight"].numpy(), written["blk.1.ffn_down.weight"])
    np.testing.assert_array_equal(model.weights["layers.0.attention.wk.weight"].numpy(), written["blk.0.attn_k.weight"])
    assert model.weights["output.weight"] is model.weights["tok_embeddings.weight"]
    assert model.end == {2}


def test_quantized_tensors_are_read(tmp_path: Path) -> None:
    path = tiny_model.write_gguf(tmp_path / "m.gguf", quantization=gguf.GGMLQuantizationType.Q8_0)
    weights = checkpoint.read(path).weights
    for name, key in {"layers.0.attention.wq.weight": "blk.0.attn_q.weight", "tok_embeddings.weight": "token_embd.weight"}.items():
        written = tiny_model.gguf_tensors()[key]
        assert 0 < np.abs(weights[name].numpy() - written).max() <= np.abs(written).max() / 127 * 0.51


def test_the_tokenizer_splits_digits_and_returns_the_text(tmp_path: Path) -> None:
    tokenizer = checkpoint.read(tiny_model.write_gguf(tmp_path / "m.gguf")).tokenizer
    text = "the cat in 123 hats, café"
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text
    pieces = [tokenizer.id_to_token(i) for i in ids]
    assert "the" in pieces
    assert {"1", "2", "3"} <= set(pieces)
    assert tokenizer.encode("a<|im_end|>").ids[-1] == 2


def remove(name: str) -> tiny_model.Change:
    def change(tensors: dict[str, np.ndarray]) -> None:
        del tensors[name]

    return change


def add(name: str) -> tiny_model.Change:
    return lambda tensors: tensors.update({name: np.zeros(4, np.float32)})


def poison(tensors: dict[str, np.ndarray]) -> None:
    tensors["blk.1.ffn_up.weight"][3, 5:8] = [np.nan, np.inf, -np.inf]


def reshape(tensors: dict[str, np.ndarray]) -> None:
    tensors["blk.0.attn_k.weight"] = tensors["blk.0.attn_k.weight"][:16]


@pytest.mark.parametrize(
    ("change", "metadata", "sentence"),
    [
        (remove("blk.1.attn_v.weight"), {}, "make 21 weights, but it lacks layers.1.attention.wv.weight"),
        (remove("token_embd.weight"), {}, "lacks output.weight, tok_embeddings.weight"),
        (add("blk.0.attn_q.bias"), {}, "has blk.0.attn_q.bias, which such a model does not have"),
        (
            None,
            {"n_layers": 1},
            "has layers.1.attention.wk.weight, layers.1.attention.wo.weight, layers.1.attention.wq.weight and 6 more",
        ),
        (
            None,
            {"n_layers": 3},
            "lacks layers.2.attention.wk.weight, layers.2.attention.wo.weight, layers.2.attention.wq.weight and 6 more",
        ),
        (reshape, {}, "layers.0.attention.wk.weight has the shape (16, 64), where the file's own parameters say (32, 64)"),
        (poison, {}, "layers.1.feed_forward.w3.weight holds 3 values that are not finite"),
        (
            None,
            {"tokens": [*tiny_model.tokens(), "more"]},
            "has 267 tokens and its embedding 266 rows, so the tokenizer belongs to another model",
        ),
        (None, {"tokenizer": "llama"}, "the tokenizer has the kind 'llama'; this example reads 'gpt2'"),
        (None, {"merges": ["x y"]}, "merges do not fit its tokens"),
        (None, {"architecture": "mamba"}, "architecture 'mamba'"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said(
    tmp_path: Path, change: tiny_model.Change | None, metadata: dict[str, Any], sentence: str
) -> None:
    path = tiny_model.write_gguf(tmp_path / "m.gguf", change=change, metadata=metadata)
    with pytest.raises(checkpoint.CheckpointError) as error:
        checkpoint.read(path)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_file_that_is_cut_or_none_at_all_is_refused(tmp_path: Path) -> None:
    content = tiny_model.write_gguf(tmp_path / "m.gguf").read_bytes()
    for name, data in {
        "empty": b"",
        "text": b"hello, world, this is no model",
        "cut": content[:2000],
        "short": content[:-5000],
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(checkpoint.CheckpointError, match="damaged"):
            checkpoint.read(path)
    with pytest.raises(checkpoint.CheckpointError, match="No such file"):
        checkpoint.read(tmp_path / "missing.gguf")


def test_a_checkpoint_with_every_byte_of_its_head_changed_is_read_or_refused(tmp_path: Path) -> None:
    content = tiny_model.write_gguf(tmp_path / "m.gguf").read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for position in rng.integers(0, 1500, 120):
        changed = bytearray(content)
        changed[position] ^= int(rng.integers(1, 256))
        path = tmp_path / "changed.gguf"
        path.write_bytes(changed)
        try:
            checkpoint.read(path)
        except checkpoint.CheckpointError:
            refused += 1
    assert refused > 10


def test_a_tokenizer_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    model = checkpoint.read(tiny_model.write_gguf(tmp_path / "m.gguf"))
    with pytest.raises(
        checkpoint.CheckpointError, match=r"the tokenizer has 266 tokens and the model 49152, so it belongs to another model"
    ):
        checkpoint.check_tokenizer(model.tokenizer, 49152, Path("tokenizer.json"))


def test_the_transformer_has_the_weights_and_ties_them(tmp_path: Path) -> None:
    model = checkpoint.read(tiny_model.write_gguf(tmp_path / "m.gguf"))
    made = decoder.transformer(model, max_context_len=16, max_seq_len=16)
    assert made.output.weight is made.tok_embeddings.weight
    assert torch.equal(made.layers[1].attention.wo.weight, model.weights["layers.1.attention.wo.weight"])
    static = decoder.transformer(model, max_context_len=16, attention_type="static_mha")
    assert torch.equal(static.layers[0].attention.wqs[0].weight, model.weights["layers.0.attention.wq.weight"])
