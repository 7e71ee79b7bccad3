"""Pooling in forms that Core ML has not: of an image without a batch, and with a divisor of the caller's.

ExecuTorch's kernels have the first for images alone, and pool no volumes at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

aten = torch.ops.aten

# To their spatial dimensions.
_POOLING = {
    **dict.fromkeys((aten.avg_pool1d.default, aten.max_pool1d.default, aten.max_pool1d_with_indices.default), 1),
    **dict.fromkeys((aten.avg_pool2d.default, aten.max_pool2d.default, aten.max_pool2d_with_indices.default), 2),
    **dict.fromkeys((aten.avg_pool3d.default, aten.max_pool3d.default, aten.max_pool3d_with_indices.default), 3),
    **{aten.adaptive_avg_pool2d.default: 2, aten.adaptive_avg_pool3d.default: 3},
}


def _arguments(op: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are given, by name."""
    names = [argument.name for argument in op._schema.arguments]
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _has_divisor(arguments: Mapping[str, Any]) -> bool:
    """What lies over the rim of an image of whole windows is no part of their average, so that they are divided by different numbers."""
    return arguments.get("divisor_override") is not None and not arguments.get("ceil_mode")


def op_in_another_form(node: torch.fx.Node) -> OpOverload | None:
    """The op of a call that is of this kind; None for any other call."""
    if node.target not in _POOLING:
        return None
    op: Any = node.target
    arguments = _arguments(op, node.args, node.kwargs)
    x = arguments["self"].meta.get("val")
    is_unbatched = isinstance(x, torch.Tensor) and x.dim() == _POOLING[op] + 1
    return op if is_unbatched or _has_divisor(arguments) else None


def in_core_mls_form(op: OpOverload) -> Callable[..., Any]:
    """What takes apart the calls of an op that are of this kind."""

    def made(*args: Any, **kwargs: Any) -> Any:
        arguments = _arguments(op, args, kwargs)
        x = arguments["self"]
        if x.dim() == _POOLING[op] + 1:
            pooled = op(**arguments | {"self": x.unsqueeze(0)})
            return pytree.tree_map(lambda value: value.squeeze(0), pooled)
        if not _has_divisor(arguments):
            return NotImplemented
        kernel = arguments["kernel_size"]
        elements = math.prod(kernel) if len(kernel) > 1 else kernel[0] ** _POOLING[op]
        divisor = arguments.pop("divisor_override")
        return op(**arguments | {"count_include_pad": True}) * (elements / divisor)

    return made
