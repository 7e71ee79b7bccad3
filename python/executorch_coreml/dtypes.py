"""The dtypes of tensors by all their names: torch's, the blob's, ExecuTorch's and MIL's."""

from __future__ import annotations

import dataclasses

import torch

from executorch_coreml import blob


@dataclasses.dataclass(frozen=True)
class Dtype:
    """scalar_type: as executorch.exir.schema.ScalarType has it. mil: what stands for it in MIL; None where nothing does."""

    torch: torch.dtype
    blob: blob.DataType
    scalar_type: str
    mil: str | None


# Core ML has no 64-bit integers: int64 becomes int32.
DTYPES = (
    Dtype(torch.bool, blob.DataType.BOOL, "BOOL", "bool"),
    Dtype(torch.int8, blob.DataType.INT8, "CHAR", "int8"),
    Dtype(torch.uint8, blob.DataType.UINT8, "BYTE", "uint8"),
    Dtype(torch.int16, blob.DataType.INT16, "SHORT", "int16"),
    Dtype(torch.int32, blob.DataType.INT32, "INT", "int32"),
    Dtype(torch.int64, blob.DataType.INT64, "LONG", "int32"),
    Dtype(torch.float16, blob.DataType.FLOAT16, "HALF", "fp16"),
    Dtype(torch.float32, blob.DataType.FLOAT32, "FLOAT", "fp32"),
    Dtype(torch.float64, blob.DataType.FLOAT64, "DOUBLE", None),
)

BY_TORCH = {dtype.torch: dtype for dtype in DTYPES}
BY_SCALAR_TYPE = {dtype.scalar_type: dtype for dtype in DTYPES}
