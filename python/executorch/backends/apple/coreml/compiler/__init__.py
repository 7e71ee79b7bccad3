"""Compiling partitions to Core ML: `CoreMLBackend`, and the factories of its compile specs."""

from executorch.backends.apple.coreml.compiler.coreml_preprocess import CoreMLBackend

__all__ = ["CoreMLBackend"]
