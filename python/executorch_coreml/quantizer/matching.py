"""Finding patterns in a graph, and what can be known of a tensor from the graph alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch

from executorch_coreml.quantizer import patterns
from executorch_coreml.quantizer.patterns import Pattern

# A constant of at least this magnitude is a stand-in for infinity (-1e4, -65504, -3.4e38, -inf are in use), not a number to quantize.
_SENTINEL = 1e4


@dataclasses.dataclass(frozen=True)
class Match:
    """An anchor and what follows it. `output` is the last op; it is the anchor where nothing follows."""

    pattern: Pattern
    anchor: torch.fx.Node
    batch_norm: torch.fx.Node | None = None
    activation: torch.fx.Node | None = None

    @property
    def nodes(self) -> tuple[torch.fx.Node, ...]:
        return tuple(node for node in (self.anchor, self.batch_norm, self.activation) if node is not None)

    @property
    def output(self) -> torch.fx.Node:
        return self.nodes[-1]

    @property
    def name(self) -> str:
        names = [self.pattern.name]
        if self.batch_norm is not None:
            names.append("batch_norm")
        if self.activation is not None:
            names.append(patterns.activations()[self.activation.target].name)
        return " + ".join(names)


def match(anchor: torch.fx.Node, joins: Callable[[torch.fx.Node], bool]) -> Match | None:
    """The longest match at an op, or None where no pattern has it as anchor.

    Args:
        joins: whether a following op may be in the match.
    """
    pattern = patterns.index().get(anchor.target)
    if pattern is None:
        return None
    if pattern.kind is patterns.Kind.SHARING or not pattern.followed:
        return Match(pattern, anchor)
    batch_norm = None
    last = anchor
    if pattern.kind is patterns.Kind.WEIGHTED:
        batch_norm = _only_reader(last, patterns.overloads(patterns.BATCH_NORM), joins)
        last = batch_norm or last
    return Match(pattern, anchor, batch_norm, _only_reader(last, patterns.activations().keys(), joins))


def _only_reader(node: torch.fx.Node, targets: Any, joins: Callable[[torch.fx.Node], bool]) -> torch.fx.Node | None:
    if len(node.users) != 1:
        return None
    (reader,) = node.users
    if reader.target not in targets or reader.args[0] is not node or not joins(reader):
        return None
    return reader


def value(node: torch.fx.Node) -> torch.Tensor | None:
    """The fake tensor a node computes; None when it computes something else, or nothing is known."""
    found = node.meta.get("val")
    return found if isinstance(found, torch.Tensor) else None


def is_float(node: torch.fx.Node) -> bool:
    found = value(node)
    return found is not None and found.is_floating_point()


def is_constant(node: torch.fx.Node) -> bool:
    """Whether a tensor is a parameter, or computed from parameters alone."""
    pending, seen = [node], set()
    while pending:
        current = pending.pop()
        if current in seen or current.op == "get_attr":
            continue
        if current.op != "call_function" or not current.all_input_nodes:
            return False
        seen.add(current)
        pending += current.all_input_nodes
    return True


def is_non_negative(node: torch.fx.Node) -> bool:
    """Whether the op that computes a tensor computes no negative numbers."""
    row = patterns.activations().get(node.target)
    if row is not None and row.name == "hardtanh":
        lowest = node.args[1] if len(node.args) > 1 else node.kwargs.get("min_val", -1.0)
        return isinstance(lowest, (int, float)) and lowest >= 0
    return (row is not None and row.non_negative) or node.target in patterns.overloads(patterns.NON_NEGATIVE)


def tensor_operands(node: torch.fx.Node) -> list[torch.fx.Node]:
    """The tensors among an op's arguments, lists included, in order, each once."""
    return list(dict.fromkeys(_nodes(node.args)))


def _nodes(arguments: Any) -> Iterator[torch.fx.Node]:
    for argument in arguments:
        if isinstance(argument, torch.fx.Node):
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from _nodes(argument)


def nodes_with_sentinels(model: torch.fx.GraphModule) -> set[torch.fx.Node]:
    """Tensors that hold stand-ins for infinity, such as an attention mask on its way to the scores."""
    found: set[torch.fx.Node] = set()
    carriers = patterns.overloads(patterns.CARRIES_CONSTANTS)
    for node in model.graph.nodes:
        if node.op == "get_attr":
            if _is_sentinel_constant(model, str(node.target)):
                found.add(node)
        elif node.op == "call_function":
            shares = node.target in patterns.index() and patterns.index()[node.target].kind is patterns.Kind.SHARING
            if (node.target in carriers and any(map(_is_sentinel, (*node.args, *node.kwargs.values())))) or (
                (node.target in carriers or shares) and any(operand in found for operand in tensor_operands(node))
            ):
                found.add(node)
    return found


def _is_sentinel(argument: Any) -> bool:
    return isinstance(argument, (int, float)) and not isinstance(argument, bool) and abs(argument) >= _SENTINEL


def _is_sentinel_constant(model: torch.fx.GraphModule, path: str) -> bool:
    holder: Any = model
    for part in path.split("."):
        holder = getattr(holder, part, None)
    if not isinstance(holder, torch.Tensor) or isinstance(holder, torch.nn.Parameter) or not holder.is_floating_point():
        return False
    return holder.numel() > 0 and bool((holder.abs() >= _SENTINEL).any())
