"""A small classifier of scikit-learn's handwritten digits, trained in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import sklearn.datasets
import torch
import torch.nn.functional as F
from torch import nn

# Divides what is used of the 1797 images, so that every program has one batch size: 15 batches to train, 3 to test.
BATCH = 99


@dataclasses.dataclass(frozen=True)
class Digits:
    """images: float32 [batches, BATCH, 1, 8, 8] in [0, 1]; labels: int64 [batches, BATCH]."""

    images: torch.Tensor
    labels: torch.Tensor

    def batches(self, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All of it in a random order."""
        order = torch.randperm(self.labels.numel(), generator=generator).reshape(-1, BATCH)
        images, labels = self.images.flatten(0, 1), self.labels.flatten()
        for index in order:
            yield images[index], labels[index]


def load() -> tuple[Digits, Digits]:
    """Digits to train and digits to test, by different writers: the set is in the order of its writers."""
    data = sklearn.datasets.load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[: 18 * BATCH].reshape(18, BATCH, 1, 8, 8) / 16
    labels = torch.tensor(data.target)[: 18 * BATCH].reshape(18, BATCH)
    return Digits(images[:15], labels[:15]), Digits(images[15:], labels[15:])


class Classifier(nn.Module):
    """Two convolutions with batch norm, and a linear layer. [n, 1, 8, 8] -> [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.last = nn.Linear(32 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.first(x), 2)
        return self.last(F.max_pool2d(self.second(x), 2).flatten(1))


class Residual(nn.Module):
    """Depthwise and pointwise convolutions with residual additions and a global mean. [n, 1, 8, 8] -> [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False),
                nn.BatchNorm2d(32),
                nn.Hardswish(),
                nn.Conv2d(32, 32, 1, bias=False),
                nn.BatchNorm2d(32),
            )
            for _ in range(3)
        )
        self.last = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return self.last(x.mean((2, 3)))


def train(model: nn.Module, data: Digits, *, epochs: int, rate: float, seed: int = 0) -> None:
    """Trains in place; the model must be in training mode."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for images, labels in data.batches(generator):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()


def trained(kind: type[nn.Module] = Classifier) -> tuple[nn.Module, Digits, Digits]:
    """A classifier in eval mode, the digits it was trained with, those to test it with. The same for every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind()
    training, test = load()
    train(model, training, epochs=12, rate=3e-3)
    return model.eval(), training, test


def accuracy(run: Callable[[torch.Tensor], torch.Tensor], data: Digits) -> float:
    """The share of right answers in percent."""
    with torch.no_grad():
        right = sum((run(x).argmax(1) == y).sum().item() for x, y in zip(data.images, data.labels, strict=True))
    return 100 * right / data.labels.numel()
