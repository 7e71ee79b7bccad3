"""What rounding alone does to a model: the edge program computed with the precision of a package, in PyTorch.

The difference that it makes is what is normal for this model, these inputs and this precision, whoever computes it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from executorch_coreml.sdk.compare import l2_relative
from executorch_coreml.sdk.verify_edge import EdgeProgram, Node

# Half a unit in the last place, relative.
FLOAT16_ROUNDING = 2.0**-11
FLOAT32_ROUNDING = 2.0**-24

# (float16 package, numeric mode) -> the l2-relative difference from PyTorch below which no result is suspicious, and which stands in for the
# simulation where there is no model to simulate: what the models of tests/end_to_end show (tests/results/models.md), rounded up.
_LEAST = {(False, "float32"): 1e-6, (False, "float16"): 1e-6, (True, "float32"): 2e-4, (True, "float16"): 5e-4}
_SEEN = {(False, "float32"): 2e-6, (False, "float16"): 2e-6, (True, "float32"): 1e-3, (True, "float16"): 2e-3}


# How many times what was seen the simulation may give: a model that rounding alone changes by more is too much for the precision.
_CEILING = 5.0


@dataclasses.dataclass(frozen=True)
class Normal:
    """The l2-relative difference that is normal for one output."""

    l2_relative: float
    # Where the figure comes from, for a person.
    source: str


def seen(is_float16: bool, numeric_mode: str) -> Normal:
    """What is normal where there is no model to simulate."""
    precision = "float16" if is_float16 else "float32"
    return Normal(
        _SEEN[is_float16, numeric_mode],
        f"the largest seen with this project's {precision} test models in numeric mode {numeric_mode}, rounded up",
    )


def simulate(
    edge: EdgeProgram, inputs: Sequence[np.ndarray], expected: Mapping[Node, Any], *, is_float16: bool, numeric_mode: str
) -> dict[Node, Normal]:
    """What is normal for the nodes of `expected`, which are their exact values.

    Float16: weights are rounded to it, in numeric mode float16 the result of every node too. Float32: every result is moved by up to four
    half units in the last place, as another order of summation would.
    """
    rounded = computed_rounded(
        edge, inputs, set(expected), rounding(is_float16, numeric_mode), everything=numeric_mode == "float16"
    )
    what = {
        (True, "float32"): "weights rounded to float16",
        (True, "float16"): "weights and every result rounded to float16",
    }.get((is_float16, numeric_mode), "every result moved by some float32 rounding errors")
    found = {}
    for node, value in expected.items():
        difference = l2_relative(as_array(rounded[node]), as_array(value))
        least = _LEAST[is_float16, numeric_mode]
        ceiling = _CEILING * _SEEN[is_float16, numeric_mode]
        if not difference <= ceiling:  # NaN too.
            found[node] = Normal(
                ceiling,
                f"the largest difference that is called normal; {what} leads to {difference:.1e} in PyTorch, which is too much for any use",
            )
        elif difference < least:
            found[node] = Normal(least, f"the smallest tolerance that is ever applied; {what} leads to {difference:.1e} in PyTorch")
        else:
            found[node] = Normal(difference, f"this model in PyTorch with {what}")
    return found


def between_modes(in_float32: np.ndarray, in_float16: np.ndarray, *, is_float16: bool, capped: bool) -> Normal:
    """What is normal for a value that the engine computed in both numeric modes, where there is no model to simulate.

    Of integers and bools, the share of elements that rounding changes. `capped`: no more than what is called normal for an output.
    """
    if in_float32.dtype.kind != "f":
        share = float(np.mean(in_float32 != in_float16)) if in_float32.size else 0.0
        return Normal(share, "the share of elements that differ between the numeric modes")
    if not is_float16:
        return seen(is_float16, "float32")
    difference = l2_relative(in_float16, in_float32)
    least, ceiling = _LEAST[True, "float16"], _CEILING * _SEEN[True, "float16"]
    if difference < least:
        return Normal(least, f"the smallest tolerance that is ever applied; the numeric modes differ by {difference:.1e}")
    if capped and not difference <= ceiling:
        return Normal(ceiling, f"the largest difference that is called normal; the numeric modes differ by {difference:.1e}")
    # Infinite where one of them overflows, or all is zero in one.
    return Normal(min(difference, 1.0), "the difference between the numeric modes float32 and float16")


def rounding(is_float16: bool, numeric_mode: str, seed: int = 0) -> Callable[[torch.Tensor], torch.Tensor]:
    """What happens to a floating-point value when it is stored."""
    if is_float16:
        return lambda value: value.to(torch.float16).to(value.dtype)
    generator = torch.Generator().manual_seed(seed)

    def move(value: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(value.shape, generator=generator, dtype=torch.float32) * 2 - 1
        return value * (1 + noise * (4 * FLOAT32_ROUNDING)).to(value.dtype)

    return move


def computed_rounded(
    edge: EdgeProgram,
    inputs: Sequence[np.ndarray],
    wanted: set[Node],
    stored: Callable[[torch.Tensor], torch.Tensor],
    *,
    everything: bool,
) -> dict[Node, Any]:
    """Values of nodes when weights, and with `everything` all results, pass through `stored`."""
    rounded = functools.partial(apply, stored)
    made = {"made": rounded} if everything else {}
    return edge.run(inputs, wanted.__contains__, entering=rounded, **made)


def apply(stored: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """`stored` of a floating-point tensor, or of those in a tuple; anything else as it is."""
    if isinstance(value, (tuple, list)):
        return type(value)(apply(stored, item) for item in value)
    return stored(value) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def as_array(value: Any) -> np.ndarray:
    """A tensor or number as an array; bfloat16 as float32."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return np.asarray(value)
