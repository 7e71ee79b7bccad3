"""A Llama-like model of random weights, small enough for every test, in the files that ExecuTorch's programs and the example read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import tokenizers
import torch

from examples.checkpoint import Checkpoint

DIM, LAYERS, HEADS, KV_HEADS, HIDDEN = 64, 2, 4, 2, 96
END = "<|im_end|>"
_CONTROL = ["<|endoftext|>", "<|im_start|>", END]
_MERGES = [("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("Ġ", "t"), ("Ġ", "a"), ("Ġ", "the")]

Change = Callable[[dict[str, np.ndarray]], None]


def tokens() -> list[str]:
    """The vocabulary: three control tokens, every byte, and what the merges make."""
    return _CONTROL + sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()) + [first + second for first, second in _MERGES]


def gguf_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """The weights under GGUF's names; their scale keeps activations near 1, as in a trained model."""
    rng = np.random.default_rng(seed)
    head = DIM // HEADS
    block = {
        "attn_norm": (DIM,),
        "attn_q": (HEADS * head, DIM),
        "attn_k": (KV_HEADS * head, DIM),
        "attn_v": (KV_HEADS * head, DIM),
        "attn_output": (DIM, HEADS * head),
        "ffn_norm": (DIM,),
        "ffn_gate": (HIDDEN, DIM),
        "ffn_up": (HIDDEN, DIM),
        "ffn_down": (DIM, HIDDEN),
    }
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (len(tokens()), DIM), "output_norm.weight": (DIM,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    values = {}
    for name, shape in shapes.items():
        if name.endswith("norm.weight"):
            values[name] = rng.uniform(0.5, 1.5, shape)
        else:
            values[name] = rng.standard_normal(shape) * (1.0 if name.startswith("token") else shape[-1] ** -0.5)
    return {name: value.astype(np.float32) for name, value in values.items()}


def write_gguf(
    path: Path,
    *,
    change: Change | None = None,
    metadata: dict[str, Any] | None = None,
    quantization: gguf.GGMLQuantizationType | None = None,
) -> Path:
    """Writes the model; `change` edits the weights before, `metadata` replaces entries (architecture, tokens, tokenizer, merges, n_layers)."""
    given: dict[str, Any] = {"architecture": "llama", "tokens": tokens(), "tokenizer": "gpt2", "n_layers": LAYERS}
    given |= {"merges": [f"{first} {second}" for first, second in _MERGES]} | (metadata or {})
    writer = gguf.GGUFWriter(path, given["architecture"])
    writer.add_name("tiny")
    writer.add_embedding_length(DIM)
    writer.add_block_count(given["n_layers"])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model(given["tokenizer"])
    writer.add_token_list(given["tokens"])
    writer.add_token_types([3] * len(_CONTROL) + [1] * (len(given["tokens"]) - len(_CONTROL)))
    writer.add_token_merges(given["merges"])
    writer.add_eos_token_id(_CONTROL.index(END))
    tensors = gguf_tensors()
    if change:
        change(tensors)
    for name, value in tensors.items():
        if quantization and value.ndim == 2:
            writer.add_tensor(name, gguf.quantize(value, quantization), raw_dtype=quantization)
        else:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_meta_files(model: Checkpoint, folder: Path) -> dict[str, Path]:
    """What ExecuTorch's scripts read: checkpoint.pth and params.json in Meta's form, tokenizer.json with its configuration."""
    paths = {name: folder / name for name in ("checkpoint.pth", "params.json", "tokenizer.json", "tokenizer_config.json")}
    torch.save({name: value.clone() for name, value in model.weights.items()}, paths["checkpoint.pth"])
    paths["params.json"].write_text(json.dumps(model.parameters), encoding="utf-8")
    model.tokenizer.save(str(paths["tokenizer.json"]))
    end = model.tokenizer.id_to_token(min(model.end))
    paths["tokenizer_config.json"].write_text(json.dumps({"bos_token": None, "eos_token": end}), encoding="utf-8")
    return paths
