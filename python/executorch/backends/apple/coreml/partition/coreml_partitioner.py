"""`CoreMLPartitioner`: tags the parts of a program that go to Core ML.

The constraint table (constraints.py) decides node by node; boundary.py decides where a partition may be cut; buffers.py decides which mutable
buffers become states. The graph itself is not changed.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable

import torch
from torch.export.exported_program import ExportedProgram
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner, Partition

from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler.compile_specs import COMPILE_SPEC_KEYS, Options
from executorch.backends.apple.coreml.logging import get_coreml_log_level
from executorch.backends.apple.coreml.partition import boundary, buffers
from executorch.backends.apple.coreml.partition.node_view import computes_no_tensor
from executorch.backends.apple.coreml.partition.quantization_target import check_quantization_target
from executorch.backends.apple.coreml.partition.report import PartitionReport, make_report
from executorch.backends.apple.coreml.partition.support import (
    NodeSupport,
    Rejection,
    SkipList,
    constant_nodes,
    op_name,
)
from executorch.exir.backend.compile_spec_schema import CompileSpec
from executorch.exir.backend.partitioner import DelegationSpec, Partitioner, PartitionResult
from executorch.exir.backend.utils import tag_constant_data

logger = logging.getLogger(__name__)
logger.setLevel(get_coreml_log_level(default_level=logging.INFO))

# Ops with a conversion that are better decomposed: coremltools' is wrong (triu, tril) or slow (repeat_interleave).
_DECOMPOSED = frozenset(
    {"aten.triu.default", "aten.tril.default", "aten.repeat_interleave.self_int", "aten.repeat_interleave.self_Tensor"}
)

_DEPRECATION = (
    "\nDEPRECATION WARNING: You are using the deprecated 'to_edge() + to_backend()' workflow. ExecuTorch then decomposes ops (such as "
    "scaled_dot_product_attention) that Core ML has better implementations of. Please migrate to 'to_edge_transform_and_lower()'. "
    "See: https://docs.pytorch.org/executorch/main/backends/coreml/coreml-overview.html#using-the-core-ml-backend"
)


@functools.cache
def _decomposable() -> frozenset[torch._ops.OpOverload]:
    """The ops that ExecuTorch takes apart unless told otherwise. Cached: torch takes a third of a second to list them."""
    return frozenset(torch.export.default_decompositions().keys())


def _is_view(op: torch._ops.OpOverload) -> bool:
    arguments = op._schema.arguments
    alias = arguments[0].alias_info if arguments else None
    return alias is not None and not alias.is_write


def _comes_from_to_backend() -> bool:
    """Whether EdgeProgramManager.to_backend was called by the user, not by to_edge_transform_and_lower."""
    frame = inspect.currentframe()
    found = False
    while frame is not None:
        name = frame.f_code.co_name
        if name == "to_edge_transform_and_lower":
            return False
        found = found or (name == "to_backend" and "program/_program.py" in frame.f_code.co_filename)
        frame = frame.f_back
    return found


class CoreMLPartitioner(Partitioner):
    """Chooses what goes to Core ML.

    Args:
        skip_ops_for_coreml_delegation: ops to leave outside, such as "aten.add.Tensor", "aten.add" or "add"; case does not matter.
        compile_specs: from `CoreMLBackend.generate_compile_specs`.
        take_over_mutable_buffer: make mutable buffers Core ML states where Core ML can hold them (iOS 18, float, one partition). The
            others stay ExecuTorch's, and a message says why.
        lower_full_graph: fail with NotImplementedError when anything has to stay outside.
        take_over_constant_data: put parameters into the Core ML model; otherwise they are inputs of it.

    Raises ValueError for compile specs that do not go together, and AssertionError for arguments that do not.

    After partitioning, `reports` has what became of each program, in the order of the calls; `report` is the last of them.
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
        self._decomposed: dict[str, str] = {}
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
            NotImplementedError: lower_full_graph is set and something has to stay outside.
            ValueError: the program is quantized in a way that its deployment target cannot express.
        """
        check_quantization_target(exported_program, self._options, self._skip_list)
        if _comes_from_to_backend():
            logger.warning(_DEPRECATION)
        logger.info("CoreMLPartitioner::partition")
        support = NodeSupport(exported_program, self._options, self._skip_list, lower_full_graph=self.lower_full_graph)
        partitions = self._propose(exported_program, support)
        tags = {node: f"tag{index}" for index, partition in enumerate(partitions) for node in partition.nodes}
        for node, tag in tags.items():
            node.meta["delegation_tag"] = tag
        if self.take_over_constant_data:
            tag_constant_data(exported_program)
        states, outside = self._tag_states(exported_program, tags) if self.take_over_mutable_buffer else ([], {})
        self.reports.append(
            make_report(
                partitions={f"tag{index}": list(partition.nodes) for index, partition in enumerate(partitions)},
                rejections=support.rejections,
                states=states,
                buffers_outside=outside,
                decomposed=self._decomposed,
                options=self._options,
                known=constant_nodes(exported_program),
            )
        )
        self._decomposed = {}
        self._say_what_stayed()
        return PartitionResult(
            tagged_exported_program=exported_program,
            partition_tags={f"tag{index}": self.delegation_spec for index in range(len(partitions))},
        )

    @property
    def report(self) -> PartitionReport:
        """The report of the last program partitioned. Raises IndexError before there is one."""
        return self.reports[-1]

    def ops_to_not_decompose(
        self, ep: ExportedProgram
    ) -> tuple[list[torch._ops.OpOverload], Callable[[torch.fx.Node], bool] | None]:
        """The ops of an ATen program that ExecuTorch would decompose and Core ML takes whole, in every call of them."""
        support = NodeSupport(ep, self._options, self._skip_list)
        table = _decomposable()
        if ep.range_constraints:
            # What the cuts of a dynamic program leave outside must not be kept whole: ExecuTorch has no kernel for it.
            self._propose(ep, support)
        taken: dict[torch._ops.OpOverload, bool] = {}
        for node in ep.graph.nodes:
            target = node.target
            if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload):
                continue
            if op_name(target) in _DECOMPOSED or _is_view(target) or computes_no_tensor(node) or target not in table:
                continue
            is_supported = support.is_node_supported(None, node)
            taken[target] = taken.get(target, True) and is_supported
            if not is_supported and support.rejections[node].code not in ("no_converter", "skipped"):
                self._decomposed[op_name(target)] = support.rejections[node].reason
        return [target for target, always in taken.items() if always], None

    def _propose(self, program: ExportedProgram, support: NodeSupport) -> list[Partition]:
        """Partitions none of which has a node that its boundary forbids, in the order of the program."""
        order = {node: index for index, node in enumerate(program.graph.nodes)}
        constants = constant_nodes(program) if self.take_over_constant_data else frozenset()
        while True:
            partitions = CapabilityBasedPartitioner(
                program.graph_module, support, allows_single_node_partition=True
            ).propose_partitions()
            partitions = [p for p in partitions if any(node.op == "call_function" for node in p.nodes)]
            partitions.sort(key=lambda partition: min(order[node] for node in partition.nodes))
            violations: dict[torch.fx.Node, Rejection] = {}
            for partition in partitions:
                owned, mutations = self._states_of(program, partition)
                violations.update(boundary.find_violations(partition.nodes, constants | owned, mutations, self._options))
            if not violations:
                return partitions
            for node, rejection in violations.items():
                support.reject(node, rejection)

    def _states_of(
        self, program: ExportedProgram, partition: Partition
    ) -> tuple[frozenset[torch.fx.Node], frozenset[torch.fx.Node]]:
        """The buffers that a partition could keep as states, and the nodes whose results only they need."""
        if not self.take_over_mutable_buffer:
            return frozenset(), frozenset()
        tags = dict.fromkeys(partition.nodes, "")
        owned, mutations = set(), set()
        for placeholder, (_, written) in buffers.mutated_placeholders(program).items():
            if buffers.why_not_a_state(placeholder, written, tags, self._options) is None:
                owned.add(placeholder)
                if all(user.op == "output" for user in written.users):
                    mutations.add(written)
        return frozenset(owned), frozenset(mutations)

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
                f"The mutable buffer {name} stays outside Core ML because {reason}. ExecuTorch keeps it, and keeps its initial value only "
                "when to_executorch() runs InitializedMutableBufferPass for it."
            )
        if kept:
            self._say(
                f"{len(kept)} mutable buffers become Core ML states, which hold float16 and need iOS18/macOS15; "
                "take_over_mutable_buffer=False keeps them outside."
            )
        return kept, outside

    def _say_what_stayed(self) -> None:
        for line in self.report.text().splitlines():
            self._say(line)
        for entry in self._skip_list.unmatched():
            self._say(f"skip_ops_for_coreml_delegation: {entry!r} matches no op of the program.", logging.WARNING)

    def _say(self, message: str, level: int = logging.INFO) -> None:
        """Logs a message once."""
        if message not in self._said:
            self._said.add(message)
            logger.log(level, "%s", message)
