"""Which nodes of a program go to Core ML, and why the others do not."""

from __future__ import annotations

import dataclasses
import logging
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from executorch.exir.dialects._ops import ops as exir_ops
from torch._subclasses.fake_tensor import FakeTensor
from torch.export.exported_program import ExportedProgram
from torch.fx.passes.operator_support import OperatorSupportBase

from executorch_coreml.compiler import constants, node_conversion, trial
from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.node_facts import op_name
from executorch_coreml.partition import constraints, layouts
from executorch_coreml.partition.node_view import NodeView, tensors

logger = logging.getLogger("executorch.backends.apple.coreml.partition.coreml_partitioner")


@dataclasses.dataclass(frozen=True)
class Rejection:
    """Why a node stays outside. `code` is a constraint's, or "skipped", "no_converter", or one of boundary.py's."""

    op: str
    code: str
    reason: str
    reference: str = ""


class SkipList:
    """The ops a user wants outside, in any spelling: case does not matter, nor whether namespace or overload are given."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = {entry: entry.lower().replace("::", ".") for entry in entries}
        self._matched: set[str] = set()

    def __contains__(self, op: object) -> bool:
        """op: `namespace.name.overload`."""
        full = str(op).lower()
        namespace, _, rest = full.partition(".")
        name = rest.partition(".")[0]
        spellings = {full, rest, name, f"{namespace}.{name}"}
        matched = {entry for entry, spelling in self._entries.items() if spelling in spellings}
        self._matched |= matched
        return bool(matched)

    def unmatched(self) -> list[str]:
        """The entries that no op has matched so far."""
        return sorted(self._entries.keys() - self._matched)


def constant_nodes(program: ExportedProgram) -> frozenset[torch.fx.Node]:
    """The placeholders whose values are known: parameters, buffers that do not change, lifted constants."""
    signature = program.graph_signature
    mutated = set(signature.buffers_to_mutate.values())
    names = {
        *signature.inputs_to_parameters,
        *signature.inputs_to_lifted_tensor_constants,
        *(name for name, buffer in signature.inputs_to_buffers.items() if buffer not in mutated),
    }
    return frozenset(node for node in program.graph.nodes if node.op == "placeholder" and node.name in names)


def constant_values(program: ExportedProgram) -> dict[torch.fx.Node, torch.Tensor]:
    """The values of the constant nodes, and of the tensors that are attributes of the graph."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    constants = constant_nodes(program)
    values = {}
    for node in program.graph.nodes:
        value = None
        if node in constants:
            value = program.state_dict.get(names[node.name], program.constants.get(names[node.name]))
        elif node.op == "get_attr":
            value = getattr(program.graph_module, node.target, None)
        if isinstance(value, FakeTensor):
            # ExecuTorch partitions a program without its values, but for numbers that it made tensors of.
            unknown = torch.ones((), dtype=value.dtype).expand(tuple(value.shape))
            value = unknown if value.constant is None else value.constant
        if isinstance(value, torch.Tensor):
            values[node] = value
    return values


def _beyond_int32(program: ExportedProgram, values: Mapping[torch.fx.Node, torch.Tensor]) -> dict[torch.fx.Node, int]:
    """The nodes of int64 whose values come from a number that int32 does not hold, and that number.

    The number stays outside, and so does what computes integers with it: the runtime refuses an input that int32 does not hold.
    """
    found: dict[torch.fx.Node, int] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.dtype != torch.int64:
            continue
        if node in values:
            number = constants.beyond_int32(values[node])
        else:
            number = constants.literal_beyond_int32(node)
            if number is None:
                number = next((found[source] for source in node.all_input_nodes if source in found), None)
        if number is not None:
            found[node] = number
    return found


def _mixes_dtypes(node: torch.fx.Node) -> bool:
    """Whether ExecuTorch refuses a call of an ATen program that is kept whole, for the dtypes of its tensors together."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    try:
        packet = getattr(getattr(exir_ops.edge, target.namespace), target._schema.name.partition("::")[2])
        schema = getattr(packet, target._overloadname or "default")._schema
    except (AttributeError, RuntimeError):
        return False
    given: dict[str, torch.dtype] = {}
    for position, argument in enumerate(target._schema.arguments):
        value = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name)
        if isinstance(value, (bool, int, float)) and isinstance(argument.type, torch.TensorType):
            given[argument.name] = torch.tensor(value).dtype  # What ExecuTorch makes of it, whatever the other tensors are.
            continue
        first = next((n for n in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(n, torch.fx.Node)), None)
        tensor = next(tensors(first.meta.get("val")), None) if first is not None else None
        if tensor is not None:
            given[argument.name] = tensor.dtype
    results = zip(target._schema.returns, tensors(node.meta.get("val")), strict=False)
    given |= {returned.name or f"__ret_{index}": tensor.dtype for index, (returned, tensor) in enumerate(results)}
    constraint = getattr(schema, "dtype_constraint", None)
    return constraint is not None and not constraint.validate(given)


class NodeSupport(OperatorSupportBase):
    """Decides node by node; remembers why it rejected. One per program."""

    def __init__(
        self,
        program: ExportedProgram,
        options: Options,
        skip_list: SkipList,
        *,
        lower_full_graph: bool = False,
    ) -> None:
        super().__init__()
        self._options = options
        self._skip_list = skip_list
        self._lower_full_graph = lower_full_graph
        self._constants = constant_nodes(program)
        self._constant_values = constant_values(program)
        self._beyond_int32 = _beyond_int32(program, self._constant_values)
        self._orders_matter = layouts.has_other_layouts(program)
        self._rejections: dict[torch.fx.Node, Rejection] = {}
        self._accepted: set[torch.fx.Node] = set()

    @property
    def rejections(self) -> dict[torch.fx.Node, Rejection]:
        return self._rejections

    def is_node_supported(self, submodules: Any, node: torch.fx.Node) -> bool:
        if node.op == "get_attr":
            return True
        if node.op != "call_function":
            return False
        if node in self._accepted:
            return True
        if node in self._rejections:
            return False
        rejection = self._check(node)
        if rejection is None:
            self._accepted.add(node)
            return True
        self.reject(node, rejection)
        return False

    def reject(self, node: torch.fx.Node, rejection: Rejection) -> None:
        """Keeps a node outside from now on.

        Raises NotImplementedError when the whole graph is to be lowered.
        """
        if self._lower_full_graph:
            raise NotImplementedError(
                f"CoreML does not support the op {rejection.op}, but you have set lower_full_graph=True in the CoreMLPartitioner. "
                f"It is not taken because {rejection.reason}. {rejection.reference}\n\n"
                "Please set lower_full_graph=False in the CoreMLPartitioner to allow running unsupported ops outside of CoreML, or rewrite "
                "the model to avoid the op."
            )
        self._accepted.discard(node)
        self._rejections[node] = rejection

    def _check(self, node: torch.fx.Node) -> Rejection | None:
        if node.target is operator.getitem:
            # Goes with the op whose result it takes apart.
            source = node.args[0]
            if isinstance(source, torch.fx.Node) and self.is_node_supported(None, source):
                return None
            return Rejection("getitem", "with_its_source", "it takes apart the result of an op that stays outside")
        view = NodeView(node, self._options, self._constants, orders_matter=self._orders_matter)
        if view.op in self._skip_list:
            return Rejection(view.op, "skipped", "skip_ops_for_coreml_delegation names it")
        if node_conversion.converter_of(node_conversion.kind_of(node.target)) is None:
            return Rejection(view.op, "no_converter", "coremltools has no conversion for it")
        broken = constraints.violated(view)
        if broken is not None:
            return Rejection(view.op, broken.code, broken.reason, broken.reference)
        number = next((self._beyond_int32[n] for n in (node, *node.all_input_nodes) if n in self._beyond_int32), None)
        if number is not None:
            return Rejection(view.op, "int64_values", f"Core ML computes int64 in int32, which cannot hold {number}")
        if _mixes_dtypes(node):
            return Rejection(
                view.op, "mixed_dtypes", "ExecuTorch has a kernel for the undecomposed op only if all its tensors have one dtype"
            )
        problem = trial.why_not_converted(node, self._constant_values, self._options.deployment_target, self._options.guarded)
        if problem is not None:
            return Rejection(view.op, "conversion", f"it cannot be converted: {problem}")
        return None


__all__ = ["NodeSupport", "Rejection", "SkipList", "constant_nodes", "op_name"]
