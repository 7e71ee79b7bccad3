"""Where a graph may be cut: what holds for a partition as a whole, and no single node can know.

`partitions_of` groups the calls that NodeSupport takes (grouping.py) and looks at what each group would be handed and would hand back. A call
that cannot be cut off from its neighbour outside leaves, too, until every group can be a Core ML model.

It ends: each round rejects at least one call that was taken, or is the last. It is linear in the size of the graph but for rounds: a rejected
call passes its own outcome on to its neighbours at once, so a round only finds what a new grouping made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import coremltools as ct
import torch

from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.compiler.high_rank_forms import MAXIMUM_RANK
from executorch_coreml.compiler.signature import extent_range, is_expression
from executorch_coreml.partition.grouping import Group, group, parts, whole_call
from executorch_coreml.partition.support import NodeSupport, Rejection, op_name

WITH_ITS_SOURCE = Rejection("getitem", "with_its_source", "it takes apart the result of an op that stays outside")
_RANK = ("rank", f"Core ML tensors have at most {MAXIMUM_RANK} dimensions")

# A code and a reason.
Problem = tuple[str, str]


def _input_problem(value: Any, options: Options, ranges: Mapping[Any, Any]) -> Problem | None:
    """Why Core ML cannot be handed a value."""
    if not isinstance(value, torch.Tensor):
        return "scalar_input", "a Core ML model's inputs are tensors, but it needs a number that is computed outside"
    if value.dtype == torch.float16 and not options.targets(ct.target.iOS16):
        return "float16_input", "float16 inputs need minimum_deployment_target iOS16"
    if value.dtype not in (torch.bool, torch.int32, torch.int64, torch.float16, torch.float32):
        return "dtype", f"Core ML has no {value.dtype} inputs"
    if value.dim() > MAXIMUM_RANK:
        return _RANK
    if any(is_expression(extent) and extent_range(extent, ranges)[0] < 1 for extent in value.shape):
        return "derived_dimension", f"a model's input cannot be empty, and one of the shape {tuple(value.shape)} may be"
    return None


def _output_problem(value: Any) -> Problem | None:
    """Why Core ML cannot hand back a value."""
    if isinstance(value, (list, tuple)):
        return None  # It is read through getitem.
    if not isinstance(value, torch.Tensor):
        return "scalar_output", "a Core ML model's outputs are tensors, but the number that it computes is used outside"
    return _RANK if value.dim() > MAXIMUM_RANK else None


@dataclasses.dataclass(frozen=True)
class Owned:
    """What partitions take over. inputs: placeholders that are no inputs of theirs. mutations: nodes whose results are written to them only."""

    inputs: frozenset[torch.fx.Node] = frozenset()
    mutations: frozenset[torch.fx.Node] = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the calls of a graph have around them.

    constants: the placeholders whose values partitions take over. buffers: those that partitions may take over as states. owned: which of these
    they take over, by the partition of each node. ranges: symbol -> its range.
    """

    constants: frozenset[torch.fx.Node]
    buffers: frozenset[torch.fx.Node]
    owned: Callable[[Mapping[torch.fx.Node, Any]], Owned]
    ranges: Mapping[Any, Any]


class _Cuts:
    def __init__(self, graph: torch.fx.Graph, support: NodeSupport, options: Options, around: Surroundings) -> None:
        self._graph = graph
        self._support = support
        self._options = options
        self._around = around
        self._input_problems: dict[torch.fx.Node, Problem | None] = {}

    def partitions(self) -> list[Group]:
        self._spread([node for node in self._graph.nodes if self._is_outside(node)])
        while True:
            groups = group(self._graph, self._takes)
            violations = dict(self._violations(groups))
            if not violations:
                return groups
            for node, problem in violations.items():
                self._spread(self._reject(node, problem))

    def _takes(self, node: torch.fx.Node) -> bool:
        return node.op == "call_function" and self._support.is_node_supported(None, node)

    def _is_outside(self, node: torch.fx.Node) -> bool:
        """Whether a node is in no partition, however calls are grouped."""
        may_be_owned = node.op == "get_attr" or node in self._around.constants or node in self._around.buffers
        return not may_be_owned and not self._takes(node)

    def _input_problem(self, source: torch.fx.Node) -> Problem | None:
        if source not in self._input_problems:
            self._input_problems[source] = _input_problem(source.meta.get("val"), self._options, self._around.ranges)
        return self._input_problems[source]

    def _reject(self, node: torch.fx.Node, problem: Problem) -> list[torch.fx.Node]:
        """Keeps a call outside, and what takes its result apart with it. Returns them; nothing where they are outside already."""
        call = whole_call(node)
        if not self._takes(call):
            return []
        self._support.reject(call, Rejection(op_name(call.target), *problem))
        rejected = [call, *parts(call)]
        for part in rejected[1:]:
            self._support.reject(part, WITH_ITS_SOURCE)
        return rejected

    def _spread(self, outside: list[torch.fx.Node]) -> None:
        """Rejects the calls that cannot be cut off from these nodes, those that cannot be cut off from them, and so on."""
        while outside:
            node = outside.pop()
            for user in node.users:
                if self._takes(user) and (problem := self._input_problem(node)) is not None:
                    outside += self._reject(user, problem)
            for source in node.all_input_nodes:
                if self._takes(source) and (problem := _output_problem(source.meta.get("val"))) is not None:
                    outside += self._reject(source, problem)

    def _violations(self, groups: list[Group]) -> Iterator[tuple[torch.fx.Node, Problem]]:
        """The calls that cannot be cut off from what is not in their group."""
        group_of = {node: index for index, calls in enumerate(groups) for node in calls}
        owned = self._around.owned(group_of)
        for index, calls in enumerate(groups):
            has_inputs, has_outputs = False, False
            for node in calls:
                for source in node.all_input_nodes:
                    if group_of.get(source) == index or source in owned.inputs or source in self._around.constants:
                        continue
                    has_inputs = True
                    problem = self._input_problem(source) if source.op != "get_attr" else None
                    if problem is not None:
                        yield node, problem
                if any(group_of.get(user) != index for user in node.users):
                    has_outputs = has_outputs or node not in owned.mutations
                    problem = _output_problem(node.meta.get("val"))
                    if problem is not None:
                        yield node, problem
            whole: Problem | None = None
            if not has_outputs:
                whole = "no_outputs", "nothing outside uses its results, but a Core ML model must have an output"
            elif not has_inputs and not self._options.targets(ct.target.iOS18):
                whole = "no_inputs", "a model without inputs needs minimum_deployment_target iOS18"
            if whole is not None:
                yield from ((node, whole) for node in calls if node.op == "call_function")


def partitions_of(graph: torch.fx.Graph, support: NodeSupport, options: Options, around: Surroundings) -> list[Group]:
    """The calls of each partition, in the order of the graph. What has to stay outside is rejected in `support`.

    Raises NotImplementedError where `support` keeps nothing outside.
    """
    return _Cuts(graph, support, options, around).partitions()
