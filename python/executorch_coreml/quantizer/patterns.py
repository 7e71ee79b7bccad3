"""What can be quantized, as data.

A pattern is an anchor op, named by its ATen overloads, optionally followed by a batch norm and by one activation, each the only reader of
what is before it. Three kinds of pattern differ in what of the anchor is quantized:

    WEIGHTED   input 0, the constant weight (argument 1), and what the last op of the pattern computes
    BINARY     both operands that are tensors, and what the last op computes
    SHARING    nothing anew: the result has the scale and zero point of the input, because the op only moves, selects or averages values

A new pattern is a new row. An op that is in two rows is an error that `index()` raises.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F


class Kind(enum.Enum):
    WEIGHTED = "weighted"
    BINARY = "binary"
    SHARING = "sharing"


@dataclasses.dataclass(frozen=True)
class Pattern:
    """One row.

    name: for reports. targets: overloads of ATen ops, `relu.default` for torch.ops.aten.relu.default. functions: what a user may name the op
    by as a key of `module_type_configs`. channel_axis: the weight's axis of output channels. followed: whether a batch norm and an
    activation may belong to it.
    """

    kind: Kind
    name: str
    targets: tuple[str, ...]
    functions: tuple[Callable[..., Any], ...] = ()
    channel_axis: int = 0
    followed: bool = True


@dataclasses.dataclass(frozen=True)
class Activation:
    """An op that ends a pattern.

    non_negative: it computes no negative number, so that even symmetric quantization uses the whole unsigned range for it (zero point 0).
    """

    name: str
    functions: tuple[Callable[..., Any], ...]
    in_place: bool = True
    non_negative: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        return (f"{self.name}.default", f"{self.name}_.default") if self.in_place else (f"{self.name}.default",)


# While training it scales what it keeps, beyond the range of its input.
DROPOUT = "dropout"

PATTERNS: tuple[Pattern, ...] = (
    Pattern(Kind.WEIGHTED, "conv1d", ("conv1d.default", "conv1d.padding"), (F.conv1d,)),
    Pattern(Kind.WEIGHTED, "conv2d", ("conv2d.default", "conv2d.padding"), (F.conv2d,)),
    Pattern(Kind.WEIGHTED, "conv3d", ("conv3d.default", "conv3d.padding"), (F.conv3d,)),
    Pattern(Kind.WEIGHTED, "conv_transpose1d", ("conv_transpose1d.default",), (F.conv_transpose1d,), channel_axis=1),
    Pattern(Kind.WEIGHTED, "conv_transpose2d", ("conv_transpose2d.input",), (F.conv_transpose2d,), channel_axis=1),
    Pattern(Kind.WEIGHTED, "conv_transpose3d", ("conv_transpose3d.input",), (F.conv_transpose3d,), channel_axis=1),
    Pattern(Kind.WEIGHTED, "linear", ("linear.default",), (F.linear,)),
    Pattern(Kind.BINARY, "add", ("add.Tensor", "add_.Tensor"), (operator.add, operator.iadd, torch.add)),
    Pattern(Kind.BINARY, "mul", ("mul.Tensor", "mul_.Tensor"), (operator.mul, operator.imul, torch.mul)),
    Pattern(Kind.BINARY, "matmul", ("matmul.default", "mm.default", "bmm.default"), (torch.matmul, operator.matmul, torch.bmm, torch.mm)),
    Pattern(Kind.SHARING, "max_pool", ("max_pool1d.default", "max_pool2d.default", "max_pool3d.default"),
            (F.max_pool1d, F.max_pool2d, F.max_pool3d, torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)),
    Pattern(Kind.SHARING, "avg_pool", ("avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default"),
            (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)),
    Pattern(Kind.SHARING, "adaptive_avg_pool",
            ("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default", "adaptive_avg_pool3d.default"),
            (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d, torch.adaptive_avg_pool1d)),
    Pattern(Kind.SHARING, "mean", ("mean.default", "mean.dim"), (torch.mean,)),
    Pattern(Kind.SHARING, "flatten", ("flatten.using_ints",), (torch.flatten,)),
    Pattern(Kind.SHARING, "concat", ("cat.default", "concat.default", "stack.default"), (torch.cat, torch.concat, torch.stack)),
    Pattern(Kind.SHARING, "reshape", ("reshape.default", "view.default", "unflatten.int", "squeeze.default", "squeeze.dim", "squeeze.dims",
                                      "unsqueeze.default"),
            (torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten)),
    Pattern(Kind.SHARING, "transpose", ("permute.default", "transpose.int", "t.default", "movedim.int", "numpy_T.default"),
            (torch.permute, torch.transpose, torch.movedim)),
    Pattern(Kind.SHARING, "slice", ("slice.Tensor", "select.int", "narrow.default", "split.Tensor", "split.sizes", "split_with_sizes.default",
                                    "chunk.default", "unbind.int", "index_select.default"),
            (torch.split, torch.chunk, torch.select, torch.narrow, torch.unbind, torch.index_select)),
    Pattern(Kind.SHARING, "repeat", ("expand.default", "repeat.default", "flip.default", "roll.default", "pixel_shuffle.default",
                                     "pixel_unshuffle.default", "upsample_nearest1d.vec", "upsample_nearest2d.vec", "upsample_nearest3d.vec"),
            (torch.flip, torch.roll, F.pixel_shuffle, F.pixel_unshuffle)),
    Pattern(Kind.SHARING, "copy", ("alias.default", "clone.default", "contiguous.default", "detach.default", "detach_.default")),
    Pattern(Kind.SHARING, DROPOUT, ("dropout.default", "dropout_.default", "feature_dropout.default"), (F.dropout, F.dropout2d)),
)  # fmt: skip

ACTIVATIONS: tuple[Activation, ...] = (
    Activation("relu", (F.relu, torch.relu), non_negative=True),
    Activation("relu6", (F.relu6,), non_negative=True),
    Activation("hardtanh", (F.hardtanh,)),
    Activation("leaky_relu", (F.leaky_relu,)),
    Activation("silu", (F.silu,)),
    Activation("elu", (F.elu,)),
    Activation("celu", (F.celu,)),
    Activation("selu", (F.selu,)),
    Activation("mish", (F.mish,)),
    Activation("hardswish", (F.hardswish,)),
    Activation("hardsigmoid", (F.hardsigmoid,), non_negative=True),
    Activation("sigmoid", (F.sigmoid, torch.sigmoid), non_negative=True),
    Activation("tanh", (F.tanh, torch.tanh)),
    Activation("gelu", (F.gelu,)),
    Activation("log_sigmoid", (F.logsigmoid,), in_place=False),
)

BATCH_NORM = ("batch_norm.default",)

# Ops outside every pattern whose results have no negative numbers.
NON_NEGATIVE = ("softmax.int", "_softmax.default", "exp.default", "abs.default", "square.default", "softplus.default")

# What values such as a mask's -inf pass through on their way to where they are added.
CARRIES_CONSTANTS = (
    "where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar", "masked_fill.Scalar", "masked_fill.Tensor", "masked_fill_.Scalar",
    "full.default", "full_like.default", "scalar_tensor.default", "fill.Scalar", "fill_.Scalar", "lift_fresh_copy.default",
    "add.Tensor", "add_.Tensor", "sub.Tensor", "rsub.Scalar", "mul.Tensor", "mul_.Tensor", "neg.default", "minimum.default",
    "to.dtype", "to.dtype_layout", "to.device", "_to_copy.default", "type_as.default", "triu.default", "tril.default", "index.Tensor",
    "new_full.default",
)  # fmt: skip


def aten(overload: str) -> torch._ops.OpOverload:
    """The op that `relu.default` names."""
    name, _, variant = overload.partition(".")
    return getattr(getattr(torch.ops.aten, name), variant)


def _by_target(rows: Iterable[Any]) -> dict[torch._ops.OpOverload, Any]:
    found: dict[torch._ops.OpOverload, Any] = {}
    for row in rows:
        for overload in row.targets:
            target = aten(overload)
            if target in found:
                raise ValueError(f"aten.{overload} is in two patterns: {found[target].name} and {row.name}")
            found[target] = row
    return found


@functools.cache
def index() -> Mapping[Any, Pattern]:
    """The pattern that each op anchors."""
    return _by_target(PATTERNS)


@functools.cache
def activations() -> Mapping[Any, Activation]:
    """The row of each activation op, in place or not."""
    return _by_target(ACTIVATIONS)


@functools.cache
def overloads(names: tuple[str, ...]) -> frozenset[torch._ops.OpOverload]:
    """The ops that names such as `BATCH_NORM` are."""
    return frozenset(aten(name) for name in names)


def functions_of(target: Any) -> tuple[Callable[..., Any], ...]:
    """What a user may call an op by: `operator.add` for torch.ops.aten.add.Tensor."""
    row = index().get(target) or activations().get(target)
    return row.functions if row else ()
