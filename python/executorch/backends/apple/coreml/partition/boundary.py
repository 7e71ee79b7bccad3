"""Where a partition may be cut: what holds for a partition as a whole, and no single node can know.

`find_violations` looks at one proposed partition and names the nodes that have to leave it. The partitioner proposes again until there are
none, so that everything that is left converts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import coremltools as ct
import torch

from executorch.backends.apple.coreml.compiler.compile_specs import Options
from executorch.backends.apple.coreml.compiler.high_rank import MAXIMUM_RANK
from executorch.backends.apple.coreml.partition.support import Rejection, op_name

Nodes = Mapping[torch.fx.Node, Any]

_RANK = ("rank", f"Core ML tensors have at most {MAXIMUM_RANK} dimensions")


def _is_expression(extent: Any) -> bool:
    """Whether an extent is neither a number nor one symbol, such as 2*s0."""
    return not isinstance(extent, int) and not extent.node.expr.is_Symbol


def _input_problem(value: Any, options: Options) -> tuple[str, str] | None:
    """Why Core ML cannot be handed a value, as code and reason."""
    if not isinstance(value, torch.Tensor):
        return "scalar_input", "Core ML takes tensors only, and it needs a number that is computed outside"
    if value.dtype == torch.float16 and not options.targets(ct.target.iOS16):
        return "float16_input", "float16 inputs need minimum_deployment_target iOS16"
    if value.dtype not in (torch.bool, torch.int32, torch.int64, torch.float16, torch.float32):
        return "dtype", f"Core ML has no {value.dtype} inputs"
    if value.dim() > MAXIMUM_RANK:
        return _RANK
    if any(_is_expression(extent) for extent in value.shape):
        return (
            "derived_dimension",
            f"a model's input cannot have the shape {tuple(value.shape)}: an extent is an expression of symbols",
        )
    return None


def external_inputs(nodes: Nodes, owned: frozenset[torch.fx.Node]) -> list[torch.fx.Node]:
    """What a partition reads from outside, in order of first use; `owned` are the constants and states it takes over."""
    found: dict[torch.fx.Node, None] = {}
    for node in nodes:
        for source in node.all_input_nodes:
            if source not in nodes and source not in owned and source.op != "get_attr":
                found[source] = None
    return list(found)


def _external_outputs(nodes: Nodes) -> Iterator[torch.fx.Node]:
    for node in nodes:
        if any(user not in nodes for user in node.users):
            yield node


def find_violations(
    nodes: Nodes, owned: frozenset[torch.fx.Node], mutations: frozenset[torch.fx.Node], options: Options
) -> dict[torch.fx.Node, Rejection]:
    """The nodes that have to leave a partition.

    Args:
        nodes: the partition's.
        owned: the constants, and the buffers whose states the partition keeps.
        mutations: the nodes whose results are only written to buffers that the partition keeps.
        options: the parsed compile specs.
    """
    found: dict[torch.fx.Node, Rejection] = {}

    def leave(node: torch.fx.Node, code: str, reason: str) -> None:
        found.setdefault(node, Rejection(op_name(node.target), code, reason))

    inputs = external_inputs(nodes, owned)
    for source in inputs:
        # An op with several results is read through getitem, which belongs to the partition of its source.
        problem = _input_problem(source.meta.get("val"), options)
        if problem is not None:
            for user in source.users:
                if user in nodes:
                    leave(user, *problem)
    outputs = list(_external_outputs(nodes))
    for node in outputs:
        value = node.meta.get("val")
        if isinstance(value, (list, tuple)):
            continue
        if not isinstance(value, torch.Tensor):
            leave(node, "scalar_output", "Core ML returns tensors only, and the number it computes is used outside")
        elif value.dim() > MAXIMUM_RANK:
            leave(node, *_RANK)
    if not inputs and not options.targets(ct.target.iOS18):
        _leave_all(nodes, "no_inputs", "a model without inputs needs minimum_deployment_target iOS18", leave)
    if all(node in mutations for node in outputs):
        _leave_all(nodes, "no_outputs", "nothing outside uses its results, and a Core ML model has an output", leave)
    return found


def _leave_all(nodes: Iterable[torch.fx.Node], code: str, reason: str, leave: Any) -> None:
    for node in nodes:
        if node.op == "call_function":
            leave(node, code, reason)
