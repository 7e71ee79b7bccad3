"""Which node of the edge program each operation of a model package computes.

coremltools names an operation after the node whose value it gives, and adds a suffix for a change of dtype; where passes made a name of their
own, the debug handles that travel with the package say which node it was.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Sequence

import torch

from executorch_coreml.node_facts import computing_op
from executorch_coreml.sdk.verify_edge import EdgeProgram, Node
from executorch_coreml.sdk.verify_package import Operation, Package

_DTYPE_SUFFIX = re.compile(r"(_cast_[a-z]+\d*|_to_[a-z]+\d+)(_\d+)?$")
_ITEM = re.compile(r"(?P<base>.+)_(?P<index>\d+)$")


def plain_name(name: str) -> str:
    """An operation's name without what coremltools adds when it changes a dtype: aten_add_tensor_cast_fp16 -> aten_add_tensor."""
    while True:
        shorter = _DTYPE_SUFFIX.sub("", name)
        if shorter == name:
            return name
        name = shorter


@dataclasses.dataclass(frozen=True)
class Mapping:
    """node -> the operation whose output is its value, for the nodes that have one; in the order of the edge program."""

    operations: dict[Node, Operation]
    # Operations of the package by the name of their output.
    by_name: dict[str, Operation]

    def group(self, node: Node) -> tuple[Operation, ...]:
        """The operations that compute a node's value from those of other nodes, in order, its own last."""
        last = self.operations[node]
        known = {op.name for op in self.operations.values()} - {last.name}
        found: dict[str, Operation] = {}
        waiting = [last]
        while waiting:
            operation = waiting.pop()
            if operation.name in found:
                continue
            found[operation.name] = operation
            waiting += [self.by_name[name] for name in operation.reads if name in self.by_name and name not in known]
        return tuple(sorted(found.values(), key=lambda operation: operation.index))


def map_package(edge: EdgeProgram, package: Package) -> Mapping:
    """Maps by name, and what names leave open by debug handle. An operation whose shape is not its node's is left out."""
    order = {node: index for index, node in enumerate(edge.program.graph.nodes)}
    found: dict[Node, Operation] = {}
    for operation in package.operations:
        node = _by_name(edge, operation)
        if node is not None and node.op != "placeholder" and _fits(operation, node):
            found.setdefault(node, operation)
    taken = {operation.name for operation in found.values()}
    if _handles_agree(found, package):
        for node, operation in _by_handle(edge, package, found, taken):
            found[node] = operation
    for node in _rescaled(found):
        found.pop(node, None)
    ordered = dict(sorted(found.items(), key=lambda item: order[item[0]]))
    return Mapping(ordered, {operation.name: operation for operation in package.operations})


def _rescaled(found: dict[Node, Operation]) -> set[Node]:
    """Nodes whose values a pass has multiplied: from a dequantize that got another scale up to the quantize that divides by as much.

    coremltools does that to sums and products of quantized values (distributive_quantized_binary_op_scale_normalization); it is right as a
    whole, and the integers behind it are those of the edge program.
    """
    reached: set[Node] = set()
    waiting = [node for node, operation in found.items() if _has_other_scale(node, operation)]
    while waiting:
        node = waiting.pop()
        if node in reached or computing_op(node).startswith("quantized_decomposed.quantize"):
            continue
        reached.add(node)
        waiting += node.users
    return reached


def _has_other_scale(node: Node, operation: Operation) -> bool:
    if (
        operation.type != "dequantize"
        or operation.scale is None
        or not computing_op(node).startswith("quantized_decomposed.dequantize_per_tensor")
    ):
        return False
    scale = node.args[1]
    # Float16 holds a scale to 2^-11.
    return isinstance(scale, float) and not math.isclose(scale, operation.scale, rel_tol=2**-9)


def items(node: Node) -> dict[int, Node]:
    """The nodes that take items of a node with several results, by index."""
    return {int(str(user.args[1])): user for user in node.users if user.target is operator.getitem}


def _by_name(edge: EdgeProgram, operation: Operation) -> Node | None:
    name = plain_name(operation.name)
    node = edge.nodes.get(name)
    if node is not None:
        return items(node).get(0) if isinstance(node.meta.get("val"), (tuple, list)) else node
    item = _ITEM.match(name)
    base = edge.nodes.get(item["base"]) if item else None
    if item and base is not None and isinstance(base.meta.get("val"), (tuple, list)):
        return items(base).get(int(item["index"]))
    return None


def _fits(operation: Operation, node: Node) -> bool:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or (operation.dtype == "BOOL") != (value.dtype == torch.bool):
        return False
    if value.is_floating_point() != operation.dtype.startswith("FLOAT"):
        return False
    if value.ndim == 0:
        return operation.shape in ((), (1,))
    return len(operation.shape) == value.ndim and all(
        mine is None or not isinstance(theirs, int) or mine == theirs
        for mine, theirs in zip(operation.shape, value.shape, strict=True)
    )


def _handles_agree(found: dict[Node, Operation], package: Package) -> bool:
    """Whether the package's handles are those of this edge program, judged by the nodes that names have mapped."""
    known = [(node, package.handles[op.name]) for node, op in found.items() if op.name in package.handles]
    wrong = sum(node.meta.get("debug_handle") not in handles for node, handles in known)
    return bool(known) and wrong * 10 <= len(known)


def _by_handle(
    edge: EdgeProgram, package: Package, found: dict[Node, Operation], taken: set[str]
) -> Sequence[tuple[Node, Operation]]:
    of_handle: dict[int, list[Operation]] = {}
    for operation in package.operations:
        for handle in package.handles.get(operation.name, ()):
            of_handle.setdefault(handle, []).append(operation)
    more = []
    for handle, operations in of_handle.items():
        nodes = [n for n in edge.by_handle.get(handle, ()) if isinstance(n.meta.get("val"), torch.Tensor)]
        if not nodes or nodes[-1] in found:
            continue
        fitting = [op for op in operations if op.name not in taken and op.type != "cast" and _fits(op, nodes[-1])]
        if fitting and operations[-1] in (fitting[-1], *[op for op in operations if op.type == "cast"]):
            more.append((nodes[-1], fitting[-1]))
            taken.add(fitting[-1].name)
    return more
