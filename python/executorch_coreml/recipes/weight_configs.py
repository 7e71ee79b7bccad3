"""torchao's configurations of weight-only quantization, with what Core ML cannot express refused before anything is changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torchao.prototype.quantization.codebook_coreml import CodebookWeightOnlyConfig
from torchao.prototype.quantization.codebook_coreml.api import _codebook_weight_only_transform
from torchao.quantization.granularity import PerGroup
from torchao.quantization.quant_api import IntxWeightOnlyConfig, _intx_weight_only_transform
from torchao.quantization.transform_module import register_quantize_module_handler


@dataclasses.dataclass
class CheckedIntxConfig(IntxWeightOnlyConfig):
    """int4 or int8 weights per row or per group of a row's columns."""


@dataclasses.dataclass
class CheckedCodebookConfig(CodebookWeightOnlyConfig):
    """Weights as indices into look-up tables, one per block of whole rows or whole columns."""


def _shape(module: torch.nn.Module, how: str) -> tuple[int, int]:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        raise ValueError(
            f"{module} has no weight matrix, which is what {how} is for; choose Linear and Embedding modules in filter_fn, and use "
            "CoreMLQuantizer or op_linear_quantizer_config for other layers"
        )
    return weight.shape[0], weight.shape[1]


def _divisors_near(size: int, wanted: int) -> str:
    """The next divisor below and the next above what was wanted."""
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    near = [*[d for d in divisors if d < wanted][-1:], *[d for d in divisors if d > wanted][:1]]
    return " or ".join(map(str, near))


@register_quantize_module_handler(CheckedIntxConfig)
def _quantize_integers(module: torch.nn.Module, config: CheckedIntxConfig, **options: Any) -> torch.nn.Module:
    _, columns = _shape(module, "torchao's weight-only quantization in Core ML")
    if isinstance(config.granularity, PerGroup) and columns % config.granularity.group_size:
        group = config.granularity.group_size
        raise ValueError(
            f"group_size={group} does not divide the {columns} columns of the weight of {module}; pass group_size={_divisors_near(columns, group)}, "
            "or leave the module out with filter_fn"
        )
    return _intx_weight_only_transform(module, config, **options)


@register_quantize_module_handler(CheckedCodebookConfig)
def _quantize_to_codebook(module: torch.nn.Module, config: CheckedCodebookConfig, **options: Any) -> torch.nn.Module:
    shape = _shape(module, "a codebook")
    for size, block, what in zip(shape, config.block_size, ("rows", "columns"), strict=True):
        if block != -1 and size % block:
            raise ValueError(
                f"block_size={config.block_size} does not divide the {size} {what} of the weight of {module}; use a block of "
                f"{_divisors_near(size, block)} {what}, or leave the module out with filter_fn"
            )
    return _codebook_weight_only_transform(module, config, **options)
