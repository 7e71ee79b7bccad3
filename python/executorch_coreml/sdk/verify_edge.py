"""The edge program that a reference is lowered through, and its values.

Partitions are cut out of this program, and Core ML's operations are named after its nodes, so that a node is what a value of the engine is
compared with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from executorch.exir.backend.partitioner import Partitioner, PartitionResult
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from executorch_coreml.node_facts import computing_op
from executorch_coreml.sdk import verify_reference
from executorch_coreml.sdk.errors import ToolError

Node = torch.fx.Node
Rule = Callable[[ExportedProgram], tuple[list[torch._ops.OpOverload], Any]]
Transform = Callable[[ExportedProgram], ExportedProgram]


class _Captured(Exception):
    """Ends lowering once the edge program is there."""


class _Capture(Partitioner):
    """Stands in for the partitioner that a program was lowered with, up to the point where it is asked to partition."""

    def __init__(self, rule: Rule, before: Transform) -> None:
        """rule: what is kept whole of a program. before: what is made of the program before."""
        super().__init__()
        self._rule = rule
        self._before = before
        self.program: ExportedProgram | None = None

    def transform_for_pre_decomposition(self, exported_program: ExportedProgram) -> ExportedProgram:
        return self._before(exported_program)

    def ops_to_not_decompose(self, ep: ExportedProgram) -> tuple[list[torch._ops.OpOverload], Any]:
        return self._rule(ep)

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        self.program = exported_program
        raise _Captured


def our_partitioner(lowered_with: Mapping[str, bytes], **others: Any) -> Partitioner:
    """The partitioner that lowers as a delegate of a .pte was lowered.

    Args:
        lowered_with: the delegate's compile specs; none for the defaults.
        others: options to replace, by their names in `compile_options.OPTIONS`.

    Raises:
        ToolError: for compile specs that this version does not have.
    """
    from executorch.exir.backend.compile_spec_schema import CompileSpec

    from executorch_coreml.compiler.compile_options import COMPILE_SPEC_KEYS, OPTIONS
    from executorch_coreml.partition import CoreMLPartitioner

    replaced = {OPTIONS[name].key.value for name in others}
    specs = [CompileSpec(key, value) for key, value in lowered_with.items() if key not in replaced]
    specs += [OPTIONS[name].spec(value) for name, value in others.items()]
    # Enumerated shapes are given to whole programs only.
    whole = COMPILE_SPEC_KEYS.ENUMERATED_SHAPES.value in lowered_with
    try:
        return CoreMLPartitioner(compile_specs=specs, lower_full_graph=whole)
    except ValueError as error:
        raise ToolError(f"the reference cannot be lowered as the program was: {error}") from error


def lower(reference: ExportedProgram, partitioner: Partitioner) -> bytes:
    """A .pte of the reference as this exporter makes it.

    Raises:
        ToolError: for a program that cannot be lowered.
    """
    try:
        with verify_reference.quiet():
            manager = to_edge_transform_and_lower(
                verify_reference.own_copy(reference),
                partitioner=[partitioner],
                compile_config=EdgeCompileConfig(_check_ir_validity=False),
            )
            return bytes(manager.to_executorch().buffer)
    except Exception as error:
        raise ToolError(f"the reference cannot be lowered: {type(error).__name__}: {error}") from error


def _stock(ep: ExportedProgram) -> tuple[list[torch._ops.OpOverload], Any]:
    """What executorch 1.5's own partitioner keeps: whatever coremltools has a converter for, but for views and four ops."""
    from coremltools.converters.mil.frontend.torch import is_torch_fx_node_supported

    aten = torch.ops.aten
    decomposed = {aten.triu.default, aten.tril.default, aten.repeat_interleave.self_int, aten.repeat_interleave.self_Tensor}
    kept = []
    for node in ep.graph.nodes:
        op = node.target
        if node.op != "call_function" or not isinstance(op, torch._ops.OpOverload) or op in decomposed:
            continue
        is_view = any(a.alias_info is not None and not a.alias_info.is_write for a in op._schema.arguments)
        with contextlib.suppress(Exception):  # The stock partitioner takes an exception for "no" as well.
            if not is_view and is_torch_fx_node_supported(node):
                kept.append(op)
    return kept, None


def capture(reference: ExportedProgram, *, names: Collection[str], lowered_with: Mapping[str, bytes], is_ours: bool) -> EdgeProgram:
    """The edge program as it was partitioned.

    Exporters differ in the ops that they keep whole: of the programs that ours and executorch's own would make, the one that has more nodes
    called by `names`.

    Args:
        lowered_with: the delegate's compile specs.
        is_ours: whether this exporter is known to have made it.

    Raises:
        ToolError: for a program that cannot be lowered to the edge dialect.
    """
    found: list[EdgeProgram] = []
    ours = our_partitioner(lowered_with)
    rules: list[tuple[Rule, Transform]] = [
        (lambda ep: our_partitioner(lowered_with).ops_to_not_decompose(ep), ours.transform_for_pre_decomposition)
    ]
    if not is_ours:
        rules.append((_stock, lambda ep: ep))
    for rule in rules:
        stand_in = _Capture(*rule)
        try:
            with verify_reference.quiet():
                to_edge_transform_and_lower(
                    verify_reference.own_copy(reference),
                    partitioner=[stand_in],
                    compile_config=EdgeCompileConfig(_check_ir_validity=False),
                )
        except _Captured:
            pass
        except Exception as error:
            raise ToolError(f"the reference cannot be lowered to the edge dialect: {type(error).__name__}: {error}") from error
        if stand_in.program is not None:
            found.append(EdgeProgram(stand_in.program, {**reference.constants, **reference.state_dict}))
    return max(found, key=lambda edge: edge.hits(names))


class EdgeProgram:
    """An edge program and how to compute it."""

    def __init__(self, program: ExportedProgram, weights: Mapping[str, Any]) -> None:
        """`weights`: the values of parameters, buffers and constants; while it is lowered, a program has none of its own."""
        self.program = program
        self._weights = weights
        self.nodes: dict[str, Node] = {node.name: node for node in program.graph.nodes}
        self.by_handle: dict[int, list[Node]] = {}
        for node in program.graph.nodes:
            if node.op == "call_function" and isinstance(node.meta.get("debug_handle"), int):
                self.by_handle.setdefault(node.meta["debug_handle"], []).append(node)

    def hits(self, names: Collection[str]) -> int:
        return len(set(names) & self.nodes.keys())

    def placeholders(self, inputs: Sequence[np.ndarray]) -> dict[Node, Any]:
        """The value of each placeholder for flat user inputs; buffers are copies."""
        given = iter(verify_reference.as_tensors(inputs))
        values: dict[Node, Any] = {}
        for spec in self.program.graph_signature.input_specs:
            node = self.nodes[spec.arg.name]
            if spec.kind == InputKind.USER_INPUT:
                values[node] = next(given)
            else:
                value = self._value(spec.target, node)
                values[node] = value.clone() if spec.kind == InputKind.BUFFER else value
        return values

    def _value(self, target: str, node: Node) -> Any:
        """Of a parameter, buffer or constant. One that lowering has made is only in the placeholder's metadata."""
        value = self._weights.get(target)
        if value is None:
            value = self.program.constants.get(target)
        if value is None:
            value = getattr(node.meta.get("val"), "constant", None)
        if value is None:
            raise ToolError(f"the value of {target}, a constant of the reference, is not known after lowering")
        return value.detach() if isinstance(value, torch.Tensor) else value

    def run(
        self,
        inputs: Sequence[np.ndarray],
        keep: Callable[[Node], bool],
        *,
        entering: Callable[[Any], Any] = lambda value: value,
        made: Callable[[Any], Any] = lambda value: value,
    ) -> dict[Node, Any]:
        """Computes everything, and returns the values of the nodes that `keep` says; the others live as long as they are needed.

        `entering` is applied to each placeholder's value, `made` to each result.

        Raises:
            ToolError: for an operator that PyTorch cannot compute.
        """
        values = {node: entering(value) for node, value in self.placeholders(inputs).items()}
        kept = {node: value for node, value in values.items() if keep(node)}
        last_use = {argument: node for node in self.program.graph.nodes for argument in node.all_input_nodes}
        ending: dict[Node, list[Node]] = {}
        for argument, node in last_use.items():
            ending.setdefault(node, []).append(argument)
        with torch.no_grad():
            for node in self.program.graph.nodes:
                if node.op in ("call_function", "get_attr"):
                    values[node] = made(evaluate(node, values))
                    if keep(node):
                        kept[node] = values[node]
                for argument in ending.get(node, ()):
                    values.pop(argument, None)
        return kept

    def user_inputs(self) -> list[Node]:
        """The placeholders of the inputs, in order."""
        return [self.nodes[s.arg.name] for s in self.program.graph_signature.input_specs if s.kind == InputKind.USER_INPUT]

    def user_outputs(self) -> list[Node | None]:
        """The nodes of the outputs, in order; None for one that is no node."""
        specs = [s for s in self.program.graph_signature.output_specs if s.kind == OutputKind.USER_OUTPUT]
        return [self.nodes.get(getattr(spec.arg, "name", "")) for spec in specs]


def evaluate(node: Node, values: Mapping[Node, Any]) -> Any:
    """The value of one node, from those of its arguments, which stay as they are. ToolError when PyTorch cannot compute it."""
    if node.op == "get_attr":
        return getattr(node.graph.owning_module, str(node.target))

    def value(argument: Node) -> Any:
        return values[argument]

    args = torch.fx.map_arg(node.args, value)
    kwargs = torch.fx.map_arg(node.kwargs, value)
    try:
        target: Any = node.target
        return target(*args, **kwargs)
    except Exception as error:  # An operator raises whatever it likes.
        raise ToolError(
            f"PyTorch cannot compute the node {node.name} ({computing_op(node)}): {type(error).__name__}: {error}"
        ) from error
