"""Calls of control flow: `torch.cond`, `while_loop`, `map`, `scan`, and the graphs inside them.

Core ML takes `torch.cond` and `torch.while_loop` where it takes every call inside them. One that stays outside is ExecuTorch's, and what is inside
its graphs may still go to Core ML: ExecuTorch partitions the graphs of the calls that it executes. A graph is an attribute of the graph around it,
read by a `get_attr` node.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from executorch.exir.graph_module import get_control_flow_submodules
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, TensorArgument

from executorch_coreml.compiler import control_flow
from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.compiler.high_rank_forms import MAXIMUM_RANK
from executorch_coreml.compiler.mil_types import mil_dtype
from executorch_coreml.node_facts import op_name
from executorch_coreml.partition.node_view import tensors
from executorch_coreml.partition.support import NodeSupport, Rejection, SkipList

_COMPUTED_DTYPES = (torch.bool, torch.int32, torch.int64, torch.float16, torch.float32)


def graphs_of(module: torch.fx.GraphModule, call: torch.fx.Node) -> list[torch.fx.GraphModule]:
    """The graphs that a call of control flow is given, in order."""
    given = [getattr(module, str(node.target), None) for node in call.all_input_nodes if node.op == "get_attr"]
    return [graph for graph in given if isinstance(graph, torch.fx.GraphModule)]


def has_loop(module: torch.fx.GraphModule) -> bool:
    """Whether a graph, or one inside it, calls `torch.while_loop`."""
    for node in module.graph.nodes:
        if node.target is control_flow.WHILE_LOOP:
            return True
        if isinstance(node.target, torch._ops.HigherOrderOperator) and any(map(has_loop, graphs_of(module, node))):
            return True
    return False


def partitioned_graphs(module: torch.fx.GraphModule) -> Iterator[tuple[torch.fx.Node, torch.fx.GraphModule]]:
    """The calls of control flow whose graphs ExecuTorch partitions, with each of these graphs."""
    for _, graph, call in get_control_flow_submodules(module):
        if isinstance(graph, torch.fx.GraphModule):
            yield call, graph


@dataclasses.dataclass(frozen=True)
class _Inner:
    """What NodeSupport reads of a program, for a graph inside one. constants: of its inputs, those whose values are known, by name."""

    graph_module: torch.fx.GraphModule
    range_constraints: Mapping[Any, Any]
    constants: Mapping[str, torch.Tensor]
    state_dict: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def graph(self) -> torch.fx.Graph:
        return self.graph_module.graph

    @property
    def graph_signature(self) -> ExportGraphSignature:
        specs = [InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(name), name) for name in self.constants]
        return ExportGraphSignature(specs, [])


def as_program(
    graph: torch.fx.GraphModule, program: ExportedProgram, known: Mapping[str, torch.Tensor] | None = None
) -> ExportedProgram:
    """A graph inside a program, to be looked at as if it were a program. `known` are the inputs whose values are known ahead of time, by name."""
    return cast(ExportedProgram, _Inner(graph, program.range_constraints, known or {}))


def _placeholders(graph: torch.fx.GraphModule) -> list[torch.fx.Node]:
    return [node for node in graph.graph.nodes if node.op == "placeholder"]


def _results(graph: torch.fx.GraphModule) -> list[Any]:
    returned = graph.graph.output_node().args[0]
    return list(returned) if isinstance(returned, (list, tuple)) else [returned]


def _type(node: Any) -> tuple[Any, ...] | None:
    """dtype and shape of a tensor of fixed extents; None for anything else."""
    value = node.meta.get("val") if isinstance(node, torch.fx.Node) else None
    if not isinstance(value, torch.Tensor) or not all(isinstance(extent, int) for extent in value.shape):
        return None
    return value.dtype, tuple(value.shape)


class ProgramSupport(NodeSupport):
    """NodeSupport that looks into calls of control flow."""

    def __init__(self, program: ExportedProgram, options: Options, skip_list: SkipList, *, lower_full_graph: bool = False) -> None:
        super().__init__(program, options, skip_list, lower_full_graph=lower_full_graph)
        self._program = program

    def _check(self, node: torch.fx.Node) -> Rejection | None:
        if node.target not in (control_flow.COND, control_flow.WHILE_LOOP):
            return super()._check(node)
        op = op_name(node.target)
        if op in self._skip_list:
            return Rejection(op, "skipped", "skip_ops_for_coreml_delegation names it")
        problem = self._why_no_cond(node) if node.target is control_flow.COND else self._why_no_loop(node)
        problem = problem or self._why_no_values(node) or self._why_no_graphs(node)
        if problem is not None:
            return Rejection(op, "control_flow", problem)
        problem = control_flow.why_not_converted(
            node, self._constant_values, self._options.deployment_target, self._options.guarded
        )
        return Rejection(op, "conversion", f"it cannot be converted: {problem}") if problem is not None else None

    def _why_no_cond(self, node: torch.fx.Node) -> str | None:
        predicate = node.args[0]
        value = predicate.meta.get("val") if isinstance(predicate, torch.fx.Node) else None
        if not isinstance(value, torch.Tensor) or value.dtype != torch.bool or value.numel() != 1:
            return "Core ML chooses a branch by a tensor with one bool, and this call chooses by something else"
        return None

    def _why_no_loop(self, node: torch.fx.Node) -> str | None:
        body = graphs_of(self._program.graph_module, node)[1]
        before = [_type(source) for source in cast(Any, node.args[2])]
        if None in before or before != [_type(result) for result in _results(body)]:
            return "the loop variables of a Core ML loop must be tensors that keep their dtypes and fixed shapes"
        return None

    def _why_no_values(self, node: torch.fx.Node) -> str | None:
        """What is wrong with the operands and results of a call of control flow."""
        operands = [source.meta.get("val") for source in node.all_input_nodes if source.op != "get_attr"]
        handed = len(cast(Any, node.args[3])) + (len(cast(Any, node.args[2])) if node.target is control_flow.WHILE_LOOP else 0)
        if handed != len(_placeholders(graphs_of(self._program.graph_module, node)[0])) or not all(
            isinstance(value, torch.Tensor) for value in operands
        ):
            return "Core ML passes only tensors to the graphs inside an operation"
        for tensor in (*tensors(operands), *tensors(node.meta.get("val"))):
            if tensor.dtype not in _COMPUTED_DTYPES or mil_dtype(tensor.dtype) is None:
                return f"Core ML does not compute in {tensor.dtype}"
            if tensor.dim() > MAXIMUM_RANK:
                return f"Core ML tensors have at most {MAXIMUM_RANK} dimensions"
        return None

    def _why_no_graphs(self, node: torch.fx.Node) -> str | None:
        """The first call inside that is not taken, and why."""
        is_loop = node.target is control_flow.WHILE_LOOP
        carried = list(cast(Any, node.args[2])) if is_loop else []
        operands = [*carried, *cast(Any, node.args[3])]
        for graph in graphs_of(self._program.graph_module, node):
            known = {
                placeholder.name: self._constant_values[operand]
                for index, (placeholder, operand) in enumerate(zip(_placeholders(graph), operands, strict=True))
                if operand in self._constant_values and index >= len(carried)
            }
            inner = ProgramSupport(as_program(graph, self._program, known), self._options, self._skip_list)
            for call in graph.graph.nodes:
                if call.op == "call_function" and not inner.is_node_supported(None, call):
                    rejection = inner.rejections[call]
                    return f"{rejection.op}, which is inside it, stays outside because {rejection.reason}"
            if not all(isinstance(result, torch.fx.Node) for result in _results(graph)):
                return "one of its graphs returns a constant that is not a tensor"
        return None
