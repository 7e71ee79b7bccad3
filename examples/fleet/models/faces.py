"""The three networks of MTCNN, which find faces, with the weights that facenet-pytorch carries."""

import torch
from facenet_pytorch.models import mtcnn


def proposals() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Where in an image faces may be: [1, 3, 120, 160] to boxes and probabilities of a grid."""
    return mtcnn.PNet(), (_image(1, 120, 160),)


def refinement() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Which of 8 windows of 24 x 24 hold a face."""
    return mtcnn.RNet(), (_image(8, 24, 24),)


def landmarks() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Eyes, nose and mouth in 4 windows of 48 x 48."""
    return mtcnn.ONet(), (_image(4, 48, 48),)


def _image(count: int, height: int, width: int) -> torch.Tensor:
    """Smooth colours in [-1, 1], float32 [count, 3, height, width]."""
    y = torch.linspace(0, 3, height)[:, None]
    x = torch.linspace(0, 4, width)
    planes = [torch.sin(y * (n + 1) + x * (c + 1)) for n in range(count) for c in range(3)]
    return torch.stack(planes).reshape(count, 3, height, width)
