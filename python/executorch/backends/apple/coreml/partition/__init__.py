"""Partitioning: `CoreMLPartitioner` chooses what of a program goes to Core ML."""

from executorch.backends.apple.coreml.partition.coreml_partitioner import CoreMLPartitioner

__all__ = ["CoreMLPartitioner"]
