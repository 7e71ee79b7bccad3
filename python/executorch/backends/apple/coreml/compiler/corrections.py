"""Converters that replace coremltools 9.0's where its numbers are not torch's, or where it has none.

They are in coremltools' registry only while a partition is converted, so that other users of coremltools in the process get coremltools.
Each says what coremltools does instead, which report it answers, and from which coremltools version it may go: most faults are fixed on
coremltools' main branch, and in no release.

Importing this module fills the table.
"""

from executorch.backends.apple.coreml.compiler import (  # noqa: F401  they fill the table
    corrections_arithmetic,
    corrections_quantization,
    corrections_tensor,
)
from executorch.backends.apple.coreml.compiler.correction_table import CORRECTIONS, Correction, installed, is_corrected

__all__ = ["CORRECTIONS", "Correction", "installed", "is_corrected"]
