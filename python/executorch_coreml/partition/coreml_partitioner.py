"""`CoreMLPartitioner`: tags the parts of a program that go to Core ML.

The constraint table (constraints.py) decides node by node; boundary.py decides where a partition may be cut; buffers.py decides which mutable
buffers become states. The graph itself is not changed.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping

import torch
from executorch.exir.backend.compile_spec_schema import CompileSpec
from executorch.exir.backend.partitioner import DelegationSpec, Partitioner, PartitionResult
from torch.export.exported_program import ExportedProgram
from torch.fx.experimental.symbolic_shapes import statically_known_true

from executorch_coreml.compiler import CoreMLBackend
from executorch_coreml.compiler.compile_options import COMPILE_SPEC_KEYS, Options
from executorch_coreml.logging import get_coreml_log_level
from executorch_coreml.partition import (
    boundary,
    buffers,
    byte_weights,
    callers,
    compressed_weights,
    control_flow,
    edge_refusals,
    empty_tensors,
    layouts,
    quantized_tensors,
    refused_ops,
    torch_decompositions,
    unbacked_symbols,
)
from executorch_coreml.partition.decompositions import is_taken_apart
from executorch_coreml.partition.grouping import Group
from executorch_coreml.partition.node_view import computes_no_tensor, tensors
from executorch_coreml.partition.quantization_target import check_quantization_target
from executorch_coreml.partition.report import PartitionReport, make_report
from executorch_coreml.partition.shared_constants import tag_constants
from executorch_coreml.partition.support import (
    NodeSupport,
    SkipList,
    constant_nodes,
    op_name,
)

logger = logging.getLogger("executorch.backends.apple.coreml.partition.coreml_partitioner")
logger.setLevel(get_coreml_log_level(default_level=logging.INFO))

_DEPRECATION = (
    "\nDEPRECATION WARNING: You are using the deprecated 'to_edge() + to_backend()' workflow. ExecuTorch then decomposes ops (such as "
    "scaled_dot_product_attention) that Core ML has better implementations of. Please migrate to 'to_edge_transform_and_lower()'. "
    "See: https://docs.pytorch.org/executorch/main/backends/coreml/coreml-overview.html#using-the-core-ml-backend"
)


def _identity(program: ExportedProgram) -> str:
    """The same for a method at every stage of its lowering: the types of its inputs, whose names change."""
    inputs = set(program.graph_signature.user_inputs)
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    return ", ".join(f"{value.dtype}{tuple(value.shape)}" if isinstance(value, torch.Tensor) else str(value) for value in values)


def _described(node: torch.fx.Node) -> str:
    """The same for calls that are taken apart alike: what comes of one depends on dtypes, ranks and literals."""
    kinds = {
        source: [(tensor.dtype, tensor.dim()) for tensor in tensors(source.meta.get("val"))] for source in node.all_input_nodes
    }
    return f"{node.target}{torch.fx.node.map_arg((node.args, node.kwargs), lambda source: str(kinds[source]))}"


def _repeats_elements(node: torch.fx.Node) -> bool:
    """Whether a result has one element in several places, as broadcast_tensors makes them: ExecuTorch has no such results, but copies instead.
    A stride that only a run knows (it follows from the extent that nonzero() finds) is none of an expansion: those are 0 at once."""
    return any(
        isinstance(stride, int) and stride == 0 and not statically_known_true(extent == 1)
        for tensor in tensors(node.meta.get("val"))
        for stride, extent in zip(tensor.stride(), tensor.shape, strict=True)
    )


class CoreMLPartitioner(Partitioner):
    """Chooses which calls go to Core ML.

    Args:
        skip_ops_for_coreml_delegation: The ops to leave outside, such as "aten.add.Tensor", "aten.add" or "add". Case does not matter.
        compile_specs: The options, from `CoreMLBackend.generate_compile_specs`.
        take_over_mutable_buffer: Whether mutable buffers become Core ML states where Core ML can hold them (iOS 18, float, one partition). The
            other buffers stay with ExecuTorch, and a message says why.
        lower_full_graph: Whether to raise NotImplementedError if anything has to stay outside.
        take_over_constant_data: Whether parameters become part of the Core ML model. Otherwise they are inputs of it.

    Raises ValueError for compile specs that contradict each other, and AssertionError for arguments that do.

    After partitioning, `reports` has a report of each program, in the order of the calls, and `report` is the last of them.
    """

    def __init__(
        self,
        *,
        skip_ops_for_coreml_delegation: list[str] | None = None,
        compile_specs: list[CompileSpec] | None = None,
        take_over_mutable_buffer: bool | None = True,
        lower_full_graph: bool = False,
        take_over_constant_data: bool = True,
    ) -> None:
        self.skip_ops_for_coreml_delegation = list(skip_ops_for_coreml_delegation or [])
        self.take_over_mutable_buffer = take_over_mutable_buffer
        self.lower_full_graph = lower_full_graph
        self.take_over_constant_data = take_over_constant_data
        self.delegation_spec = DelegationSpec(backend_id=CoreMLBackend.__name__, compile_specs=list(compile_specs or []))
        self._options = Options.parse(self.delegation_spec.compile_specs)
        self._skip_list = SkipList(self.skip_ops_for_coreml_delegation)
        self._said: set[str] = set()
        # By the inputs of a program: why ExecuTorch takes which ops of it apart. exir asks about all programs of a lowering before it has one partitioned.
        self._decomposed: dict[str, dict[str, str]] = {}
        # Names of mutable buffers that start as zeros, and of those that do not, in any method.
        self._zeros: set[str] = set()
        self._not_zeros: set[str] = set()
        self._to_come: set[str] = set()
        self._has_partitioned = False
        # The program last asked about, and its answer.
        self._whole: tuple[weakref.ref[ExportedProgram], list[torch._ops.OpOverload]] | None = None
        self.reports: list[PartitionReport] = []
        if any(s.key == COMPILE_SPEC_KEYS.ENUMERATED_SHAPES.value for s in self.delegation_spec.compile_specs):
            assert lower_full_graph, (
                "lower_full_graph must be True in the CoreMLPartitioner when using an enumerated shape compile spec"
            )
        if lower_full_graph:
            assert not self.skip_ops_for_coreml_delegation, (
                "When lower_full_graph=True, you cannot set skip_ops_for_coreml_delegation"
            )
            assert take_over_constant_data, "When lower_full_graph=True, you must set take_over_constant_data=True"
            assert take_over_mutable_buffer, "When lower_full_graph=True, you must set take_over_mutable_buffer=True"

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        """Tags the nodes, constants and buffers of the program.

        Raises:
            NotImplementedError: if lower_full_graph is set and something has to stay outside, or if something has to stay outside that
                ExecuTorch would refuse when the program runs.
            ValueError: if the program is quantized in a way that its deployment target cannot express.
        """
        check_quantization_target(exported_program, self._options, self._skip_list)
        if callers.comes_from_to_backend():
            logger.warning(_DEPRECATION)
        logger.info("CoreMLPartitioner::partition")
        partitions, supports = self._all_partitions(exported_program)
        tags = {node: f"tag{index}" for index, calls in enumerate(partitions) for node in calls}
        for node, tag in tags.items():
            node.meta["delegation_tag"] = tag
        if self.take_over_constant_data:
            tag_constants(exported_program)
        states, outside = self._tag_states(exported_program, tags) if self.take_over_mutable_buffer else ([], {})
        zeros = self._zeros - self._not_zeros if _identity(exported_program) in self._to_come else frozenset()
        buffers.keep_initial_values(exported_program, but={*states, *zeros})
        self.reports.append(
            make_report(
                partitions={f"tag{index}": list(calls) for index, calls in enumerate(partitions)},
                rejections=[support.rejections for support in supports],
                states=states,
                buffers_outside=outside,
                decomposed=self._decomposed.get(_identity(exported_program), {}),
                options=self._options,
                known=constant_nodes(exported_program),
            )
        )
        self._has_partitioned, self._whole = True, None
        self._to_come.discard(_identity(exported_program))
        self._say_what_stayed()
        refusal = self.report.refusal()
        if refusal is not None:
            raise NotImplementedError(refusal)
        return PartitionResult(
            tagged_exported_program=exported_program,
            partition_tags={f"tag{index}": self.delegation_spec for index in range(len(partitions))},
        )

    @property
    def report(self) -> PartitionReport:
        """The report of the last program partitioned. Raises IndexError before there is one."""
        return self.reports[-1]

    def transform_for_pre_decomposition(self, exported_program: ExportedProgram) -> ExportedProgram:
        """An ATen program without calls that ExecuTorch would refuse, whoever executed them, and whose compressed weights are known as such; itself
        where it has neither.

        Raises ValueError for weights whose compressed form is above the deployment target.
        """
        unbacked_symbols.forget_pending(exported_program)
        # Decompositions of torchao's ops would hide what they were: where the target has no form for them, that is said first.
        check_quantization_target(exported_program, self._options, self._skip_list)
        program = byte_weights.named(compressed_weights.noted(exported_program, self._options))
        program = quantized_tensors.as_integers(program)
        program = refused_ops.taken_apart(empty_tensors.without_empty_tensors(program))
        return layouts.with_contiguous_results(program)

    def ops_to_not_decompose(
        self, ep: ExportedProgram
    ) -> tuple[list[torch._ops.OpOverload], Callable[[torch.fx.Node], bool] | None]:
        """The ops of an ATen program that ExecuTorch would decompose and Core ML takes whole, in every call of them.

        Raises NotImplementedError for a program that to_edge_transform_and_lower will refuse, and with nobody but this partitioner asked.
        """
        # ExecuTorch decomposes what is only inside a loop where it is given a function to ask about single calls, and else does not look there.
        ask = (lambda node: True) if control_flow.has_loop(ep.graph_module) else None
        if ep.dialect == "EDGE":  # Everything is decomposed by then.
            return [], ask
        if self._whole is None or self._whole[0]() is not ep:  # ExecuTorch asks twice about each program.
            # ExecuTorch takes what a delegate has out of the table of constants, which is the one of the user's program, too: it could not be
            # lowered a second time. From here on the table is this program's own.
            ep._constants = dict(ep.constants)
            taken: dict[torch._ops.OpOverload, bool] = {}
            decomposed: dict[str, str] = {}
            self._note_whole_calls(ep, taken, decomposed)
            if self._has_partitioned:  # Another lowering begins.
                self._decomposed, self._to_come, self._has_partitioned = {}, set(), False
            self._decomposed.setdefault(_identity(ep), {}).update(decomposed)
            self._to_come.add(_identity(ep))
            zeros, others = buffers.by_initial_value(ep)
            self._zeros |= zeros
            self._not_zeros |= others
            self._whole = weakref.ref(ep), self._still_whole(ep, [target for target, always in taken.items() if always])
            config = callers.compile_config(self)
            refusal = edge_refusals.refusal(ep, self._whole[1], config) if config is not None else None
            if refusal is not None:
                raise NotImplementedError(refusal)
        return list(self._whole[1]), ask

    def _note_whole_calls(
        self, program: ExportedProgram, taken: dict[torch._ops.OpOverload, bool], decomposed: dict[str, str]
    ) -> None:
        support = control_flow.ProgramSupport(program, self._options, self._skip_list)
        table = torch_decompositions.decomposable()
        candidates = [
            (node, node.target)
            for node in program.graph.nodes
            if node.op == "call_function"
            and isinstance(node.target, torch._ops.OpOverload)
            and node.target in table
            and not is_taken_apart(op_name(node.target))
            and not torch_decompositions.is_view(node.target)
            and not _repeats_elements(node)
            and not computes_no_tensor(node)
        ]
        if any(support.is_node_supported(None, node) for node, _ in candidates):
            # What the cuts leave outside must not be kept whole: ExecuTorch has no kernel for it.
            self._partitions(program, support)
        for node, target in candidates:
            is_supported = support.is_node_supported(None, node)
            taken[target] = taken.get(target, True) and is_supported
            if not is_supported and support.rejections[node].code not in ("no_converter", "skipped"):
                decomposed[op_name(target)] = support.rejections[node].reason
        for _, graph in control_flow.partitioned_graphs(program.graph_module):
            self._note_whole_calls(control_flow.as_program(graph, program), taken, decomposed)

    def _still_whole(self, program: ExportedProgram, targets: list[torch._ops.OpOverload]) -> list[torch._ops.OpOverload]:
        """Of the targets whose calls in the program are all taken, those whose calls in other calls' decompositions are taken, too.

        ExecuTorch keeps every call of a target whole, also one that it meets when it takes another call apart, and may have no kernel for it.
        """
        apart = {
            _described(node): node
            for node in program.graph.nodes
            if node.op == "call_function"
            and node.target in torch_decompositions.decomposable()
            and node.target not in targets
            and not torch_decompositions.is_view(node.target)
        }
        while targets and any(torch_decompositions.parts_of(node, targets) for node in apart.values()):
            try:
                decomposed = program.run_decompositions(torch_decompositions.table_but(targets))
            except Exception:  # Of one of torch's own decompositions; ExecuTorch, which makes them next, reports it.
                return targets
            support = control_flow.ProgramSupport(decomposed, self._options, self._skip_list)
            outside = {
                node.target
                for node in decomposed.graph.nodes
                if node.op == "call_function" and node.target in targets and not support.is_node_supported(None, node)
            }
            if not outside:
                break
            targets = [target for target in targets if target not in outside]
        return targets

    def _partitions(self, program: ExportedProgram, support: NodeSupport) -> list[Group]:
        """The calls of each partition of a program, none of which its boundary forbids, in the order of the program."""
        mutated = buffers.mutated_placeholders(program) if self.take_over_mutable_buffer else {}

        def owned(partition_of: Mapping[torch.fx.Node, int]) -> boundary.Owned:
            kept = {
                placeholder: written
                for placeholder, (_, written) in mutated.items()
                if buffers.why_not_a_state(placeholder, written, partition_of, self._options) is None
            }
            mutations = (written for written in kept.values() if all(user.op == "output" for user in written.users))
            return boundary.Owned(frozenset(kept), frozenset(mutations))

        around = boundary.Surroundings(
            constants=constant_nodes(program) if self.take_over_constant_data else frozenset(),
            buffers=frozenset(mutated),
            owned=owned,
            ranges=program.range_constraints,
        )
        return boundary.partitions_of(program.graph, support, self._options, around)

    def _all_partitions(self, program: ExportedProgram) -> tuple[list[Group], list[NodeSupport]]:
        """The partitions of a program and, behind them, of the graphs inside its calls of control flow that stay outside."""
        support = control_flow.ProgramSupport(program, self._options, self._skip_list, lower_full_graph=self.lower_full_graph)
        partitions = self._partitions(program, support)
        supports: list[NodeSupport] = [support]
        taken = {node for calls in partitions for node in calls}
        for call, graph in control_flow.partitioned_graphs(program.graph_module):
            if call not in taken:
                found, inner = self._all_partitions(control_flow.as_program(graph, program))
                partitions += found
                supports += inner
        return partitions, supports

    def _tag_states(self, program: ExportedProgram, tags: dict[torch.fx.Node, str]) -> tuple[list[str], dict[str, str]]:
        """Returns the buffers that become states, and why the others do not."""
        kept, outside = [], {}
        for placeholder, (name, written) in buffers.mutated_placeholders(program).items():
            reason = buffers.why_not_a_state(placeholder, written, tags, self._options)
            if reason is None:
                placeholder.meta["delegation_tag"] = tags[written]
                kept.append(name)
                continue
            if self.lower_full_graph:
                raise NotImplementedError(
                    f"The mutable buffer {name!r} cannot become a Core ML state because {reason}, but you have set lower_full_graph=True in "
                    "the CoreMLPartitioner."
                )
            outside[name] = reason
            self._say(
                f"The mutable buffer {name} stays outside Core ML because {reason}. ExecuTorch keeps it, and copies what is written to it."
            )
        if kept:
            self._say(
                f"{len(kept)} mutable buffers become Core ML states, which hold float16 and need iOS18/macOS15; "
                "take_over_mutable_buffer=False keeps them outside."
            )
        return kept, outside

    def _say_what_stayed(self) -> None:
        warnings = self.report.warnings()
        for line in self.report.text().splitlines():
            self._say(line, logging.WARNING if line in warnings else logging.INFO)
        if self._to_come:
            return  # An entry that matches nothing here may match in another method.
        for entry in self._skip_list.unmatched():
            self._say(f"skip_ops_for_coreml_delegation: {entry!r} matches no op of the program.", logging.WARNING)

    def _say(self, message: str, level: int = logging.INFO) -> None:
        """Logs a message once."""
        if message not in self._said:
            self._said.add(message)
            logger.log(level, "%s", message)
