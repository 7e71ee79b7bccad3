"""All rows of the table of operations, and the reasons of those that are not compared."""

from __future__ import annotations

from typing import Any

import mil_elements  # noqa: F401  its rows
import mil_layers  # noqa: F401  its rows
from mil_table import COMPOSITES, OPERATIONS, Row, not_compared

not_compared(
    "draws random numbers: tests/engine compares their distribution",
    "random_bernoulli",
    "random_categorical",
    "random_normal",
    "random_uniform",
)
not_compared("its outputs are a class and a dictionary: tests/coremltools runs it", "classify")
not_compared("a state's value is no result of the program: tests/engine runs programs with states", "read_state")
not_compared("not an operation of a program: the arguments of all others are made of it", "const", "_const_symbolic")
not_compared("coremltools' own passes make it of conv and no backend writes it", "conv_quantized")
not_compared("its result has as many elements as there are, which no output of a fixed shape holds: tests/coremltools", "non_zero")
not_compared("several boxes of equal scores may be kept in any order: tests/engine compares with a loop", "non_maximum_suppression")
not_compared(
    "sampling at any points: tests/engine compares each mode with a reference",
    "affine",
    "resample",
    "crop_resize",
    "resize",
    "upsample_bilinear",
)
not_compared(
    "of constants alone, which the engine computes when it compiles: tests/engine and tests/quantization compare each form",
    "constexpr_affine_dequantize",
    "constexpr_blockwise_shift_scale",
    "constexpr_cast",
    "constexpr_lut_to_dense",
    "constexpr_lut_to_sparse",
    "constexpr_sparse_blockwise_shift_scale",
    "constexpr_sparse_to_dense",
)

for _name, _row in COMPOSITES.items():
    for _part in _row.of:
        OPERATIONS[_part] = Row(reason=f"in the composite {_name}")

DRAWN = [name for name, row in OPERATIONS.items() if row.draw is not None] + list(COMPOSITES)


def draw_call(d: Any, name: str) -> None:
    row = COMPOSITES.get(name) or OPERATIONS[name]
    assert row.draw is not None
    d.add(name, row.draw(d))


__all__ = ["COMPOSITES", "DRAWN", "OPERATIONS", "draw_call"]
