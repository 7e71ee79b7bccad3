"""Makes a configuration of transformers small: a few layers of a few channels, whatever a model calls them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

VOCABULARY = 128

# What each field of a configuration becomes, by its name, where the default is a number.
_NUMBERS: Mapping[str, int] = {
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "embedding_size", "emb_dim", "dim", "embed_dim", "hidden_dim", "backbone_hidden_size"),
        64,
    ),
    **dict.fromkeys(
        (
            "num_hidden_layers",
            "num_layers",
            "n_layer",
            "n_layers",
            "encoder_layers",
            "decoder_layers",
            "num_decoder_layers",
            "num_encoder_layers",
            "num_blocks",
        ),
        2,
    ),
    **dict.fromkeys(
        (
            "num_attention_heads",
            "n_head",
            "n_heads",
            "num_heads",
            "encoder_attention_heads",
            "decoder_attention_heads",
            "num_key_heads",
        ),
        4,
    ),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(
        ("head_dim", "d_kv", "v_head_dim", "qk_nope_head_dim", "linear_key_head_dim", "linear_value_head_dim", "global_head_dim"),
        16,
    ),
    **dict.fromkeys(("linear_num_key_heads",), 2),
    **dict.fromkeys(("linear_num_value_heads",), 4),
    **dict.fromkeys(("qk_rope_head_dim",), 8),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 24),
    **dict.fromkeys(
        (
            "intermediate_size",
            "ffn_dim",
            "d_ff",
            "n_inner",
            "encoder_ffn_dim",
            "decoder_ffn_dim",
            "ffn_hidden_size",
            "shared_expert_intermediate_size",
            "d_inner",
        ),
        128,
    ),
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size"), 32),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "first_k_dense_replace"), 1),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "unpadded_vocab_size"), VOCABULARY),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx"), 64),
    **dict.fromkeys(("sliding_window", "attention_window_size"), 8),
    **dict.fromkeys(("projection_dim", "decoder_hidden_size"), 32),
    "image_size": 64,
}


def _fields(kind: Any) -> dict[str, Any]:
    """The fields of a configuration class with their defaults."""
    return {
        field.name: field.default
        if field.default is not dataclasses.MISSING
        else field.default_factory()
        if field.default_factory is not dataclasses.MISSING
        else None
        for field in dataclasses.fields(kind)
        if field.init
    }


def _token(name: str, value: Any) -> Any:
    """A special token of the small vocabulary."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= VOCABULARY:
        return 3 + sum(name.encode()) % (VOCABULARY - 3)
    return value


def arguments(kind: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a configuration class that make a small one; `overrides` goes before, and into the configurations inside."""
    overrides = dict(overrides)
    made: dict[str, Any] = {}
    fields = _fields(kind)
    # Channels that grow from stage to stage, as the number of heads does, divide by it as they are.
    grows = any(isinstance(fields.get(name), (list, tuple)) for name in ("num_heads", "num_attention_heads"))
    inner = getattr(kind, "sub_configs", None) or {}
    for name, default in fields.items():
        if name in inner:
            if hasattr(inner[name], "__dataclass_fields__") and inner[name].__name__ != "AutoConfig":
                made[name] = arguments(inner[name], overrides.pop(name, {}))
        elif (
            name in _NUMBERS
            and not (grows and name in ("embed_dim", "hidden_size", "dim"))
            and isinstance(default, int)
            and not isinstance(default, bool)
        ):
            made[name] = (
                min(_NUMBERS[name], default) if name.startswith(("num_exp", "n_group", "topk_group", "first_k")) else _NUMBERS[name]
            )
        elif name.endswith(("_token_id", "_token_index")):
            made[name] = _token(name, default)
    return {**made, **overrides}


def small(kind: Any, overrides: Mapping[str, Any]) -> Any:
    """A small configuration of a class."""
    return kind(**arguments(kind, overrides))
