"""Calls of torch ops with their argument patterns: what the property test lowers, runs and compares.

A pattern is a function and its inputs. The tables are beside this file, by what the ops are; a new pattern is one line in one of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import op_inputs
import op_patterns_elementwise
import op_patterns_layers
import op_patterns_several
import op_patterns_shapes
import torch


@dataclasses.dataclass(frozen=True)
class Pattern:
    """name: unique. function: of the inputs. dynamic: as of torch.export. random: results differ from torch's by nature; shapes count."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[torch.Tensor, ...]
    dynamic: Any = None
    random: bool = False


def patterns() -> Iterator[Pattern]:
    """Every pattern, always in one order."""
    for name, x in op_patterns_elementwise.UNARY.items():
        yield Pattern(name, getattr(torch, name), (x,))
    for name in op_patterns_elementwise.UNARY_OF_INTEGERS:
        yield Pattern(f"{name}_of_integers", getattr(torch, name), (op_inputs.J,))
    for name, function in op_patterns_elementwise.ACTIVATIONS.items():
        yield Pattern(name, function, (op_inputs.X * 2,))
    for name in op_patterns_elementwise.BINARY:
        yield Pattern(f"{name}_tensors", getattr(torch, name), (op_inputs.X, op_inputs.P))
    for name in op_patterns_elementwise.BINARY_OF_INTEGERS:
        yield Pattern(f"{name}_of_integers", getattr(torch, name), (op_inputs.INTEGERS, op_inputs.J))
    for table in (op_patterns_shapes.REDUCTIONS, op_patterns_shapes.SHAPES, op_patterns_shapes.SCALARS):
        for name, function in table.items():
            yield Pattern(name, function, (op_inputs.X,))
    for name, (function, x) in op_patterns_layers.LAYERS.items():
        yield Pattern(name, function, (x,))
    for name, (function, inputs) in op_patterns_several.MANY.items():
        yield Pattern(name, function, inputs)
    for name, function in op_patterns_several.RANDOM.items():
        yield Pattern(name, function, (op_inputs.X,), random=True)
    for name, (function, inputs, dynamic) in op_patterns_several.DYNAMIC.items():
        yield Pattern(f"dynamic_{name}", function, inputs, dynamic)
