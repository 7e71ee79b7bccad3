"""The list of models of the sweep: a row says what a model is called, how it is made small, and what it is given."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping

import torch
from module_cases import Case
from torch.utils import _pytree as pytree

Built = tuple[torch.nn.Module, tuple[torch.Tensor, ...]]


@dataclasses.dataclass(frozen=True)
class Model:
    """family: the library it is from. name: unique there. build: makes it with random weights, and its inputs."""

    family: str
    name: str
    build: Callable[[], Built]

    @property
    def case_name(self) -> str:
        return f"{self.family}/{self.name}"


def table(models: Iterable[Model]) -> Mapping[str, Model]:
    """By `family/name`. Raises ValueError where a name is there twice."""
    found: dict[str, Model] = {}
    for model in models:
        if model.case_name in found:
            raise ValueError(f"The list has {model.case_name} twice.")
        found[model.case_name] = model
    return found


class Tensors(torch.nn.Module):
    """A model that is called with tensors by name and returns the tensors of its result, whatever it has them in.

    fixed: arguments that are no tensors.
    """

    def __init__(self, model: torch.nn.Module, names: tuple[str, ...] = (), fixed: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self.model, self.names, self.fixed = model, names, dict(fixed or {})

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = dict(zip(self.names, inputs, strict=True)) if self.names else {}
        result = self.model(*(() if self.names else inputs), **given, **self.fixed)
        result = result.to_tuple() if hasattr(result, "to_tuple") else result
        return tuple(leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor))


def settled(module: torch.nn.Module) -> torch.nn.Module:
    """The module in eval mode, with values where its weights are all 0 or all 1, which would hide what is done with them."""
    module = module.eval().requires_grad_(False)
    statistics = [
        (name, tensor)
        for part in module.modules()
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)
        for name, tensor in part.named_buffers(recurse=False)
    ]
    with torch.no_grad():
        for _, tensor in (*module.named_parameters(), *statistics):
            if tensor.is_floating_point() and tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all()):
                tensor.add_(torch.rand(tensor.shape) * 0.2 - 0.1)
    return module


def made(model: Model) -> Case:
    """The model with its inputs, always the same."""
    number = int.from_bytes(hashlib.sha256(model.case_name.encode()).digest()[:4], "big")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        module, inputs = model.build()
        module = settled(module)
    text = ", ".join(f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}" for tensor in inputs)
    return Case(model.case_name, text, module, inputs)
