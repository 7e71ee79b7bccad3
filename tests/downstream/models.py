"""A model as a target's function."""

import torch


class Sin(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


def sin() -> torch.nn.Module:
    return Sin()


def raises() -> torch.nn.Module:
    raise ValueError("the weights are of another model")


class Bessel(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(torch.sin(x))


def bessel() -> torch.nn.Module:
    """Sine, which Core ML has, and a function that it does not have."""
    return Bessel()
