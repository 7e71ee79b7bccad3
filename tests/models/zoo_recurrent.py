"""Recurrent models."""

from __future__ import annotations

import torch
from torch import nn


class SequenceClassifier(nn.Module):
    """A two-layer LSTM over a sequence and a classifier over its last step."""

    def __init__(self, *, inputs: int = 64, hidden: int = 128, layers: int = 2, classes: int = 10) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, num_layers=layers, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.lstm(x)
        return self.head(steps[:, -1])


def lstm() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """float32[1, 50, 64] -> float32[1, 10]."""
    return SequenceClassifier(), (torch.randn(1, 50, 64),)
