"""Partitioning: `CoreMLPartitioner` chooses what of a program goes to Core ML."""

# First: every module here imports torch or coremltools, which this imports quietly.
from executorch.backends.apple.coreml import _dependencies  # noqa: F401
from executorch.backends.apple.coreml.partition.coreml_partitioner import CoreMLPartitioner
from executorch.backends.apple.coreml.partition.report import PartitionReport

__all__ = ["CoreMLPartitioner", "PartitionReport"]
