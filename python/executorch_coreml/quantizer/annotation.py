"""Annotating one graph: torchao's `QuantizationAnnotation` on the nodes of every pattern, one pass in the graph's order.

Because producers come before their readers, a reader can take over the spec its input already has, so that a tensor is quantized once.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torchao.quantization.pt2e.quantizer.quantizer import (
    Q_ANNOTATION_KEY,
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    SharedQuantizationSpec,
)

from executorch_coreml.node_facts import module_path
from executorch_coreml.quantizer import matching, patterns
from executorch_coreml.quantizer.entries import Entry, Resolver
from executorch_coreml.quantizer.observers import SHARES_RANGE
from executorch_coreml.quantizer.patterns import Kind
from executorch_coreml.quantizer.report import Annotated, LeftFloat, Report
from executorch_coreml.quantizer.specs import Specs


class _StaysFloat(Exception):
    """Why a match is not quantized; the argument is the reason in the report."""


def is_annotated(node: torch.fx.Node) -> bool:
    annotation = node.meta.get(Q_ANNOTATION_KEY)
    return annotation is not None and annotation._annotated


class Annotator:
    """Annotates one graph module."""

    def __init__(self, model: torch.fx.GraphModule, resolver: Resolver) -> None:
        self._model = model
        self._resolver = resolver
        self._sentinels = matching.nodes_with_sentinels(model)
        # A tensor -> the node whose quantized output it is, or is a part of.
        self._quantized: dict[torch.fx.Node, torch.fx.Node] = {}
        # What becomes of quantized tensors behind a dropout that trains: neither in their range, nor to be quantized once more.
        self._scaled: set[torch.fx.Node] = set()
        self._annotated: list[Annotated] = []
        self._left_float: list[LeftFloat] = []
        self._used: set[Entry] = set()

    def run(self) -> Report:
        for node in list(self._model.graph.nodes):
            if node.op != "call_function":
                continue
            if is_annotated(node):  # By an earlier pattern, or by another quantizer of a composition.
                self._note_output(node)
            elif node.target is operator.getitem:
                self._annotate_part(node)
            else:
                self._annotate_op(node)
        unused = tuple(entry.label for entry in self._resolver.entries if entry.specs and entry not in self._used)
        return Report(tuple(self._annotated), tuple(self._left_float), unused)

    def _annotate_op(self, node: torch.fx.Node) -> None:
        entry = self._resolver.entry_of(node)
        found = matching.match(node, lambda reader: self._joins(reader, entry))
        if found is None:
            if node.target not in patterns.activations() and any(i.op == "get_attr" for i in node.all_input_nodes):
                self._leave(node, "no pattern has this op")
            return
        try:
            if entry.specs is None:
                raise _StaysFloat(
                    f"{entry.label} keeps it float" if not entry.is_global else "no entry of the configuration applies to it"
                )
            if not matching.is_float(found.anchor) and not _is_list(found.anchor):
                if found.pattern.kind is Kind.WEIGHTED:
                    raise _StaysFloat("its result is not a floating-point tensor")
                return  # Integer arithmetic is no candidate.
            match found.pattern.kind:
                case Kind.WEIGHTED:
                    self._annotate_weighted(found, entry.specs)
                case Kind.BINARY:
                    self._annotate_binary(found, entry.specs)
                case Kind.SHARING:
                    self._annotate_sharing(found, entry.specs)
        except _StaysFloat as reason:
            self._leave(node, str(reason))
            return
        self._used.add(entry)
        self._annotated.append(
            Annotated(
                pattern=found.name,
                nodes=tuple(n.name for n in found.nodes),
                module=module_path(node),
                entry=entry.label,
                what="as its input"
                if found.pattern.kind is Kind.SHARING
                else entry.specs.describe(weight=found.pattern.kind is Kind.WEIGHTED),
            )
        )

    def _joins(self, reader: torch.fx.Node, entry: Entry) -> bool:
        """Whether a batch norm or activation belongs to the pattern before it: unless it is annotated, or an entry of its own says float."""
        own = self._resolver.entry_of(reader)
        return not is_annotated(reader) and (own is entry or own.specs is not None or own.is_global)

    def _annotate_weighted(self, found: matching.Match, specs: Specs) -> None:
        data, weight, *rest = found.anchor.args
        if not isinstance(data, torch.fx.Node) or not isinstance(weight, torch.fx.Node):
            raise _StaysFloat("its input or weight is passed by keyword")
        if not matching.is_constant(weight):
            raise _StaysFloat("its weight is computed from the model's inputs")
        inputs: dict[torch.fx.Node, QuantizationSpecBase | None] = {
            data: self._input_spec(data, specs),
            weight: specs.weight(found.pattern.channel_axis),
        }
        if rest and isinstance(rest[0], torch.fx.Node):
            inputs[rest[0]] = None
        self._mark(found, inputs, specs)

    def _annotate_binary(self, found: matching.Match, specs: Specs) -> None:
        if specs.activation is None:
            raise _StaysFloat("it has no weight, and its activations stay float")
        operands = [a for a in found.anchor.args[:2] if isinstance(a, torch.fx.Node)]
        if any(isinstance(a, torch.fx.Node) for a in found.anchor.kwargs.values()):
            raise _StaysFloat("an operand is passed by keyword")
        if found.anchor in self._sentinels or any(o in self._sentinels for o in operands):
            raise _StaysFloat("an operand stands for infinity (a mask), which 8 bits cannot hold beside other values")
        if not all(matching.is_float(o) for o in operands):
            raise _StaysFloat("an operand is not a floating-point tensor")
        inputs: dict[torch.fx.Node, QuantizationSpecBase | None] = {}
        for operand in operands:
            # A scalar constant is exact as it is, and Core ML's quantize takes tensors only.
            scalar = matching.value(operand).dim() == 0  # type: ignore[union-attr]
            inputs[operand] = None if scalar else self._input_spec(operand, specs)
        self._mark(found, inputs, specs)

    def _annotate_sharing(self, found: matching.Match, specs: Specs) -> None:
        if specs.activation is None:
            raise _StaysFloat("it has no weight, and its activations stay float")
        node = found.anchor
        argument: Any = node.args[0]
        if isinstance(argument, (list, tuple)):
            self._annotate_concat(node, list(dict.fromkeys(argument)), specs)
            return
        source = self._quantized.get(argument)
        if source is None:
            raise _StaysFloat("its input is not quantized, and the op only passes values on")
        if node.args[0] in self._scaled or (found.pattern.name == patterns.DROPOUT and _trains(node)):
            self._scaled.add(node)
            self._quantized[node] = source
        elif _is_list(node):
            self._quantized[node] = source  # The parts are annotated where they are taken out.
        else:
            self._share(node, source, {node.args[0]: SharedQuantizationSpec(source)} if node.args[0] is source else {})

    def _annotate_concat(self, node: torch.fx.Node, parts: list[torch.fx.Node], specs: Specs) -> None:
        if not any(part in self._quantized for part in parts):
            raise _StaysFloat("none of its inputs is quantized, and the op only passes values on")
        if any(part in self._sentinels or not matching.is_float(part) for part in parts):
            raise _StaysFloat("an input holds no values to quantize")
        if any(part in self._scaled for part in parts):
            raise _StaysFloat("an input comes from a dropout that trains, whose values leave the range of the other inputs")
        first, *others = parts
        own = [self._root_spec(part) for part in parts]
        # Where every part already starts at its smallest value, so does the whole.
        agreed = own[0] if all(isinstance(s, QuantizationSpec) and _same(s, own[0]) for s in own) else None
        edge = (first, node)
        inputs: dict[torch.fx.Node, QuantizationSpecBase | None] = {first: agreed or specs.activation}
        inputs.update({part: SharedQuantizationSpec(edge) for part in others})
        node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            input_qspec_map=inputs, output_qspec=SharedQuantizationSpec(edge), _annotated=True
        )
        node.meta[SHARES_RANGE] = True
        self._quantized[node] = node

    def _annotate_part(self, node: torch.fx.Node) -> None:
        """An element of what a split returned."""
        argument: Any = node.args[0]
        source = self._quantized.get(argument)
        if source is None:
            return
        if node.args[0] in self._scaled:
            self._scaled.add(node)
            self._quantized[node] = source
        else:
            self._share(node, source, {})

    def _share(self, node: torch.fx.Node, source: torch.fx.Node, inputs: dict[torch.fx.Node, QuantizationSpecBase | None]) -> None:
        node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            input_qspec_map=inputs, output_qspec=SharedQuantizationSpec(source), _annotated=True
        )
        node.meta[SHARES_RANGE] = True
        self._quantized[node] = node

    def _mark(self, found: matching.Match, inputs: dict[torch.fx.Node, QuantizationSpecBase | None], specs: Specs) -> None:
        for node in found.nodes:
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
        found.anchor.meta[Q_ANNOTATION_KEY].input_qspec_map = inputs
        if specs.activation is not None:
            found.output.meta[Q_ANNOTATION_KEY].output_qspec = _fitting(found.output, specs)
            self._quantized[found.output] = found.output

    def _note_output(self, node: torch.fx.Node) -> None:
        if node.meta[Q_ANNOTATION_KEY].output_qspec is not None:
            self._quantized.setdefault(node, node)

    def _input_spec(self, node: torch.fx.Node, specs: Specs) -> QuantizationSpecBase | None:
        """The spec the tensor already has, so that it is quantized once; otherwise the entry's."""
        if specs.activation is None or node in self._scaled:
            return None
        existing = self._root_spec(node)
        return existing if existing is not None else _fitting(node, specs)

    def _root_spec(self, node: torch.fx.Node) -> QuantizationSpecBase | None:
        """The spec of a node's output, through what it is shared with."""
        if self._quantized.get(node) is not node:
            return None
        spec: QuantizationSpecBase | None = node.meta[Q_ANNOTATION_KEY].output_qspec
        while isinstance(spec, SharedQuantizationSpec):
            where = spec.edge_or_node
            if isinstance(where, tuple):
                spec = where[1].meta[Q_ANNOTATION_KEY].input_qspec_map[where[0]]
            else:
                spec = where.meta[Q_ANNOTATION_KEY].output_qspec
        return spec

    def _leave(self, node: torch.fx.Node, reason: str) -> None:
        name = getattr(node.target, "_opname", None) or str(node.target)
        self._left_float.append(LeftFloat(name, node.name, module_path(node), reason))


def _fitting(node: torch.fx.Node, specs: Specs) -> QuantizationSpec | None:
    return specs.non_negative if matching.is_non_negative(node) else specs.activation


def _trains(dropout: torch.fx.Node) -> bool:
    """aten.dropout(input, p, train)."""
    return bool(dropout.args[2] if len(dropout.args) > 2 else dropout.kwargs.get("train", True))


def _is_list(node: torch.fx.Node) -> bool:
    return isinstance(node.meta.get("val"), (list, tuple))


def _same(one: QuantizationSpec, other: QuantizationSpecBase | None) -> bool:
    return isinstance(other, QuantizationSpec) and (one.dtype, one.qscheme) == (other.dtype, other.qscheme)
