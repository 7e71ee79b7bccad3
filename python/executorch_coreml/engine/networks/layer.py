"""One layer on its way into a program, and the table of what translates each kind of layer.

A network computes with float32 alone: comparisons give 0 and 1, indices and shapes are floats. Values of a program (`Var`) are kept like
that between layers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import Var, types

from executorch_coreml.engine.networks import weights

# coremltools' builder of operations, whose functions have no types.
mb: Any = Builder

# Elements of one value: what makes more from nothing is refused before it is computed.
MAX_ELEMENTS = 1 << 30


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer's parameters and the values it takes."""

    name: str
    kind: str
    # The message of its parameters.
    params: Any
    inputs: list[Var]
    output_count: int

    @property
    def x(self) -> Var:
        return self.inputs[0]

    def weights(self, name: str, shape: Sequence[int], channel_axis: int = 0) -> np.ndarray:
        """Its weights by the name of their field: float32[shape]. ValueError where there are others."""
        try:
            return weights.read(getattr(self.params, name), shape, channel_axis)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


Handler = Callable[[Layer], "Var | list[Var]"]

# By the name of the layer's field.
HANDLERS: dict[str, Handler] = {}
# The fewest and the most inputs of each.
ARITY: dict[str, tuple[int, int]] = {}


def translates(*kinds: str, inputs: int | tuple[int, int] = 1) -> Callable[[Handler], Handler]:
    """Registers a handler for layers with so many inputs."""

    def register(handler: Handler) -> Handler:
        for kind in kinds:
            assert kind not in HANDLERS, kind
            HANDLERS[kind] = handler
            ARITY[kind] = (inputs, inputs) if isinstance(inputs, int) else inputs
        return handler

    return register


MANY = 1 << 16


def extents(x: Var) -> tuple[int, ...]:
    """The shape of a value; ValueError where an extent is known at run time only."""
    if any(not isinstance(extent, (int, np.integer)) for extent in x.shape):
        raise ValueError("the layer reads a value whose shape depends on other values, which cannot be translated")
    return tuple(int(extent) for extent in x.shape)


def rank_of(x: Var, least: int, most: int = 5) -> int:
    if not least <= x.rank <= most:
        raise ValueError(f"the layer needs a value of rank {least} to {most}, not {x.rank}")
    return int(x.rank)


def limited(shape: Sequence[int]) -> list[int]:
    """A shape that a layer makes; ValueError where it is larger than a value may be."""
    made = [int(extent) for extent in shape]
    if any(extent < 0 for extent in made) or math.prod(made) > MAX_ELEMENTS:
        raise ValueError(f"the layer computes a value of the shape {made}")
    return made


def integers(x: Var) -> Var:
    """Indices, which networks hold as floats."""
    return x if x.dtype == types.int32 else mb.cast(x=x, dtype="int32")


def floats(x: Var) -> Var:
    return x if x.dtype == types.fp32 else mb.cast(x=x, dtype="fp32")


def truths(x: Var) -> Var:
    """Whether elements are not 0."""
    return x if x.dtype == types.bool else mb.not_equal(x=floats(x), y=np.float32(0))


class ValueNeededError(ValueError):
    """A layer takes for a shape, an axis or a threshold what depends on the inputs' values."""


def known_numbers(x: Var) -> list[float]:
    """The elements of a value that is known: of constants, or of shapes. ValueNeededError where it depends on the inputs' values."""
    if x.val is None:
        raise ValueNeededError("the layer uses numbers that depend on the inputs' values as a shape, an axis or a threshold")
    return [float(value) for value in np.asarray(x.val).reshape(-1)]


def known_integers(x: Var) -> list[int]:
    return [int(value) for value in known_numbers(x)]


def reshaped(x: Var, shape: Sequence[int]) -> Var:
    return x if tuple(shape) == tuple(x.shape) else mb.reshape(x=x, shape=[int(extent) for extent in shape])


def with_rank_4(x: Var, compute: Callable[[Var], Var]) -> Var:
    """`compute` of [batch, channels, height, width], leading dimensions being one batch, and the result with the leading dimensions."""
    shape = extents(x)
    rank_of(x, 3)
    if len(shape) == 4:
        return compute(x)
    y = compute(reshaped(x, (math.prod(shape[:-3]), *shape[-3:])))
    return reshaped(y, (*shape[:-3], *extents(y)[1:]))


def axis_of(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"the axis {axis} does not exist in a value of rank {rank}")
    return int(axis) % rank
