"""Every torch.nn module, torch.nn.functional function and operation, with the arguments that torch's own tests give them.

A family is a module or a function; its cases are the samples of torch's ModuleInfo and OpInfo. The tensors of a sample are the inputs of the
program; whatever else it has are constants of it. A function of several tensors makes a second case of each sample, whose first tensor is the
only input and whose others are buffers, as weights are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.utils import _pytree as pytree

FUNCTIONAL = "nn.functional."
# The first of these that an operation takes is what its samples are made of.
_DTYPES = (torch.float32, torch.int64, torch.bool)


@dataclasses.dataclass(frozen=True)
class Case:
    """name: unique, `family/number`, with `c` behind it where only the first tensor is an input. text: the arguments, in words."""

    name: str
    text: str
    module: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]


def _plain(result: Any) -> Any:
    """Named tuples, for which ExecuTorch has no name, as tuples."""
    return tuple(result) if isinstance(result, tuple) else result


class OfSample(torch.nn.Module):
    """A call with its arguments in place, of which the tensors named by `inputs` come in and the others are buffers."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, *, only_first: bool) -> None:
        super().__init__()
        self.function = function
        leaves, self._tree = pytree.tree_flatten((args, kwargs))
        self._leaves: list[Any] = []
        self._inputs: list[int] = []
        for index, leaf in enumerate(leaves):
            if isinstance(leaf, torch.Tensor):
                if not only_first or not self._inputs:
                    self._inputs.append(index)
                else:
                    self.register_buffer(f"constant_{index}", leaf.detach().clone())
                leaf = None
            self._leaves.append(leaf)
        self._constants = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and i not in self._inputs]

    def forward(self, *inputs: torch.Tensor) -> Any:
        leaves = list(self._leaves)
        for index, tensor in zip(self._inputs, inputs, strict=True):
            leaves[index] = tensor
        for index in self._constants:
            leaves[index] = getattr(self, f"constant_{index}")
        args, kwargs = pytree.tree_unflatten(leaves, self._tree)
        return _plain(self.function(*args, **kwargs))


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_described, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}={_described(v)}' for k, v in value.items())}}}"
    return str(value)[:60]


def _call_text(args: Any, kwargs: Any) -> str:
    return ", ".join([*map(_described, args), *(f"{key}={_described(value)}" for key, value in kwargs.items())])


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _settled(args: Any) -> Any:
    """The arguments without gradients, each tensor with memory of its own."""

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        # ExecuTorch's inputs are contiguous.
        return leaf.detach().clone(memory_format=torch.contiguous_format) if leaf.layout == torch.strided else leaf.detach().clone()

    return pytree.tree_map(copy, args)


@dataclasses.dataclass(frozen=True)
class Family:
    """name: as a user writes it. tier: modules, functional or operations. build: all its samples as cases, always the same."""

    name: str
    tier: str
    build: Callable[[], Iterator[Case]]

    def cases(self) -> list[Case]:
        _seed(self.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(self.build())


def _seed(name: str) -> None:
    number = int.from_bytes(name.encode(), "big") % 2**32
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def _with_values(module: torch.nn.Module) -> torch.nn.Module:
    """Scales, shifts and statistics that are all 0 or all 1 hide what is done with them."""
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point() and tensor.numel() and bool((tensor == tensor.flatten()[0]).all()):
                leaf = name.rpartition(".")[2]
                if leaf in ("weight", "bias", "running_mean", "running_var", "in_proj_bias"):
                    tensor.add_(torch.rand_like(tensor) * 0.5)
    return module


class _OfModule(torch.nn.Module):
    """A module called with what its sample calls it with."""

    def __init__(self, module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        super().__init__()
        self.module = module
        leaves, self._tree = pytree.tree_flatten((args, kwargs))
        self._leaves = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self._inputs = [index for index, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    def forward(self, *inputs: torch.Tensor) -> Any:
        leaves = list(self._leaves)
        for index, tensor in zip(self._inputs, inputs, strict=True):
            leaves[index] = tensor
        args, kwargs = pytree.tree_unflatten(leaves, self._tree)
        return _plain(self.module(*args, **kwargs))


def _cases_of_module(info: Any) -> Iterator[Case]:
    samples = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=False)
    for number, sample in enumerate(samples):
        made, given = sample.constructor_input, sample.forward_input
        module = info.module_cls(*made.args, **made.kwargs).eval()
        args, kwargs = _settled((given.args, given.kwargs)) if given is not None else ((), {})
        if any(isinstance(m, torch.nn.modules.lazy.LazyModuleMixin) for m in module.modules()):
            module(*_settled(args), **_settled(kwargs))
        text = f"({_call_text(made.args, made.kwargs)})({_call_text(args, kwargs)})"
        yield Case(
            f"{info.name}/{number}", text, _OfModule(_with_values(module), args, kwargs).eval(), tuple(_tensors((args, kwargs)))
        )


def _cases_of_operation(info: Any) -> Iterator[Case]:
    dtype = next((dtype for dtype in _DTYPES if dtype in info.dtypes), None)
    if dtype is None:
        return
    for number, sample in enumerate(info.sample_inputs("cpu", dtype)):
        args, kwargs = _settled(((sample.input, *sample.args), sample.kwargs))
        tensors = _tensors((args, kwargs))
        text = f"({_call_text(args, kwargs)})"
        yield Case(f"{info.full_name}/{number}", text, OfSample(info.op, args, kwargs, only_first=False).eval(), tuple(tensors))
        if len(tensors) > 1 and info.name.startswith(FUNCTIONAL):
            yield Case(
                f"{info.full_name}/{number}c", text, OfSample(info.op, args, kwargs, only_first=True).eval(), tuple(tensors[:1])
            )


@functools.cache
def families() -> dict[str, Family]:
    """All of them by name, modules first, then functions, then the other operations."""
    found = {}
    for info in module_db:
        found[info.name] = Family(info.name, "modules", functools.partial(_cases_of_module, info))
    for info in sorted(op_db, key=lambda info: not info.name.startswith(FUNCTIONAL)):
        tier = "functional" if info.name.startswith(FUNCTIONAL) else "operations"
        found[info.full_name] = Family(info.full_name, tier, functools.partial(_cases_of_operation, info))
    return found


_of_family: dict[str, dict[str, Case]] = {}


def case(name: str) -> Case:
    """A case by its name. The cases of the family asked for last are kept."""
    family = name.rpartition("/")[0]
    if family not in _of_family:
        _of_family.clear()
        _of_family[family] = {case.name: case for case in families()[family].cases()}
    return _of_family[family][name]


@contextlib.contextmanager
def quiet_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
