"""Post-training and quantization-aware quantization of exported programs, for torchao's `prepare_pt2e`, `prepare_qat_pt2e`, `convert_pt2e`."""

# First: every module here imports torch or coremltools, which this imports quietly.
from executorch_coreml import _dependencies  # noqa: F401
from executorch_coreml.quantizer.coreml_quantizer import CoreMLQuantizer
from executorch_coreml.quantizer.reference_modules import exportable
from executorch_coreml.quantizer.report import Annotated, LeftFloat, Report

__all__ = ["Annotated", "CoreMLQuantizer", "LeftFloat", "Report", "exportable"]
