"""The inputs of the op patterns: drawn with fixed seeds, in the domains their names say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) * 31 + len(shape)))


def positive(*shape: int) -> torch.Tensor:
    return normal(*shape).abs() + 0.5


def integers(*shape: int, low: int = -9, high: int = 10, dtype: torch.dtype = torch.int32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape) * 17 + len(shape))
    return torch.randint(low, high, shape, generator=generator, dtype=dtype)


X, Y = normal(3, 4), normal(4, 3).t().contiguous()
P = positive(3, 4)
U = torch.rand(3, 4, generator=torch.Generator().manual_seed(3)) * 1.8 - 0.9  # In (-1, 1).
INTEGERS, J = integers(3, 4), integers(3, 4, low=1, high=7)
L = integers(3, 4, dtype=torch.int64)
B, C = normal(3, 4) > 0, normal(4, 3).t().contiguous() > 0
Z = torch.tensor([[0.0, 1.0, -1.0, 2.0], [0.0, -2.0, 0.5, 3.0]])
W = torch.tensor([[-1.0, 0.0, 0.0, 1.0], [1.0, -3.0, -0.5, 2.0]])
S = torch.tensor(1.5)
IMAGE, VOLUME, ROW = normal(2, 4, 9, 8), normal(1, 2, 6, 7, 8), normal(2, 4, 15)
CUBE = normal(2, 3, 4)
# Constants of layers; made here because torch.export would trace a generator.
TABLE, WEIGHT, BIAS, MASK = normal(9, 5), normal(5, 4), normal(5), normal(5, 5)
GRID = torch.tanh(normal(2, 5, 5, 2))


def convolution(function: Callable[..., torch.Tensor], *weight: int, bias: int = 0, **options: Any) -> Callable[..., torch.Tensor]:
    w, b = normal(*weight) * 0.3, normal(bias) if bias else None
    return lambda x: function(x, w, b, **options)
