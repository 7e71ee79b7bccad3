"""A node of an FX graph as the constraint table sees it: the same for the ATen and for the edge dialect."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any

import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from torch.export.exported_program import ExportedProgram

from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.node_facts import op_name


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors of a node's `val`, which may be a list of them."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors(part)


def graph_modules(program: ExportedProgram) -> list[torch.fx.GraphModule]:
    """That of a program, and those inside its calls of control flow."""
    return [module for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]


def computes_no_tensor(node: torch.fx.Node) -> bool:
    """Whether a node computes a number, or nothing."""
    return not any(True for _ in tensors(node.meta.get("val")))


def has_other_dim_order(tensor: torch.Tensor) -> bool:
    """Whether dimensions lie in memory in another order than in the shape. What has no elements has no order."""
    if any(isinstance(extent, int) and extent == 0 for extent in tensor.shape):
        return False
    try:
        return tuple(tensor.dim_order()) != tuple(range(tensor.dim()))
    except Exception:  # torch cannot order some symbolic strides; such a tensor was made contiguous.
        return False


def named_arguments(node: torch.fx.Node) -> dict[str, Any]:
    """Arguments by the names of the op's schema, defaults included; nodes stay nodes. Empty for what has no schema."""
    target = node.target._op if isinstance(node.target, EdgeOpOverload) else node.target
    if not isinstance(target, torch._ops.OpOverload):
        return {}
    named = {}
    for index, argument in enumerate(target._schema.arguments):
        if index < len(node.args):
            named[argument.name] = node.args[index]
        elif argument.name in node.kwargs:
            named[argument.name] = node.kwargs[argument.name]
        elif argument.has_default_value():
            named[argument.name] = argument.default_value
    return named


class NodeView:
    """One call of an op.

    constants: the nodes whose values are known ahead of time: parameters, buffers, constants. orders_matter: whether the
    program has tensors that are meant to be laid out otherwise than contiguously; without, such a tensor is a view, or the result of an op
    like lstm, which Core ML may lay out as it likes.
    """

    def __init__(
        self, node: torch.fx.Node, options: Options, constants: frozenset[torch.fx.Node], *, orders_matter: bool = True
    ) -> None:
        self.node = node
        self.options = options
        self.orders_matter = orders_matter
        self._constants = constants

    @functools.cached_property
    def op(self) -> str:
        return op_name(self.node.target)

    @functools.cached_property
    def arguments(self) -> dict[str, Any]:
        return named_arguments(self.node)

    def argument(self, name: str) -> Any:
        """An argument, or None when the op has none of that name."""
        return self.arguments.get(name)

    def tensor(self, name: str) -> torch.Tensor | None:
        """The (fake) tensor that an argument is, or None."""
        value = self.argument(name)
        if isinstance(value, torch.fx.Node):
            value = value.meta.get("val")
        return value if isinstance(value, torch.Tensor) else None

    @functools.cached_property
    def outputs(self) -> list[torch.Tensor]:
        """The tensors it computes; of several, those that are used."""
        value = self.node.meta.get("val")
        if isinstance(value, (list, tuple)):
            return [part for index, part in enumerate(value) if isinstance(part, torch.Tensor) and self.is_used(index)]
        return list(tensors(value))

    @functools.cached_property
    def inputs(self) -> list[torch.Tensor]:
        """The tensors it reads, constants included."""
        return [tensor for node in self.node.all_input_nodes for tensor in tensors(node.meta.get("val"))]

    @functools.cached_property
    def computed_inputs(self) -> list[torch.Tensor]:
        """The tensors it reads, constants left out."""
        return [
            tensor for node in self.node.all_input_nodes if node not in self._constants for tensor in tensors(node.meta.get("val"))
        ]

    def is_constant(self, node: torch.fx.Node) -> bool:
        """Whether a node's value is known ahead of time."""
        return node in self._constants

    def is_used(self, output: int) -> bool:
        """Whether anything reads this output of an op with several."""
        return any(user.target is operator.getitem and user.args[1] == output and user.users for user in self.node.users)
