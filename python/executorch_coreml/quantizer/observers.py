"""One scale and zero point for several tensors.

torchao gives tensors that share their quantization one observer, which sees one tensor after the other. With a moving average, the default,
that observer ends between the ranges: a global average pool behind a ReLU pulls the ReLU's range towards its own, much smaller one, and two
inputs of a concat average instead of uniting, so that the larger one is clipped. Here each tensor that brings new values has an observer of
its own, the shared range is the union of theirs, and tensors whose values come from another one follow without observing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torchao.quantization.pt2e.fake_quantize import FakeQuantize, FakeQuantizeBase

# Node metadata: the op's result has only values of its input in it, or averages of them.
SHARES_RANGE = "coreml_quantizer_shares_range"


class SharedRangeFakeQuantize(FakeQuantizeBase):
    """The fake quantization of one tensor of a group with one range.

    Everything that reads a `FakeQuantize` (torchao's conversion, enabling and disabling) can read this.
    """

    def __init__(self, first: FakeQuantize, observers: torch.nn.ModuleList, own: int | None) -> None:
        """
        Args:
            first: what torchao made for the group; its settings hold for all.
            observers: the group's observers; one list for all members.
            own: which of them sees this tensor; None for a tensor that only follows.
        """
        super().__init__()
        self.observers = observers
        self._own = own
        self.dtype, self.qscheme, self.ch_axis = first.dtype, first.qscheme, first.ch_axis
        self.quant_min, self.quant_max = first.quant_min, first.quant_max
        self.is_dynamic, self.is_per_channel = first.is_dynamic, first.is_per_channel
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("zero_point", torch.zeros(1, dtype=torch.int))

    def calculate_qparams(self, **_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The scale and zero point of the union of the ranges seen so far."""
        observers: list[Any] = list(self.observers)
        seen = [o for o in observers if _has_seen(o)]
        if not seen:
            unseen: tuple[torch.Tensor, torch.Tensor] = observers[0].calculate_qparams()
            return unseen
        lowest = torch.stack([o.min_val.reshape(()) for o in seen]).min()
        highest = torch.stack([o.max_val.reshape(()) for o in seen]).max()
        united: tuple[torch.Tensor, torch.Tensor] = observers[0]._calculate_qparams(lowest, highest)
        return united

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.observer_enabled[0] == 1:
            if self._own is not None:
                self.observers[self._own](x.detach())
            if any(map(_has_seen, self.observers)):
                scale, zero_point = self.calculate_qparams()
                self.scale.copy_(scale)
                self.zero_point.copy_(zero_point)
        if self.fake_quant_enabled[0] == 0:
            return x
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, self.quant_min, self.quant_max)

    def extra_repr(self) -> str:
        role = "follows" if self._own is None else f"observer {self._own} of {len(self.observers)}"
        return f"{role}, dtype={self.dtype}, qscheme={self.qscheme}, scale={self.scale}, zero_point={self.zero_point}"


def _has_seen(observer: Any) -> bool:
    return bool(torch.isfinite(observer.min_val).all()) and observer.min_val.numel() > 0


def _tensor(edge_or_node: Any) -> torch.fx.Node:
    return edge_or_node[0] if isinstance(edge_or_node, tuple) else edge_or_node


def unite_ranges(edge_or_node_to_fake_quantize: dict[Any, Any]) -> None:
    """Replaces, in what `prepare_obs_or_fq_callback` is given, the fake quantization of groups of several tensors."""
    groups: dict[int, list[Any]] = {}
    for key, module in edge_or_node_to_fake_quantize.items():
        if isinstance(module, FakeQuantize) and hasattr(module.activation_post_process, "min_val"):
            groups.setdefault(id(module), []).append(key)
    for keys in groups.values():
        tensors = list(dict.fromkeys(map(_tensor, keys)))
        if len(tensors) > 1:
            members = _members(edge_or_node_to_fake_quantize[keys[0]], tensors)
            for key in keys:
                edge_or_node_to_fake_quantize[key] = members[_tensor(key)]


def _members(first: FakeQuantize, tensors: Iterable[torch.fx.Node]) -> dict[torch.fx.Node, SharedRangeFakeQuantize]:
    tensors = list(tensors)
    observed = [tensor for tensor in tensors if not tensor.meta.get(SHARES_RANGE)]
    if not observed:  # The group's first tensor is an op's that shares with one that another quantizer annotated.
        observed = tensors[:1]
    observers = torch.nn.ModuleList(
        [first.activation_post_process, *(copy.deepcopy(first.activation_post_process) for _ in observed[1:])]
    )
    return {
        tensor: SharedRangeFakeQuantize(first, observers, observed.index(tensor) if tensor in observed else None)
        for tensor in tensors
    }
