"""The models of these tests."""

import torch


class Gate(torch.nn.Module):
    """x times the sigmoid of a linear layer of it, [rows, 8] to [rows, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.linear(x))


def gate() -> torch.nn.Module:
    """Without example inputs: the target makes them up."""
    return Gate()


class Wave(torch.nn.Module):
    """relu(sin(x)) + x, or with an operation that neither Core ML nor ExecuTorch has."""

    def __init__(self, *, bessel: bool) -> None:
        super().__init__()
        self.between = torch.special.bessel_j0 if bessel else torch.sin

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.between(x)) + x


def wave() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    return Wave(bessel=False), (torch.linspace(0, 1, 6).reshape(2, 3),)


def bessel() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    return Wave(bessel=True), (torch.linspace(0, 1, 6).reshape(2, 3),)


def scaled(weights: str) -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """A layer with the weights in a file, one number a line; [1, n] to [1, 1]."""
    with open(weights, encoding="utf-8") as file:
        numbers = [float(line) for line in file]
    layer = torch.nn.Linear(len(numbers), 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([numbers]))
    return layer, (torch.ones(1, len(numbers)),)


def prefill() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    return Gate(), (torch.ones(4, 8),)


def decode() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    return Gate(), (torch.ones(1, 8),)


def samples() -> list[tuple[torch.Tensor]]:
    return [(torch.full((4, 8), float(value)),) for value in (-1, 0, 1)]
