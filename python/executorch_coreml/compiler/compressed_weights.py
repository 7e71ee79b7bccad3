"""Weights that were compressed in PyTorch: what is known of each, from the exported program to Core ML's compressed form.

coremltools.optimize.torch and coreai-opt leave a float weight that has few values, and say in buffers beside it what those come from:

    layer.weight                                 float32 [64, 32]
    layer._COREML_/weight/compression_type       [1 (pruned), 2 (palettized), 3 (quantized)], in the order of the steps
    layer._COREML_/weight/quantization_n_bits, quantization_scale, zero_point
    layer._COREML_/weight/lut, palettization_scale, vector_axis

No call reads such a buffer, so a partition has the weights alone. partition/compressed_weights.py therefore puts what the buffers say beside the weight
itself (`remember`), and the conversion finds it there (`of`).

A compressed form is used if it stands for the weight to the precision of float16, element by element. Otherwise the weight was changed since, and stays
as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.frontend.torch.converter import CompressionInfo
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var
from coremltools.converters.mil.mil.block import is_current_opset_version_compatible_with
from coremltools.optimize import _utils as optimize_utils
from torch.export.exported_program import ExportedProgram
from torch.utils.weak import WeakTensorKeyDictionary

from executorch_coreml.compiler.node_conversion import kind_of

logger = logging.getLogger("executorch.backends.apple.coreml.compiler.coreml_preprocess")

# Ops whose conversions take a weight in any form. Others, such as recurrent layers, read its values.
_READERS = frozenset(
    {
        "addmm",
        "bmm",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "convolution",
        "embedding",
        "linear",
        "matmul",
        "mm",
    }
)
_READERS_OF_VIEWS = frozenset({"permute", "permute_copy", "t", "t_copy", "transpose", "transpose_copy"})

_FLOAT16 = np.finfo(np.float16)

_remembered: Any = WeakTensorKeyDictionary()


def remember(weight: torch.Tensor, info: CompressionInfo) -> torch.nn.Parameter:
    """The weight again, of the same memory, of which `of` knows where it comes from."""
    again = torch.nn.Parameter(weight.detach(), requires_grad=False)
    _remembered[again] = info
    return again


def _takes(user: torch.fx.Node) -> bool:
    kind = kind_of(user.target)
    return kind in _READERS or (kind in _READERS_OF_VIEWS and all(map(_takes, user.users)))


def of(program: ExportedProgram) -> dict[str, CompressionInfo]:
    """Placeholder -> what is known of the weight, for those that every reader takes in any form."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    found: dict[str, CompressionInfo] = {}
    for node in program.graph.nodes:
        weight = program.state_dict.get(names.get(node.name, "")) if node.op == "placeholder" else None
        info = None if weight is None else _remembered.get(weight)
        if info is None:
            continue
        other = next((user for user in node.users if not _takes(user)), None)
        if other is None:
            found[node.name] = info
        else:
            logger.warning(
                "The weight %s is stored uncompressed, because %s reads its values.", names[node.name], kind_of(other.target)
            )
    return found


def sparse(weight: np.ndarray, name: str) -> Var:
    """What is not 0 of a weight, and where it is."""
    parts = optimize_utils.SparseParamsIos16(
        nonzero_data=weight[weight != 0], mask=np.packbits(weight.reshape(-1) != 0, bitorder="little"), shape=weight.shape
    )
    if not is_current_opset_version_compatible_with(ct.target.iOS18):
        return mb.constexpr_sparse_to_dense(
            nonzero_data=parts.nonzero_data, mask=parts.mask, shape=np.uint32(parts.shape), name=name
        )
    newer = optimize_utils.ios16_sparse_params_to_ios18(parts)
    return mb.constexpr_sparse_to_dense(nonzero_data=newer.nonzero_data, mask=newer.mask, name=name)


def _is_of(weight: np.ndarray, compressed: Any) -> bool:
    """Whether what a compressed form stands for is the weight, to float16's precision of scales and tables."""
    if compressed is None or compressed.shape != weight.shape:
        return False
    error = np.abs(compressed.astype(np.float32) - weight)
    return bool(np.all(error <= 2 * _FLOAT16.eps * np.max(np.abs(weight), initial=0) + _FLOAT16.smallest_subnormal))


def made(converter: Any, name: str, weight: torch.Tensor) -> Var | None:
    """The compressed form of a weight, as coremltools' converter for exported programs makes it; None where it does not stand for the weight."""
    value = weight.detach().float().numpy()
    try:
        var: Var = converter._construct_compression_op(value, name)
    except (ValueError, NotImplementedError) as error:
        logger.warning("The weight %s is stored uncompressed: %s", name, " ".join(str(error).split()))
        return None
    if not _is_of(value, var.op.materialized_val_inference()):
        logger.warning(
            "The weight %s is stored uncompressed, because it is not what its %s buffers say: it was changed after it was compressed.",
            name,
            "_COREML_/",
        )
        return None
    return var


Compressions = Mapping[str, CompressionInfo]
