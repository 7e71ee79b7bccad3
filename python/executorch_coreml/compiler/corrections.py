"""Converters that replace coremltools 9.0's where its numbers are not torch's, or where it has none.

Nothing of coremltools is changed for them: node_conversion.py asks this table first, so that other users of coremltools get coremltools. Each
says what coremltools does instead, which report it answers, and which version of coremltools has it right.

Importing this module fills the table.
"""

from executorch_coreml.compiler import (  # noqa: F401  they fill the table
    corrections_arithmetic,
    corrections_bits,
    corrections_experts,
    corrections_functions,
    corrections_quantization,
    corrections_resize,
    corrections_tensor,
    corrections_typed,
    corrections_vision,
    torch_ops,
)
from executorch_coreml.compiler.correction_table import Correction, converter_of

__all__ = ["Correction", "converter_of"]
