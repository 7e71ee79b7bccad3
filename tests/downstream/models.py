"""A model as a target's function."""

import torch


class Sin(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


def sin() -> torch.nn.Module:
    return Sin()


def raises() -> torch.nn.Module:
    raise ValueError("the weights are of another model")
