"""Partitioning: `CoreMLPartitioner` chooses what of a program goes to Core ML."""

# First: every module here imports torch or coremltools, which this imports quietly.
from executorch_coreml import _dependencies  # noqa: F401
from executorch_coreml.partition.coreml_partitioner import CoreMLPartitioner
from executorch_coreml.partition.report import PartitionReport

__all__ = ["CoreMLPartitioner", "PartitionReport"]
