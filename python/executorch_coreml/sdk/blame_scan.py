"""Walks the values of one package in the order of the model until one is wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from executorch_coreml.sdk import blame_mapping, verify_rounding
from executorch_coreml.sdk.blame_judge import Judgement, judge
from executorch_coreml.sdk.verify_edge import EdgeProgram, Node, evaluate
from executorch_coreml.sdk.verify_package import Operation, Package
from executorch_coreml.sdk.verify_rounding import FLOAT16_ROUNDING, FLOAT32_ROUNDING, as_array

# How many times the simulated rounding a value may be from the model's before it counts as outside.
_FACTOR = 4.0


@dataclasses.dataclass(frozen=True)
class Fault:
    """A wrong value. operation: whose output it is; inputs: the nodes that its operations read; values: the engine's, of node and inputs."""

    kind: str
    node: Node
    operation: Operation
    error: float
    allowed: float
    inputs: tuple[Node, ...]
    values: Mapping[Node, np.ndarray]


class Scan:
    """One package on one set of inputs. `named_inputs`: the node of each input of the package."""

    def __init__(
        self,
        edge: EdgeProgram,
        inputs: Sequence[np.ndarray],
        package: Package,
        mapping: blame_mapping.Mapping,
        named_inputs: Mapping[str, Node],
        *,
        numeric_mode: str,
        memory_budget: int,
    ) -> None:
        self._edge = edge
        self._inputs = inputs
        self._package = package
        self._mapping = mapping
        self._numeric_mode = numeric_mode
        self._budget = memory_budget
        self._precision = "float16" if package.is_float16 else "float32"
        self._stored = verify_rounding.rounding(package.is_float16, "float16")
        self._order = {node: index for index, node in enumerate(edge.program.graph.nodes)}
        # What the package is given: the model's own values.
        entering = set(named_inputs.values())
        self._given = {**edge.placeholders(inputs), **edge.run(inputs, lambda node: node in entering)}
        self._feed = {name: as_array(self._given[node]) for name, node in named_inputs.items()}
        self._nodes = list(mapping.operations)

    # --- what the engine computes ---

    def read(self, nodes: Iterable[Node] | None) -> dict[Node, np.ndarray]:
        """The engine's values of mapped nodes, in the shape of the model; of all where None."""
        wanted = self._nodes if nodes is None else list(nodes)
        names = None if nodes is None else [self._mapping.operations[node].name for node in wanted]
        values = self._package.values(self._feed, numeric_mode=self._numeric_mode, names=names)
        found = {}
        for node in wanted:
            value = values.get(self._mapping.operations[node].name)
            if value is None:
                continue
            if value.ndim <= 1 and node.meta["val"].ndim == 0:
                value = value.reshape(())
            found[node] = value
        return found

    def position(self, node: Node) -> int:
        """Of a node in the model."""
        return self._order[node]

    def parts(self) -> list[list[Node]]:
        """The mapped nodes, in order, in parts whose values take half the memory at most."""
        parts: list[list[Node]] = [[]]
        size = 0
        for node in self._nodes:
            bytes_of_node = self._mapping.operations[node].size
            if parts[-1] and size + bytes_of_node > self._budget // 2:
                parts.append([])
                size = 0
            parts[-1].append(node)
            size += bytes_of_node
        return parts

    # --- looking for a fault ---

    def first_fault(self) -> Fault | None:
        """The first operation that gives something else than PyTorch does from the engine's inputs of it; None when each is right."""
        parts = self.parts()
        if len(parts) == 1:
            return self._look(self.read(None), self._nodes)
        suspect = self._bisect(parts)
        others = [index for index in range(len(parts)) if index != suspect]
        for index in [suspect, *others]:
            wanted = set(parts[index])
            values = self.read(sorted(wanted | self.sources(wanted), key=self._order.__getitem__))
            fault = self._look(values, parts[index])
            if fault is not None:
                return fault
        return None

    def _bisect(self, parts: list[list[Node]]) -> int:
        """The first part after which a value that goes on to later parts is not the model's."""
        low, high = 0, len(parts) - 1
        while low < high:
            middle = (low + high) // 2
            ended = {node for part in parts[: middle + 1] for node in part}
            crossing = self.sources({node for part in parts[middle + 1 :] for node in part}) & ended
            if self._first_outside(crossing, None) is None:
                low = middle + 1
            else:
                high = middle
        return low

    def sources(self, nodes: set[Node]) -> set[Node]:
        """The nearest mapped nodes that `nodes` are computed from, without themselves."""
        return {source for node in nodes for source in self.mapped_inputs(node)} - nodes

    def mapped_inputs(self, node: Node) -> list[Node]:
        found: list[Node] = []
        seen: set[Node] = set()
        waiting = list(node.all_input_nodes)
        while waiting:
            argument = waiting.pop()
            if argument in seen:
                continue
            seen.add(argument)
            if argument in self._mapping.operations:
                found.append(argument)
            elif argument not in self._given:
                waiting += argument.all_input_nodes
        return found

    def _look(self, engine: Mapping[Node, np.ndarray], nodes: Sequence[Node]) -> Fault | None:
        """Judges `nodes` in order. `engine` has their values and those of what they are computed from."""
        values = dict(engine)
        # node -> the first node before it that lost elements and whose loss it carries, and how they were lost.
        tainted: dict[Node, tuple[Node, str]] = {}
        for node in nodes:
            if node not in values or _is_random(node):
                continue
            judgement, predicted = self._judge(node, values)
            if judgement is None:
                continue
            origin = next((tainted[n] for n in self.mapped_inputs(node) if n in tainted), None)
            if judgement.is_wrong:
                if origin is not None:
                    return self._fault(origin[1], origin[0], engine, math.inf, judgement.allowed)
                if self._is_misplaced(node, predicted, values):
                    values[node] = predicted
                    continue
                return self._fault("operation", node, engine, judgement.error, judgement.allowed)
            if judgement.lost is not None:
                # Harmless if what follows comes out right all the same: go on with what it should be.
                tainted[node] = origin or (node, judgement.loss)
                values[node] = np.where(judgement.lost, predicted, values[node].astype(np.float32))
        return None

    def _judge(self, node: Node, values: Mapping[Node, np.ndarray]) -> tuple[Judgement | None, np.ndarray]:
        exact, rounded = self.predict(node, values)
        actual = values[node]
        predicted = as_array(exact)
        if predicted.shape != actual.shape:
            return None, predicted
        if predicted.dtype.kind != "f":
            equal = np.array_equal(predicted.astype(np.int64), actual.astype(np.int64)) or not np.array_equal(
                predicted, as_array(rounded)
            )
            return Judgement(0.0 if equal else 1.0, 0.0, not equal), predicted
        return judge(actual, predicted, as_array(rounded), precision=self._precision), predicted

    def predict(
        self, node: Node, values: Mapping[Node, np.ndarray], instead: Mapping[Node, np.ndarray] | None = None
    ) -> tuple[Any, Any]:
        """What PyTorch computes for a node from the engine's values (`instead` has others for some), exactly and with rounding."""
        known = {**values, **(instead or {})}
        known.pop(node, None)
        needed: set[Node] = set()
        waiting = [node]
        while waiting:
            current = waiting.pop()
            if current in needed or (current is not node and (current in known or current in self._given)):
                continue
            needed.add(current)
            waiting += current.all_input_nodes
        exact: dict[Node, Any] = {}
        rounded: dict[Node, Any] = {}
        with torch.no_grad():
            for current in sorted(needed, key=self._order.__getitem__):
                for argument in current.all_input_nodes:
                    if argument not in exact:
                        exact[argument] = self._tensor(argument, known)
                        rounded[argument] = self._disturbed(argument, exact[argument])
                exact[current] = evaluate(current, exact)
                rounded[current] = verify_rounding.apply(self._stored, evaluate(current, rounded))
        return exact[node], rounded[node]

    def _tensor(self, node: Node, known: Mapping[Node, np.ndarray]) -> Any:
        if node in known:
            return torch.from_numpy(np.array(known[node])).to(node.meta["val"].dtype)
        return self._given[node]

    def _disturbed(self, node: Node, value: Any) -> Any:
        """A value moved within its rounding: the engine may have had more bits than it let read."""
        if node.op == "placeholder":
            return verify_rounding.apply(self._stored, value)
        amount = FLOAT16_ROUNDING if self._package.is_float16 else 2 * FLOAT32_ROUNDING

        def move(tensor: torch.Tensor) -> torch.Tensor:
            generator = torch.Generator().manual_seed(self._order[node])
            noise = torch.rand(tensor.shape, generator=generator) * 2 - 1
            return tensor * (1 + amount * noise).to(tensor.dtype)

        return verify_rounding.apply(move, value)

    def _is_misplaced(self, node: Node, predicted: np.ndarray, values: Mapping[Node, np.ndarray]) -> bool:
        """Whether an operation is not what the node computes, for passes moved or merged it: whoever reads it comes out right with the value
        that it should have, and wrong with the one that it has."""
        followers = [n for n in values if node in self.mapped_inputs(n)][:4]
        if not followers:
            return False
        for follower in followers:
            without, _ = self._judge(follower, {**values, node: predicted})
            with_it, _ = self._judge(follower, values)
            if without is None or with_it is None or without.is_wrong or not with_it.is_wrong:
                return False
        return True

    def _fault(self, kind: str, node: Node, engine: Mapping[Node, np.ndarray], error: float, allowed: float) -> Fault:
        group = self._mapping.group(node)
        operation = next((op for op in reversed(group) if op.type != "cast"), group[-1])
        if len(group) > 1:
            operation = self._first_not_finite(group) or operation
        sources = tuple(n for n in self.mapped_inputs(node) if n in engine)
        return Fault(kind, node, operation, error, allowed, sources, {n: engine[n] for n in (node, *sources)})

    def _first_not_finite(self, group: Sequence[Operation]) -> Operation | None:
        """Of operations in order, the first that makes something infinite or NaN of finite values."""
        names = {name for op in group for name in (op.name, *op.reads) if name in self._mapping.by_name}
        values = self._package.values(self._feed, numeric_mode=self._numeric_mode, names=sorted(names))

        def is_finite(name: str) -> bool:
            value = values.get(name)
            return value is None or value.dtype.kind != "f" or bool(np.isfinite(value).all())

        return next((op for op in group if not is_finite(op.name) and all(map(is_finite, op.reads))), None)

    def narrowed(self, fault: Fault, healthy: Package) -> Fault:
        """The fault at the first operation of its node that gives something else in `healthy`, a package of the same model.

        Several operations compute one node, and PyTorch knows no values between them. The fault stays as it is when all of them agree, which
        means that the conversion of the node is wrong, or when the packages' inputs differ.
        """
        there = {operation.name for operation in healthy.operations}
        if fault.operation.name not in there:
            return fault
        group = [op for op in self._mapping.group(fault.node) if op.name in there]
        if not group or set(healthy.input_names) != set(self._package.input_names):
            return fault
        names = [op.name for op in group]
        mine = self._package.values(self._feed, numeric_mode=self._numeric_mode, names=names)
        theirs = healthy.values(self._feed, numeric_mode=self._numeric_mode, names=names)
        for operation in group:
            ours, right = mine[operation.name], theirs[operation.name]
            is_same = ours.shape == right.shape and (
                not judge(ours, right, right, precision=self._precision).is_wrong
                if ours.dtype.kind == "f"
                else np.array_equal(ours, right)
            )
            if not is_same:
                return dataclasses.replace(fault, operation=operation)
        return fault

    # --- differences that add up ---

    def first_outside(self, tolerance: float | None) -> Fault | None:
        """The first value further from the model's than `tolerance`, or where None, than _FACTOR times the simulated rounding."""
        for part in self.parts():
            fault = self._first_outside(set(part), tolerance)
            if fault is not None:
                return fault
        return None

    def _first_outside(self, nodes: set[Node], tolerance: float | None) -> Fault | None:
        ordered = sorted(nodes, key=self._order.__getitem__)
        if not ordered:
            return None
        engine = self.read(ordered)
        exact = self._edge.run(self._inputs, nodes.__contains__)
        rounded = verify_rounding.computed_rounded(self._edge, self._inputs, nodes, self._stored, everything=True)
        for node in ordered:
            expected = as_array(exact[node])
            if node not in engine or expected.dtype.kind != "f" or engine[node].shape != expected.shape:
                continue
            judgement = judge(engine[node], expected, as_array(rounded[node]), precision=self._precision)
            if tolerance is not None:
                judgement = dataclasses.replace(judgement, allowed=tolerance, is_wrong=judgement.error > tolerance)
            if judgement.is_wrong or judgement.loss == "overflow":
                kind = judgement.loss if judgement.loss == "overflow" else "accumulated"
                return Fault(
                    kind, node, self._mapping.operations[node], judgement.error, judgement.allowed, (), {node: engine[node]}
                )
        return None


def _is_random(node: Node) -> bool:
    op = getattr(node.target, "_op", node.target)
    return isinstance(op, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in op.tags
