"""Compiling partitions to Core ML: `CoreMLBackend`, and the factories of its compile specs."""

# First: every module here imports torch or coremltools, which this imports quietly.
from executorch_coreml import _dependencies  # noqa: F401
from executorch_coreml.compiler.coreml_preprocess import CoreMLBackend

__all__ = ["CoreMLBackend"]
