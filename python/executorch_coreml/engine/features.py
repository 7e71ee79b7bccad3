"""What Core ML describes at a model's border where the program has tensors: images, and the classes of a classifier.

Images are PIL's, as in coremltools: mode "RGB" for the layouts RGB and BGR, "L" for GRAYSCALE, "F" for GRAYSCALE_FLOAT16. PIL is needed
only where images are used.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

_MODES = {"RGB": "RGB", "BGR": "RGB", "GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}


@dataclasses.dataclass(frozen=True)
class Classifier:
    """How a tensor of probabilities stands for two outputs."""

    # The output that is the most probable class, the first of several.
    label: str
    # The output that is a dictionary from classes to probabilities.
    probabilities: str
    # In the order of the tensor's elements.
    classes: list[str] | list[int]

    def present(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Both outputs, of the tensor of probabilities."""
        values = probabilities.reshape(-1)
        if values.size != len(self.classes):
            raise ValueError(f"the program gave {values.size} probabilities for {len(self.classes)} classes")
        return {
            self.label: self.classes[int(values.argmax())],
            self.probabilities: dict(zip(self.classes, values.astype(np.float64).tolist(), strict=True)),
        }


def is_image(value: Any) -> bool:
    """Whether it is a PIL image, without importing PIL."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def tensor_of_image(image: PIL.Image.Image, layout: str | None, what: str) -> np.ndarray:
    """The pixels of an image as [1, channels, height, width]: bytes, of mode F float32.

    Raises:
        ValueError: for an image where no image is taken, or one of another mode.
    """
    if layout is None:
        raise ValueError(f"{what} takes an array, not an image")
    if image.mode != _MODES[layout]:
        raise ValueError(
            f"{what} takes a PIL image of mode {_MODES[layout]}, not {image.mode}: convert it with image.convert({_MODES[layout]!r})"
        )
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels[None, None])
    if layout == "BGR":
        pixels = pixels[..., ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def image_of_tensor(tensor: np.ndarray, layout: str) -> PIL.Image.Image:
    """The image of a tensor [1, channels, height, width]. Where pixels are bytes, values are rounded and clamped to 0 to 255, NaN to 0."""
    from PIL import Image

    planes = tensor[0]
    if layout == "GRAYSCALE_FLOAT16":
        return Image.fromarray(planes[0].astype(np.float32))
    pixels = np.clip(np.rint(np.nan_to_num(planes.astype(np.float32), nan=0)), 0, 255).astype(np.uint8)
    if layout == "GRAYSCALE":
        return Image.fromarray(pixels[0])
    if layout == "BGR":
        pixels = pixels[::-1]
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
