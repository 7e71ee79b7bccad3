"""Where float16 is too small for a model, and which operations to keep in float32.

from executorch_coreml.sdk.audit import audit

    result = audit("model.pte", (module, example_inputs))
    print(result)          # values that overflow, vanish or lose most bits, with operation and line; islands that were tried

An island is an entry of the compile spec `float32_ops` (docs/lowering.md). Those proposed were lowered and measured, in numeric mode float16.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml.node_facts import SourceLine, computing_op, module_path, source_line
from executorch_coreml.sdk import blame_mapping, verify_package, verify_reference
from executorch_coreml.sdk.blame import named_inputs
from executorch_coreml.sdk.blame_scan import Scan
from executorch_coreml.sdk.compare import l2_relative
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.verify import Verification, captured, prepare_inputs, verify
from executorch_coreml.sdk.verify_edge import EdgeProgram, Node, lower, our_partitioner
from executorch_coreml.sdk.verify_rounding import as_array

# Of 11 bits; with fewer right, most are lost.
_LEAST_BITS = 5.5
# Of the elements that are not zero.
_VANISHED_SHARE = 0.1
_FLOAT16_MAX = float(np.finfo(np.float16).max)
# From here on a number is a mask's "very large" and no result.
_SENTINEL = 1e30
# How often the search lowers the model.
_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Finding:
    """A value that float16 does not hold well.

    kind:
      "overflow": `share` of the elements are beyond 65504 in the model, or infinite or NaN in the engine, though those it is made of are finite.
      "vanish": `share` of the elements that are not zero are zero in float16.
      "bits": rounding what it is computed from, and itself, leaves `bits` of float16's 11.
    """

    kind: str
    share: float
    bits: float
    # The largest and, but for zeros, smallest magnitude in the model.
    largest: float
    smallest: float
    mil_op: str
    mil_name: str
    edge_op: str
    edge_node: str
    debug_handle: int | None
    module: str
    line: SourceLine | None

    def to_json(self) -> dict[str, Any]:
        values = dataclasses.asdict(self)
        return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}

    def __str__(self) -> str:
        what = {
            "overflow": f"{self.share:.1%} of the elements overflow",
            "vanish": f"{self.share:.1%} of the elements vanish",
            "bits": f"{self.bits:.1f} of 11 bits are right",
        }[self.kind]
        where = f"{self.module or 'the model itself'}" + (f", {self.line}" if self.line else "")
        return (
            f"{what} (magnitudes {self.smallest:.2g} to {self.largest:.2g}): {self.mil_op} {self.mil_name}, {self.edge_op}, {where}"
        )


@dataclasses.dataclass(frozen=True)
class Try:
    """Islands that were lowered and run. difference: the largest l2-relative one of the outputs; float16_operations: those left in it."""

    float32_ops: tuple[str, ...]
    difference: float
    passed: bool
    float16_operations: int

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "difference": self.difference if math.isfinite(self.difference) else None}


@dataclasses.dataclass(frozen=True)
class Audit:
    """The outcome. tries: the program as it is first; proposal: the try that cures it with the fewest entries, None where none is needed or
    none was found."""

    findings: tuple[Finding, ...]
    tries: tuple[Try, ...]
    proposal: Try | None

    def to_json(self) -> dict[str, Any]:
        return {
            "findings": [finding.to_json() for finding in self.findings],
            "tries": [attempt.to_json() for attempt in self.tries],
            "proposal": self.proposal.to_json() if self.proposal else None,
        }

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings] or ["Nothing overflows, vanishes or loses most of its bits in float16."]
        for attempt in self.tries:
            islands = f"float32_ops={list(attempt.float32_ops)}" if attempt.float32_ops else "as it is"
            verdict = "within the tolerance" if attempt.passed else "outside the tolerance"
            lines.append(
                f"{islands}: l2-relative {attempt.difference:.2e}, {verdict}, {attempt.float16_operations} operations in float16"
            )
        if self.proposal is not None:
            lines.append(f"Proposed: CoreMLBackend.generate_compile_specs(float32_ops={list(self.proposal.float32_ops)})")
        elif self.tries and not self.tries[0].passed:
            lines.append("None of the islands that were tried is enough. compute_precision=ct.precision.FLOAT32 would be.")
        return "\n".join(lines)


def audit(
    path: str | os.PathLike[str],
    reference: Any,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None = None,
    *,
    method: str = "forward",
    tolerance: float | None = None,
    seed: int = 0,
    memory_budget: int = 1 << 30,
) -> Audit:
    """Audits the float16 operations of a .pte or .mlpackage, and where its outputs miss, looks for islands that cure them.

    Args as of verify(). The reference has to be a model.

    Raises:
        ToolError: for what cannot be loaded or run, and for a reference without a model.
    """
    path = Path(path)
    expected = verify_reference.load(reference)
    if expected.program is None:
        raise ToolError(f"the audit needs the model, but {expected.name} has only its outputs")
    given, flat = prepare_inputs(path, method, expected, inputs, seed=seed)
    measured = _measure(path, expected, given, method, tolerance)
    with verify_package.open_packages(path, method) as packages:
        if not any(package.is_float16 for package in packages):
            return Audit((), (_as_try((), measured, 0),), None)
        lowered_with = packages[0].lowered_with
        edge = captured(expected, packages)
        findings: list[tuple[Node, Finding]] = []
        for package in packages:
            findings += _find(edge, flat, package, memory_budget)
        first = _as_try((), measured, sum(op.dtype == "FLOAT16" for p in packages for op in p.operations))
    tries = [first]
    proposal = None
    if not first.passed and findings:
        search = _Search(expected, given, lowered_with, tolerance, tries)
        proposal = search.run([node for node, _ in findings])
    return Audit(tuple(finding for _, finding in findings), tuple(tries), proposal)


def _measure(path: Path, expected: verify_reference.Reference, given: Any, method: str, tolerance: float | None) -> Verification:
    return verify(path, expected, given, method=method, numeric_modes=("float16",), tolerance=tolerance, blame=False)


def _as_try(entries: tuple[str, ...], measured: Verification, operations: int) -> Try:
    outputs = measured.modes[0].outputs
    worst = max((math.inf if o.comparison.misplaced else o.comparison.l2_relative for o in outputs), default=0.0)
    return Try(entries, worst, measured.passed, operations)


def _find(
    edge: EdgeProgram, inputs: Sequence[np.ndarray], package: verify_package.Package, memory_budget: int
) -> list[tuple[Node, Finding]]:
    mapping = blame_mapping.map_package(edge, package)
    named = named_inputs(edge, package)
    if named is None:
        return []
    scan = Scan(edge, inputs, package, mapping, named, numeric_mode="float16", memory_budget=memory_budget)
    found = []
    for part in scan.parts():
        wanted = set(part) | scan.sources(set(part))
        exact = {node: as_array(value) for node, value in edge.run(inputs, wanted.__contains__).items()}
        engine = scan.read(sorted(wanted, key=scan.position))
        for node in part:
            if mapping.operations[node].dtype == "FLOAT16" and node in engine and engine[node].shape == exact[node].shape:
                found += [(node, finding) for finding in _judge(scan, mapping, node, exact, engine)]
    return found


def _judge(
    scan: Scan, mapping: blame_mapping.Mapping, node: Node, exact: Mapping[Node, np.ndarray], engine: Mapping[Node, np.ndarray]
) -> Iterable[Finding]:
    right, actual = exact[node].astype(np.float64), engine[node].astype(np.float64)
    usual = np.isfinite(right) & (np.abs(right) < _SENTINEL)
    nonzero = usual & (right != 0)
    if not nonzero.any():
        return
    magnitudes = np.abs(right[nonzero])
    from_finite = all(np.isfinite(engine[n]).all() for n in scan.mapped_inputs(node) if n in engine and engine[n].dtype.kind == "f")
    overflowed = usual & (~np.isfinite(actual) & from_finite | (np.abs(right) > _FLOAT16_MAX))
    # Zeros that come from what the engine had before are not this operation's.
    from_engine, _ = scan.predict(node, engine)
    vanished = nonzero & (actual == 0) & (as_array(from_engine) != 0)
    kinds = []
    if overflowed.any():
        kinds.append(("overflow", float(overflowed.sum() / overflowed.size), math.nan))
    if vanished.sum() > _VANISHED_SHARE * nonzero.sum():
        kinds.append(("vanish", float(vanished.sum() / nonzero.sum()), math.nan))
    # What rounding does to this operation alone, from the model's own values.
    predicted, rounded = scan.predict(node, exact)
    error = l2_relative(as_array(rounded), as_array(predicted))
    if not kinds and error > 2.0**-_LEAST_BITS:
        kinds.append(("bits", 1.0, max(-math.log2(error), 0.0) + 0.0 if math.isfinite(error) else 0.0))
    operation = mapping.operations[node]
    for kind, share, bits in kinds:
        yield Finding(
            kind=kind,
            share=share,
            bits=bits,
            largest=float(magnitudes.max()),
            smallest=float(magnitudes.min()),
            mil_op=operation.type,
            mil_name=operation.name,
            edge_op=computing_op(node),
            edge_node=node.name,
            debug_handle=node.meta.get("debug_handle"),
            module=module_path(node),
            line=source_line(node),
        )


class _Search:
    """Looks for the islands. Each try lowers the model and runs it."""

    def __init__(
        self,
        expected: verify_reference.Reference,
        given: Any,
        lowered_with: Mapping[str, bytes],
        tolerance: float | None,
        tries: list[Try],
    ) -> None:
        self._expected = expected
        self._given = given
        self._lowered_with = lowered_with
        self._tolerance = tolerance
        self._tries = tries

    def run(self, nodes: Sequence[Node]) -> Try | None:
        """From the operations found and their neighbours to the modules around them; then entries are left out while it stays cured."""
        around = list(dict.fromkeys(n for node in nodes for n in (node, *_neighbours(node))))
        modules = {module_path(node) for node in nodes} - {""}
        candidates = [
            sorted({computing_op(node) for node in nodes}),
            sorted({computing_op(node) for node in around}),
            sorted(modules),
            sorted({path.rpartition(".")[0] for path in modules} - {""}),
        ]
        for entries in candidates:
            cured = self._try(tuple(entries)) if entries else None
            if cured is not None and cured.passed:
                return self._smaller(cured)
        return None

    def _smaller(self, cured: Try) -> Try:
        for entry in cured.float32_ops:
            rest = tuple(e for e in cured.float32_ops if e != entry)
            if not rest:
                break
            attempt = self._try(rest)
            if attempt is not None and attempt.passed:
                cured = attempt
        return cured

    def _try(self, entries: tuple[str, ...]) -> Try | None:
        for earlier in self._tries:
            if earlier.float32_ops == entries:
                return earlier
        if len(self._tries) > _TRIES:
            return None
        try:
            assert self._expected.program is not None
            islands = our_partitioner(self._lowered_with, compute_precision="float16", float32_ops=entries)
            program = lower(self._expected.program, islands)
        except ToolError:
            return None
        with tempfile.TemporaryDirectory(prefix="coreml_audit_") as folder:
            path = Path(folder) / "islands.pte"
            path.write_bytes(program)
            with verify_package.open_packages(path, "forward") as packages:
                operations = sum(op.dtype == "FLOAT16" for p in packages for op in p.operations)
            # A .pte's inputs are named by their numbers.
            flat = {str(index): array for index, array in enumerate(self._given.values())}
            self._tries.append(_as_try(entries, _measure(path, self._expected, flat, "forward", self._tolerance), operations))
        return self._tries[-1]


def _neighbours(node: Node) -> list[Node]:
    return [n for n in (*node.all_input_nodes, *node.users) if n.op == "call_function"]
