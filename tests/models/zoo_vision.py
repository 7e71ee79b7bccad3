"""Vision models: torchvision's with random weights, a U-Net, and the two of ExecuTorch's Core ML README."""

from __future__ import annotations

import torch
import zoo_torchvision
from torch import nn


def sin() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """float32[1] -> float32[1]."""

    class Sin(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x)

    return Sin(), (torch.randn(1),)


def conv_relu() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Conv2d then ReLU: float32[1, 3, 256, 256] -> float32[1, 16, 256, 256]."""
    module = nn.Sequential(nn.Conv2d(3, 16, kernel_size=3, padding=1), nn.ReLU())
    return module, (torch.randn(1, 3, 256, 256),)


def _randomise_batch_norm(module: nn.Module) -> nn.Module:
    """Gives batch norms statistics that are not the identity, so that folding them is tested."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.8, 1.2)
    return module


def resnet18() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """float32[1, 3, 224, 224] -> float32[1, 1000]."""
    return _randomise_batch_norm(zoo_torchvision.models().resnet18(weights=None)), (torch.randn(1, 3, 224, 224),)


def mobilenet_v2() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """float32[1, 3, 224, 224] -> float32[1, 1000]."""
    return _randomise_batch_norm(zoo_torchvision.models().mobilenet_v2(weights=None)), (torch.randn(1, 3, 224, 224),)


def mobilenet_v3() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """MobileNetV3 large: float32[1, 3, 224, 224] -> float32[1, 1000]."""
    module = _randomise_batch_norm(zoo_torchvision.models().mobilenet_v3_large(weights=None))
    return module, (torch.randn(1, 3, 224, 224),)


class UNet(nn.Module):
    """Ronneberger's U-Net (https://arxiv.org/abs/1505.04597) with batch norm and padded convolutions."""

    def __init__(self, *, channels: int = 3, classes: int = 2, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        for width in widths:
            self.down.append(self._block(channels, width))
            channels = width
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(channels, width, kernel_size=2, stride=2))
            self.merge.append(self._block(2 * width, width))
            channels = width
        self.head = nn.Conv2d(channels, classes, kernel_size=1)

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width in (inputs, outputs):
            layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.head(x)


def unet() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """float32[1, 3, 128, 128] -> float32[1, 2, 128, 128]."""
    return _randomise_batch_norm(UNet()), (torch.randn(1, 3, 128, 128),)
