"""Compiling partitions to Core ML: `CoreMLBackend`, and the factories of its compile specs."""

# First: every module here imports torch or coremltools, which this imports quietly.
from executorch.backends.apple.coreml import _dependencies  # noqa: F401
from executorch.backends.apple.coreml.compiler.coreml_preprocess import CoreMLBackend

__all__ = ["CoreMLBackend"]
