"""What became of a program: what goes to Core ML, what stays and why, as an object, as a short text and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence

import coremltools as ct
import torch

from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.node_facts import SourceLine, module_path, op_name, source_line
from executorch_coreml.partition import constraints
from executorch_coreml.partition.executorch_kernels import why_not_executed, why_refused_when_run
from executorch_coreml.partition.node_view import NodeView, tensors
from executorch_coreml.partition.support import Rejection


@dataclasses.dataclass(frozen=True)
class LeftNode:
    """A node that stays outside. `code` is machine-readable: a constraint's, or as Rejection says. `module` is the path in the model.

    not_executed: why ExecuTorch has no kernel for it either; empty where it has. refused_when_run: why the kernel that it has refuses these
    arguments, which only a run would show; empty where it does not.
    """

    name: str
    op: str
    code: str
    reason: str
    reference: str
    module: str
    source: SourceLine | None
    not_executed: str = ""
    refused_when_run: str = ""


@dataclasses.dataclass(frozen=True)
class ReportedPartition:
    """nodes: ops, constants not counted. weight_bytes: of the constants it takes over, in the dtypes of the torch program."""

    tag: str
    nodes: int
    weight_bytes: int
    ops: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class TargetNeed:
    """What makes a deployment target higher than iOS 15 necessary for the partitions as they are, most demanding first."""

    target: str
    op: str
    reason: str
    count: int


@dataclasses.dataclass(frozen=True)
class PartitionReport:
    """One call of CoreMLPartitioner.partition.

    left: in the program's order. states: the mutable buffers that became Core ML states. buffers_outside: name -> why not. decomposed: op -> why ExecuTorch took it apart,
    where Core ML takes the op in other circumstances. deployment_target: asked for, iOS15 when nothing was.
    """

    partitions: tuple[ReportedPartition, ...]
    left: tuple[LeftNode, ...]
    states: tuple[str, ...]
    buffers_outside: Mapping[str, str]
    decomposed: Mapping[str, str]
    deployment_target: str
    target_needs: tuple[TargetNeed, ...]

    @property
    def delegated_nodes(self) -> int:
        return sum(partition.nodes for partition in self.partitions)

    @property
    def weight_bytes(self) -> int:
        return sum(partition.weight_bytes for partition in self.partitions)

    def reasons(self) -> list[tuple[str, str, str, int]]:
        """(op, code, reason, count) of what is left, most frequent first; the parts of a left op's result are not counted."""
        counts = Counter((n.op, n.code, n.reason) for n in self.left if n.code != "with_its_source")
        return [(*key, count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]

    def warnings(self) -> list[str]:
        """What will not run as it is: calls that neither Core ML nor ExecuTorch takes, one sentence for each op."""
        lines = {}
        for node in self.left:
            if node.not_executed and node.op not in lines:
                where = f" First at {node.source}" if node.source else ""
                lines[node.op] = (
                    f"Neither Core ML nor ExecuTorch can execute {node.op}: Core ML does not because {node.reason}, and ExecuTorch does not because {node.not_executed}. "
                    "to_executorch() or the load of the program fails unless another backend or a kernel of yours executes it. Change what keeps "
                    f"it outside Core ML, or write the call with other ops.{where}"
                )
        return list(lines.values())

    def refusal(self) -> str | None:
        """Why the program cannot run, although everything but a run would succeed; None where nothing is known against it.

        What skip_ops_for_coreml_delegation keeps outside is another backend's to take, and is not looked at.
        """
        node = next((node for node in self.left if node.refused_when_run and node.code != "skipped"), None)
        if node is None:
            return None
        where = f" (at {node.source})" if node.source else ""
        return (
            f"Neither Core ML nor ExecuTorch can run {node.op}{where}: Core ML does not take it because {node.reason}, and ExecuTorch does not because "
            f"{node.refused_when_run}. Write the call with other ops. If another backend executes it, keep it from this partitioner "
            f"with skip_ops_for_coreml_delegation=[{node.op.removesuffix('.default')!r}]."
        )

    def text(self) -> str:
        """A few lines: totals, then what is left with the first line of the model it comes from."""
        total = self.delegated_nodes + len(self.left)
        lines = [
            f"Core ML takes {self.delegated_nodes} of {total} operations in {len(self.partitions)} partition(s), with "
            f"{self.weight_bytes / 1e6:.1f} MB of weights, for {self.deployment_target}."
        ]
        if self.target_needs:
            need = self.target_needs[0]
            lines.append(f"{need.target} is needed by {need.count} x {need.op}: {need.reason}.")
        for op, code, reason, count in self.reasons():
            first = next(n for n in self.left if (n.op, n.code, n.reason) == (op, code, reason))
            where = f" First at {first.source}" if first.source else ""
            reference = f" ({first.reference})" if first.reference else ""
            lines.append(f"Left outside: {count} x {op}: {reason} [{code}]{reference}.{where}")
        lines += [f"The mutable buffer {name} stays outside: {reason}." for name, reason in sorted(self.buffers_outside.items())]
        lines += [f"Decomposed: {op}: {reason}." for op, reason in sorted(self.decomposed.items())]
        lines += self.warnings()
        return "\n".join(lines)

    def to_json(self) -> str:
        """Everything, with sorted keys."""
        document = dataclasses.asdict(self)
        document["delegated_nodes"], document["weight_bytes"] = self.delegated_nodes, self.weight_bytes
        document["reasons"] = [{"op": o, "code": c, "reason": r, "count": n} for o, c, r, n in self.reasons()]
        return json.dumps(document, indent=2, sort_keys=True)


def _bytes(node: torch.fx.Node) -> int:
    return sum(t.numel() * t.element_size() for t in tensors(node.meta.get("val")))


def _partition(tag: str, nodes: Sequence[torch.fx.Node]) -> ReportedPartition:
    ops = Counter(op_name(node.target) for node in nodes if node.op == "call_function")
    weights = {source for node in nodes for source in node.all_input_nodes if source.op == "placeholder"}
    taken = sum(_bytes(node) for node in weights if node.meta.get("delegation_tag") == tag)
    return ReportedPartition(tag, sum(ops.values()), taken, dict(sorted(ops.items())))


def _needs(
    nodes: Sequence[torch.fx.Node], options: Options, known: frozenset[torch.fx.Node], states: Sequence[str]
) -> tuple[TargetNeed, ...]:
    """What of the delegated nodes an older target would not take: the constraint table, asked with each older target."""
    asked = options.deployment_target or ct.target.iOS15
    found: Counter[tuple[int, str, str, str]] = Counter()
    targets = [target for target in (ct.target.iOS16, ct.target.iOS17, ct.target.iOS18) if target <= asked]
    for node in nodes:
        older = ct.target.iOS15
        for target in targets:
            view = NodeView(node, dataclasses.replace(options, deployment_target=older), known)
            broken = constraints.violated(view)
            if broken is not None:
                found[(-target.value, target.name, op_name(node.target), broken.reason)] += 1
            older = target
    if states:
        found[(-ct.target.iOS18.value, "iOS18", "state", f"mutable buffers are states: {', '.join(states)}")] += len(states)
    highest: dict[tuple[str, str], TargetNeed] = {}
    for (_, target_name, op, reason), count in sorted(found.items()):
        highest.setdefault((op, reason), TargetNeed(target_name, op, reason, count))
    return tuple(highest.values())


def make_report(
    *,
    partitions: Mapping[str, Sequence[torch.fx.Node]],
    rejections: Sequence[Mapping[torch.fx.Node, Rejection]],
    states: Sequence[str],
    buffers_outside: Mapping[str, str],
    decomposed: Mapping[str, str],
    options: Options,
    known: frozenset[torch.fx.Node],
) -> PartitionReport:
    """The report of a tagged program.

    Args:
        partitions: tag -> nodes.
        rejections: of the nodes that stay outside, one mapping for each graph.
        states: the buffers that became states.
        buffers_outside: buffer -> why it is no state.
        decomposed: op -> why it was not kept whole.
        options: the parsed compile specs.
        known: the nodes whose values are constants.
    """
    left = [
        LeftNode(
            node.name,
            r.op,
            r.code,
            r.reason,
            r.reference,
            module_path(node),
            source_line(node),
            why_not_executed(node) or "",
            why_refused_when_run(node) or "",
        )
        for of_graph in rejections
        for node in (next(iter(of_graph)).graph.nodes if of_graph else ())
        if (r := of_graph.get(node)) is not None
    ]
    delegated = [node for nodes in partitions.values() for node in nodes if node.op == "call_function"]
    return PartitionReport(
        partitions=tuple(_partition(tag, nodes) for tag, nodes in partitions.items()),
        left=tuple(left),
        states=tuple(states),
        buffers_outside=dict(buffers_outside),
        decomposed=dict(decomposed),
        deployment_target=(options.deployment_target or ct.target.iOS15).name,
        target_needs=_needs(delegated, options, known, states),
    )
