"""Models of coremltools' `LinearQuantizer`, in a form that torch.export takes.

`finalize()` leaves reference modules (`torch.ao.nn.quantized.reference`), which quantize their float weight at every call. torch.export cannot follow
that, since tensors of quantized dtypes have no values of shape alone. The activations' calls (`torch.quantize_per_tensor`, `dequantize`) it can, and
CoreMLPartitioner takes them.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from coremltools.optimize.torch._utils.metadata_utils import CompressionMetadata
from torch.ao.nn.quantized.reference.modules.utils import ReferenceQuantizedModule

_BITS_BUFFER = "_COREML_/weight/quantization_n_bits"
_BITS_OF_BYTE = 8


def exportable(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of a model with float modules in the place of reference modules, which compute the same.

    Each has the quantized weight as float32 values, and in buffers `_COREML_/weight/...` what they were quantized by, from which the lowering stores
    them as integers again.

        model = quantizer.finalize()                                  # coremltools.optimize.torch.quantization.LinearQuantizer
        exported = torch.export.export(exportable(model), example_inputs)

    Raises TypeError for reference modules of another kind than convolutions, linear layers and embeddings.
    """
    model = copy.deepcopy(model)
    for name, module in model.named_modules():
        if isinstance(module, ReferenceQuantizedModule):
            _make_float(module)
        elif type(module).__module__.startswith("torch.ao.nn.quantized.reference"):
            raise TypeError(
                f"The module {name} is a {type(module).__qualname__}, which quantizes more than one weight: keep it float."
            )
    return model


def _make_float(module: Any) -> None:
    kinds = (kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn.modules."))
    bits = getattr(module, _BITS_BUFFER, torch.tensor(_BITS_OF_BYTE))
    weight = module.get_weight().detach()
    shape = [1] * weight.dim()
    if module.weight_qscheme != torch.per_tensor_affine:
        shape[module.weight_axis_int] = -1
    metadata = CompressionMetadata(
        param_name="weight",
        quantization_n_bits=int(bits),
        quantization_scale=module.weight_scale.reshape(shape).float(),
        zero_point=module.weight_zero_point.reshape(shape) if bool(module.weight_zero_point.any()) else None,
        compression_type=["quantization"],
    )
    for buffer in (
        "weight_scale",
        "weight_zero_point",
        "weight_axis",
        *(n for n in module._buffers if n.startswith("_COREML_/weight")),
    ):
        module._buffers.pop(buffer, None)
    module.__class__ = next(kinds)
    module.weight = torch.nn.Parameter(weight, requires_grad=False)
    metadata.register(module)
