"""Which operation makes a program's outputs wrong.

Every value of the engine is compared with what PyTorch computes *from the engine's own values* one node earlier, so that an error shows at the
operation that makes it and at no later one, however much rounding came before. What an operation may be off is what rounding does to it, which is
simulated at the same place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from executorch_coreml.node_facts import SourceLine, computing_op, module_path, source_line
from executorch_coreml.sdk import blame_mapping
from executorch_coreml.sdk.blame_scan import Fault, Scan
from executorch_coreml.sdk.compare import l2_relative
from executorch_coreml.sdk.verify_edge import EdgeProgram, Node
from executorch_coreml.sdk.verify_package import Package
from executorch_coreml.sdk.verify_rounding import as_array


@dataclasses.dataclass(frozen=True)
class Blame:
    """Where a miss starts.

    kind:
      "operation": an operation gives something else than PyTorch does from the same inputs.
      "overflow": its result lies beyond the range of its dtype.
      "vanish": its result is too small for its dtype.
      "accumulated": every operation is right but for rounding; this is the first whose value the rounding takes out of the tolerance.
      "device": its value on another machine is the first that leaves its tolerance (kit_answer).
      "outside": the packages are right; the difference is made outside them.
      "unknown": the packages' inputs or values could not be placed in the model.
    """

    kind: str
    # In words, with what could not be looked at.
    explanation: str
    # The delegate or package.
    where: str = ""
    # MIL's name of the operation, and the name of its output.
    mil_op: str = ""
    mil_name: str = ""
    # All operations that compute the edge node, in order, as (MIL's name, output's name); the one at fault is among them or reads them.
    group: tuple[tuple[str, str], ...] = ()
    edge_op: str = ""
    edge_node: str = ""
    debug_handle: int | None = None
    # Path of the module in the model.
    module: str = ""
    line: SourceLine | None = None
    # l2-relative: what the operation adds, what rounding may add, and how far its value is from the model's.
    error: float = math.nan
    allowed: float = math.nan
    from_reference: float = math.nan
    # The part of from_reference that its inputs had already.
    inherited: float = math.nan

    def to_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        values["group"] = [list(pair) for pair in self.group]
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}

    def __str__(self) -> str:
        if not self.mil_name:
            return self.explanation
        lines = [
            self.explanation,
            f"  MIL op        {self.mil_op}, output {self.mil_name}, in {self.where}",
        ]
        if self.edge_node:
            lines += [
                f"  edge op       {self.edge_op}, node {self.edge_node}, debug handle {self.debug_handle}",
                f"  model         {self.module or 'the model itself'}" + (f", {self.line}" if self.line else ""),
            ]
        elif self.debug_handle is not None:
            lines.append(f"  debug handle  {self.debug_handle}")
        lines.append(f"  l2-relative   {self._figures()}")
        if len(self.group) > 1:
            lines.append("  computed by   " + ", ".join(f"{kind} {name}" for kind, name in self.group))
        return "\n".join(lines)

    def _figures(self) -> str:
        if self.kind == "accumulated":
            return f"{self.from_reference:.2e} from the model's value, where {self.allowed:.2e} is allowed"
        if self.kind == "device":
            before = "" if math.isnan(self.inherited) else f"; what it reads is at most {self.inherited:.2e} off"
            return f"{self.from_reference:.2e} from the portable engine's value, where {self.allowed:.2e} is allowed{before}"
        return (
            f"{self.error:.2e} made here (rounding: at most {self.allowed:.2e}), {self.from_reference:.2e} from the model's value, "
            f"{self.inherited:.2e} in its inputs"
        )


def find_blame(
    edge: EdgeProgram,
    inputs: Sequence[np.ndarray],
    packages: Sequence[Package],
    *,
    again: Callable[[], contextlib.AbstractContextManager[list[Package]]],
    numeric_mode: str,
    tolerance: float | None,
    missed: float,
    memory_budget: int,
) -> Blame:
    """Looks for the first operation at fault, package by package, each with the model's own values as its inputs.

    Args:
        edge: the model.
        inputs: flat, in the model's order.
        again: the packages that the model would be lowered to now, to tell the operations of one node apart.
        tolerance: of accumulated differences, l2-relative; None for FACTOR times what rounding is simulated to do.
        missed: the tolerance that an output is outside of: what is held against values where simulated rounding explains all of them.
        memory_budget: bytes of the engine's values held at once.

    Raises:
        ToolError: values could not be had.
    """
    notes: list[str] = []
    mappings = [blame_mapping.map_package(edge, package) for package in packages]
    for index, (package, mapping) in enumerate(zip(packages, mappings, strict=True)):
        named = named_inputs(edge, package)
        if named is None or not mapping.operations:
            notes.append(f"{package.what} has inputs or operations whose names the model does not have, so it was not looked into")
            continue
        scan = Scan(edge, inputs, package, mapping, named, numeric_mode=numeric_mode, memory_budget=memory_budget)
        fault = scan.first_fault()
        if fault is not None:
            if fault.kind == "operation" and sum(op.type != "cast" for op in mapping.group(fault.node)) > 1:
                with again() as others:
                    if len(others) == len(packages):
                        fault = scan.narrowed(fault, others[index])
            return _describe(edge, inputs, package, mapping, fault, notes)
        accumulated = scan.first_outside(tolerance) or scan.first_outside(missed)
        if accumulated is not None:
            return _describe(edge, inputs, package, mapping, accumulated, notes)
    if notes:
        return Blame("unknown", "; ".join(notes))
    if not packages:
        return Blame("outside", "the method has no Core ML delegate, so the difference is not made by one")
    return Blame(
        "outside",
        "every operation of the Core ML packages is right but for rounding: the difference is made outside them, or after them",
    )


def named_inputs(edge: EdgeProgram, package: Package) -> dict[str, Node] | None:
    """The node of each input of a package; of one that was made elsewhere, the model's inputs in order. None where neither fits."""
    if all(name in edge.nodes for name in package.input_names):
        return {name: edge.nodes[name] for name in package.input_names}
    users = edge.user_inputs()
    if not package.is_delegate and len(users) == len(package.input_names):
        return dict(zip(package.input_names, users, strict=True))
    return None


def _describe(
    edge: EdgeProgram,
    inputs: Sequence[np.ndarray],
    package: Package,
    mapping: blame_mapping.Mapping,
    fault: Fault,
    notes: list[str],
) -> Blame:
    node = fault.node
    sources = [n for n in fault.inputs if n in fault.values]
    exact = edge.run(inputs, lambda n: n is node or n in sources)
    inherited = max((_difference(fault.values[n], exact[n]) for n in sources if n in exact), default=0.0)
    words = {
        "operation": "The first operation at fault computes something else than PyTorch does from the same inputs.",
        "overflow": "The first operation at fault has a result beyond the range of its dtype.",
        "vanish": "The first operation at fault has a result that is too small for its dtype.",
        "accumulated": "No single operation is at fault: rounding adds up, and this is the first value that leaves the tolerance.",
    }
    operation = fault.operation
    return Blame(
        kind=fault.kind,
        explanation=" ".join([words[fault.kind], *(note + "." for note in notes)]),
        where=package.what,
        mil_op=operation.type,
        mil_name=operation.name,
        group=tuple((op.type, op.name) for op in mapping.group(node)),
        edge_op=computing_op(node),
        edge_node=node.name,
        debug_handle=node.meta.get("debug_handle"),
        module=module_path(node),
        line=source_line(node),
        error=fault.error,
        allowed=fault.allowed,
        from_reference=_difference(fault.values[node], exact[node]),
        inherited=inherited,
    )


def _difference(actual: np.ndarray, exact: Any) -> float:
    expected = as_array(exact)
    return l2_relative(actual.reshape(expected.shape), expected) if actual.size == expected.size else math.nan
