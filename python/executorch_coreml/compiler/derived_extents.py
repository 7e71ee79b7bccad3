"""Inputs whose extents are expressions of symbols, such as 2*s0, for coremltools, which knows extents that are one symbol only.

A partition that is handed cat([x, x]) has such an input. Core ML has ranges for the extents of inputs and no relations between them; neither has
MIL, where the extent of each concatenation, slice or reshape of what is dynamic is a new unknown. So a range of its own is all that such an
extent needs, and no conversion loses by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sympy
from torch.export.exported_program import ExportedProgram
from torch.utils._sympy.value_ranges import ValueRanges

from executorch_coreml.compiler.enumerated_shape_utils import user_inputs
from executorch_coreml.compiler.signature import input_range, is_expression, model_ranges


@contextlib.contextmanager
def ranged(program: ExportedProgram) -> Iterator[None]:
    """Within it, the program's range constraints have an entry for each such extent of its inputs, under the expression's text.

    coremltools finds the range of an extent by its text, and extents of equal text are one symbol of the model.
    """
    ranges = model_ranges(program)
    added = {}
    for _, fake in user_inputs(program):
        for extent in fake.shape:
            if is_expression(extent):
                low, high = input_range(extent, ranges)
                added[sympy.Symbol(str(extent))] = ValueRanges(low, sympy.oo if high is None else high)
    program.range_constraints.update(added)
    try:
        yield
    finally:
        for symbol in added:
            del program.range_constraints[symbol]
