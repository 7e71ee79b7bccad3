"""What ExecuTorch can execute of what stays outside Core ML.

ExecuTorch says so itself, but only in `to_executorch()`, which ends with "Missing out variants", or when a program is loaded. The partitioner knows it
earlier, and why the call is outside at all.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import executorch.exir
import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from executorch.exir.operator.convert import to_out_variant

from executorch_coreml.node_facts import op_name
from executorch_coreml.partition.node_view import computes_no_tensor, named_arguments

_LISTS = ("portable/functions.yaml", "portable/custom_ops.yaml", "portable/et_copy_ops.yaml", "quantized/quantized.yaml")
_ENTRY = re.compile(r"^- (?:op|func): ([\w:.]+)", re.MULTILINE)
# Of the optimized kernels, which its Python runtime has beside the portable ones, those that no list of the wheel names.
_UNLISTED = ("aten::_fft_c2r.out", "aten::_fft_r2c.out", "aten::linear.out")
# Namespaces whose kernels ExecuTorch brings along itself. Whoever has other ops brings their kernels.
_OWN = ("aten", "dim_order_ops", "quantized_decomposed")
_EXECUTED = frozenset(getattr(torch.ops.higher_order, name) for name in ("cond", "map_impl", "scan", "executorch_call_delegate"))


@dataclasses.dataclass(frozen=True)
class _Refusal:
    """Arguments that an ExecuTorch kernel refuses when the program runs, and nothing before. reason: completes "its kernel ..."."""

    ops: tuple[str, ...]
    is_refused: Callable[[dict[str, Any]], bool]
    reason: str


def _rank(value: Any) -> int:
    return value.meta["val"].dim() if isinstance(value, torch.fx.Node) else 0


def _is_empty(value: Any) -> bool:
    return isinstance(value, torch.fx.Node) and any(isinstance(extent, int) and extent == 0 for extent in value.meta["val"].shape)


def _is_float64(value: Any) -> bool:
    return isinstance(value, torch.fx.Node) and value.meta["val"].dtype == torch.float64


def _pads_to_nothing(given: dict[str, Any]) -> bool:
    """Whether the kernel steps by zero: the result has no elements, and each dimension before the first that is padded has some."""
    extents, pad = list(given["self"].meta["val"].shape), given["pad"]
    changed = [len(extents) - 1 - index // 2 for index, amount in enumerate(pad) if not isinstance(amount, int) or amount]
    for index, amount in enumerate(pad):
        extents[len(extents) - 1 - index // 2] += amount
    before = extents[: min(changed, default=len(extents))]
    return any(isinstance(e, int) and e == 0 for e in extents) and not any(isinstance(e, int) and e == 0 for e in before)


# Read of, and tried on, the portable kernels of ExecuTorch 1.5.
_REFUSALS = (
    _Refusal(
        ("aten.constant_pad_nd.default",),
        lambda given: any(isinstance(amount, int) and amount < 0 for amount in given["pad"]),
        "cannot cut off elements: the amounts of padding must not be negative",
    ),
    _Refusal(
        ("aten.convolution.default",),
        lambda given: _rank(given["input"]) not in (3, 4),
        "convolves only rows and images, and not volumes",
    ),
    _Refusal(
        ("aten._log_softmax.default", "aten.log_softmax.int"),
        lambda given: _is_float64(given["self"]),
        "takes no float64",
    ),
    _Refusal(
        ("aten.gather.default", "aten.scatter.src", "aten.scatter.value", "aten.scatter_add.default"),
        lambda given: given["index"].meta["val"].dtype is not torch.int64,
        "takes only int64 indices",
    ),
    # These end the process: an assertion, a division by zero.
    _Refusal(
        ("aten.amin.default", "aten.amax.default", "aten._log_softmax.default", "aten.log_softmax.int"),
        lambda given: _is_empty(given["self"]),
        "takes no tensor without elements",
    ),
    _Refusal(
        ("aten.constant_pad_nd.default",),
        _pads_to_nothing,
        "cannot pad to a result without elements",
    ),
)


@functools.cache
def _kernels() -> frozenset[str]:
    """The kernels that come with ExecuTorch, such as `aten::add.out`; empty where it does not say."""
    folder = Path(executorch.exir.__file__).parent.parent / "kernels"
    names = [name for path in _LISTS if (folder / path).exists() for name in _ENTRY.findall((folder / path).read_text())]
    return frozenset((*_UNLISTED, *(name if "::" in name else f"aten::{name}" for name in names))) if names else frozenset()


@functools.cache
def _why_not(op: torch._ops.OpOverload) -> str | None:
    try:
        out, _ = to_out_variant(op)
    except (RuntimeError, AssertionError):
        return "it has no out variant"
    kernel = f"{out._schema.name}.{out._schema.overload_name}"
    if op.namespace in _OWN and _kernels() and kernel not in _kernels():
        return f"it has no kernel {kernel}"
    return None


def why_not_executed(node: torch.fx.Node) -> str | None:
    """Why ExecuTorch's own kernels cannot execute a call of an edge program, in words; None where they can, or it is not known."""
    target: Any = node.target._op if isinstance(node.target, EdgeOpOverload) else node.target
    if isinstance(target, torch._ops.HigherOrderOperator):
        return None if target in _EXECUTED else "it has no such control flow"
    if not isinstance(target, torch._ops.OpOverload) or computes_no_tensor(node):
        return None
    return _why_not(target)


def why_refused_when_run(node: torch.fx.Node) -> str | None:
    """Why the kernel that ExecuTorch has for a call refuses it, which it says only when the program runs; None where it does not."""
    op = op_name(node.target)
    refusal = next((row for row in _REFUSALS if op in row.ops and row.is_refused(named_arguments(node))), None)
    return None if refusal is None else f"its kernel {refusal.reason}"
