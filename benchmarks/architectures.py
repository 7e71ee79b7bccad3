"""Architectures beside those of tests/models, with random weights, for benchmarks only: no test lowers them.

From torchvision and from transformers' configurations; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import zoo_torchvision
from model_zoo import Built, Entry
from torch import nn

_IMAGE = (1, 3, 224, 224)


def _classifier(name: str, shape: tuple[int, ...] = _IMAGE) -> Entry:
    """A classification model of torchvision: float32 `shape` -> float32[1, 1000]."""

    def build() -> Built:
        options = {"weights": None}
        return getattr(zoo_torchvision.models(), name)(**options), (torch.randn(shape),)

    return Entry(name=name, builder=build)


class _OneOutput(nn.Module):
    """A model that gives a dictionary or a transformers output: one tensor of it."""

    def __init__(self, module: nn.Module, key: str, **options: object) -> None:
        super().__init__()
        self.module = module
        self.key = key
        self.options = options

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.module(*inputs, **self.options)[self.key]


def _deeplab() -> Built:
    """DeepLabV3 on MobileNetV3: float32[1, 3, 224, 224] -> float32[1, 21, 224, 224]."""
    zoo_torchvision.prepare()
    from torchvision.models import segmentation

    return _OneOutput(segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None), "out"), (torch.randn(_IMAGE),)


def _gpt2() -> Built:
    """GPT-2 small without a cache: int64[1, 64] ids -> float32[1, 64, 768]."""
    zoo_torchvision.prepare()
    import transformers

    config = transformers.GPT2Config(attn_implementation="sdpa", use_cache=False)
    # Without a mask transformers asks the ids whether they are padded, which no export can follow.
    model = _Gpt2(transformers.GPT2Model(config))
    return model, (torch.randint(0, config.vocab_size, (1, 64)), torch.ones(1, 64, dtype=torch.int64))


class _Gpt2(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state


def _whisper_encoder() -> Built:
    """The encoder of Whisper tiny: float32[1, 80, 3000] -> float32[1, 1500, 384]."""
    zoo_torchvision.prepare()
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = transformers.WhisperConfig(
        d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, num_mel_bins=80
    )
    return _OneOutput(WhisperEncoder(config), "last_hidden_state"), (torch.randn(1, 80, 3000),)


class _GruClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(64, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.gru(x)
        return self.head(steps[:, -1])


def _gru() -> Built:
    """A two-layer GRU: float32[1, 50, 64] -> float32[1, 10]."""
    return _GruClassifier(), (torch.randn(1, 50, 64),)


_ENTRIES = (
    _classifier("resnet50"),
    _classifier("efficientnet_b0"),
    _classifier("convnext_tiny"),
    _classifier("vit_b_16"),
    _classifier("swin_t"),
    _classifier("squeezenet1_1"),
    _classifier("shufflenet_v2_x1_0"),
    _classifier("densenet121"),
    Entry(name="deeplabv3", builder=_deeplab),
    Entry(name="gpt2", builder=_gpt2),
    Entry(name="whisper_encoder", builder=_whisper_encoder),
    Entry(name="gru", builder=_gru),  # Unrolled: Core ML has no such layer below iOS 18.
    Entry(name="gru_ios18", builder=_gru, deployment_target="iOS18"),
)
ARCHITECTURES: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}
