"""Five small models of real shapes, whose packages the seeded faults of verify_mutants.py are planted in.

Each function returns the module in eval mode and its example inputs; weights and inputs are seeded.
"""

from __future__ import annotations

import torch
import zoo_recurrent
import zoo_vision
from torch import nn
from torch.nn import functional

Built = tuple[nn.Module, tuple[torch.Tensor, ...]]


class ConvolutionalNetwork(nn.Module):
    """Convolutions with batch norm, a residual connection, pooling and a classifier."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.left = nn.Conv2d(width, width, 3, padding=1)
        self.left_norm = nn.BatchNorm2d(width)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.norm = nn.GroupNorm(4, 2 * width)
        self.head = nn.Linear(2 * width * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = functional.max_pool2d(x, 2)
        x = x + functional.leaky_relu(self.left_norm(self.left(x)), 0.1)
        x = functional.elu(self.norm(self.widen(x)))
        x = functional.avg_pool2d(x, 2)
        return functional.log_softmax(self.head(x.flatten(1)), dim=-1)


class TransformerBlock(nn.Module):
    """Token and position embeddings, one pre-norm encoder layer with a causal mask, and logits."""

    def __init__(self, *, vocabulary: int = 100, width: int = 48, heads: int = 4, tokens: int = 16) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(tokens, width) * 0.1)
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.head = nn.Linear(width, vocabulary)
        self.register_buffer("mask", torch.full((tokens, tokens), torch.finfo(torch.float32).min).triu(1), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids) + self.position
        batch, tokens, width = x.shape
        query, key, value = (
            part.reshape(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5 + self.mask
        x = x + self.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, tokens, width))
        x = x + self.down(functional.gelu(self.up(self.mlp_norm(x))))
        return self.head(x)


class InvertedResidual(nn.Module):
    """MobileNetV3's block: expand, depthwise, squeeze and excite, project."""

    def __init__(self, width: int, expanded: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, expanded, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(expanded)
        self.depthwise = nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(expanded)
        self.squeeze = nn.Conv2d(expanded, 8, 1)
        self.excite = nn.Conv2d(8, expanded, 1)
        self.project = nn.Conv2d(expanded, width, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.hardswish(self.expand_norm(self.expand(x)))
        y = functional.hardswish(self.depthwise_norm(self.depthwise(y)))
        scale = functional.hardsigmoid(self.excite(functional.relu6(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return x + self.project_norm(self.project(y * scale))


class MobileNetwork(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(InvertedResidual(width, 32), InvertedResidual(width, 48))
        self.head = nn.Linear(width, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(functional.hardswish(self.stem(x))).mean((2, 3)))


class GatedResidual(nn.Module):
    """RMS norm written out, a gated layer, a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width) + 0.5)
        self.gate = nn.Linear(width, width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.scale
        return x + self.down(functional.silu(self.gate(y)) * torch.tanh(self.up(y)))


class ResidualPerceptron(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.enter = nn.Linear(20, width)
        self.blocks = nn.Sequential(GatedResidual(width), GatedResidual(width), GatedResidual(width))
        self.leave = nn.Linear(2 * width, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.blocks(functional.softplus(self.enter(x)))
        return torch.sigmoid(self.leave(torch.cat([y, y.cumsum(-1) * 0.1], dim=-1)))


def _build(name: str) -> Built:
    if name == "convolutional":
        return zoo_vision._randomise_batch_norm(ConvolutionalNetwork()), (torch.randn(2, 3, 32, 32),)
    if name == "transformer":
        return TransformerBlock(), (torch.randint(0, 100, (2, 16)),)
    if name == "recurrent":
        return zoo_recurrent.SequenceClassifier(inputs=16, hidden=24, layers=2, classes=6), (torch.randn(2, 12, 16),)
    if name == "mobile":
        return zoo_vision._randomise_batch_norm(MobileNetwork()), (torch.randn(1, 3, 32, 32),)
    return ResidualPerceptron(), (torch.randn(4, 20),)


MODELS = ("convolutional", "transformer", "recurrent", "mobile", "perceptron")


def build(name: str) -> Built:
    """One of MODELS. Leaves torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, inputs = _build(name)
    return module.eval(), inputs
