"""Does a lowered program compute what its PyTorch model does?

    from executorch_coreml.sdk.verify import verify

    result = verify("model.pte", (module, example_inputs))
    assert result.passed, result
    print(result)                      # measures of each output; on a miss the operation and the line of the model it starts at

Everything runs on the engine of this machine, off Apple platforms the portable one on the CPU. Agreement with Apple's own runtime is not
established by it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml.sdk import program_file, running, verify_package, verify_reference, verify_rounding
from executorch_coreml.sdk.blame import Blame, find_blame
from executorch_coreml.sdk.blame_mapping import plain_name
from executorch_coreml.sdk.compare import Comparison, compare
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.verify_edge import EdgeProgram, Node, capture, lower, our_partitioner

NUMERIC_MODES = ("float32", "float16")
# How many times the normal difference an output may be off.
FACTOR = 4.0


@dataclasses.dataclass(frozen=True)
class OutputResult:
    """One output. passed: comparison.l2_relative <= tolerance and nothing misplaced; of integers and bools, all elements equal."""

    name: str
    comparison: Comparison
    normal: verify_rounding.Normal
    tolerance: float

    @property
    def passed(self) -> bool:
        if np.dtype(self.comparison.dtype).kind != "f":
            return self.comparison.equal == 1.0
        return self.comparison.misplaced == 0 and self.comparison.l2_relative <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "passed": self.passed,
            **self.comparison.to_json(),
            "normal_l2_relative": self.normal.l2_relative,
            "normal_source": self.normal.source,
            "tolerance": self.tolerance,
        }


@dataclasses.dataclass(frozen=True)
class ModeResult:
    """All outputs in one numeric mode. blame: where a miss starts; None when everything passed or nobody asked."""

    numeric_mode: str
    outputs: tuple[OutputResult, ...]
    blame: Blame | None

    @property
    def passed(self) -> bool:
        return all(output.passed for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        return {
            "numeric_mode": self.numeric_mode,
            "passed": self.passed,
            "outputs": [output.to_json() for output in self.outputs],
            "blame": self.blame.to_json() if self.blame else None,
        }


@dataclasses.dataclass(frozen=True)
class Verification:
    """What verify() found."""

    path: str
    reference: str
    modes: tuple[ModeResult, ...]
    # What whoever reads the figures should know.
    remarks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return all(mode.passed for mode in self.modes)

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "reference": self.reference,
            "passed": self.passed,
            "modes": [mode.to_json() for mode in self.modes],
            "remarks": list(self.remarks),
        }

    def __str__(self) -> str:
        lines = [f"{self.path} against {self.reference}: {'within' if self.passed else 'OUTSIDE'} the tolerance"]
        for mode in self.modes:
            lines += [
                f"  {mode.numeric_mode} {o.name}: l2-relative {o.comparison.l2_relative:.2e}, tolerance {o.tolerance:.2e}, "
                f"{'passed' if o.passed else 'MISSED'}"
                for o in mode.outputs
            ]
            lines += ["  " + line for line in str(mode.blame).splitlines()] if mode.blame else []
        return "\n".join([*lines, *self.remarks])


def verify(
    path: str | os.PathLike[str],
    reference: Any,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None = None,
    *,
    method: str = "forward",
    numeric_modes: Sequence[str] = NUMERIC_MODES,
    tolerance: float | None = None,
    seed: int = 0,
    threads: int = 0,
    blame: bool = True,
    memory_budget: int = 1 << 30,
) -> Verification:
    """Runs a .pte or a .mlpackage and its reference on the same inputs and compares the outputs.

    Args:
        path: The program or package, of this exporter or another.
        reference: The exported program or the path of a .pt2 that it was saved to; (module, example inputs) or "module:function" that returns
            them; or the expected outputs, by name or in order, or the path of a .npz of them.
        inputs: Arrays in order, or by number for a .pte and by name for a package. None: the reference's example inputs, or where it has
            none, made-up ones (normal reals, zero integers).
        method: Of a .pte; of a package with several functions, the function.
        numeric_modes: Which of "float32" (float16 values are computed with more bits) and "float16" (rounded after each operation).
        tolerance: Of the l2-relative difference of every output; None for FACTOR times what is normal.
        seed: Of made-up inputs.
        threads: Of one execution; 0 for the engine's choice.
        blame: Whether to look for the operation at fault on a miss. Needs a reference that is a model.
        memory_budget: Bytes of values inside a package that may be held at once; above it they are computed part by part.

    Raises:
        ToolError: for what cannot be loaded, run or compared.
    """
    path = Path(path)
    expected = verify_reference.load(reference)
    names, given = _inputs_of(path, method, expected, inputs)
    modes: list[ModeResult] = []
    remarks: list[str] = []
    model: Model | None = None
    with verify_package.open_packages(path, method) as packages:
        is_float16 = any(package.is_float16 for package in packages)
        for numeric_mode in numeric_modes:
            runnable = running.prepare(path, given, method=method, seed=seed, threads=threads, numeric_mode=numeric_mode)
            if runnable.made_up and not modes:
                remarks.append(f"made up from seed {seed}: inputs {', '.join(runnable.made_up)}")
            flat = [runnable.inputs[name] for name in names]
            outputs = _in_order(path, runnable.call(), packages)
            if model is None:
                model = Model.of(expected, flat, packages, remarks)
            normal = model.normal(len(outputs), is_float16, numeric_mode)
            results = tuple(_results(path, outputs, model.outputs, expected, normal, tolerance))
            found = None
            if blame and model.edge is not None and not all(result.passed for result in results):
                try:
                    found = find_blame(
                        model.edge,
                        flat,
                        packages,
                        again=functools.partial(_lowered_again, expected, packages),
                        numeric_mode=numeric_mode,
                        tolerance=tolerance,
                        missed=min(result.tolerance for result in results if not result.passed),
                        memory_budget=memory_budget,
                    )
                except ToolError as error:  # The measures of the outputs stand without it.
                    found = Blame("unknown", f"the operation at fault could not be searched for: {error}")
            modes.append(ModeResult(numeric_mode, results, found))
        if any(package.is_compressed for package in packages) and not all(mode.passed for mode in modes):
            remarks.append(
                "The package has compressed weights (constexpr operations). If the reference does not have them, the normal difference is larger: pass a tolerance."
            )
        if expected.program is None and blame and not all(mode.passed for mode in modes):
            remarks.append("To find the operation at fault, pass the model as the reference instead of its outputs.")
    return Verification(str(path), expected.name, tuple(modes), tuple(remarks))


@dataclasses.dataclass
class Model:
    """The reference on the inputs at hand.

    Attributes:
        outputs: what it computes of `inputs`, flat.
        edge: its edge program; None where that is not known, which `remarks` then say.
        nodes: the outputs' nodes in it.
        exact: the nodes' values, computed by PyTorch.
    """

    outputs: list[np.ndarray]
    inputs: list[np.ndarray]
    edge: EdgeProgram | None
    nodes: list[Node | None]
    exact: dict[Node, Any]

    @classmethod
    def of(
        cls,
        expected: verify_reference.Reference,
        inputs: list[np.ndarray],
        packages: Sequence[verify_package.Package],
        remarks: list[str],
    ) -> Model:
        outputs = expected.outputs(inputs)
        if expected.program is None:
            return cls(outputs, inputs, None, [], {})
        try:
            edge = captured(expected, packages)
            nodes = edge.user_outputs()
            exact = edge.run(inputs, lambda node: node in nodes)
        except ToolError as error:
            remarks.append(f"Only the measures are known: {error}")
            return cls(outputs, inputs, None, [], {})
        for index, node in enumerate(nodes):
            if node is None or node not in exact or index >= len(outputs):
                continue
            value = verify_rounding.as_array(exact[node])
            if value.dtype.kind == "f" and value.shape == outputs[index].shape:
                difference = compare(value, outputs[index]).l2_relative
                if difference > 1e-4:
                    remarks.append(
                        f"Output {index} of the edge program, computed by PyTorch, differs from the model's by {difference:.1e}: the program was "
                        "changed before Core ML received it."
                    )
        return cls(outputs, inputs, edge, nodes, exact)

    def normal(self, count: int, is_float16: bool, numeric_mode: str) -> list[verify_rounding.Normal]:
        """What is normal for each of `count` outputs."""
        fallback = verify_rounding.seen(is_float16, numeric_mode)
        if self.edge is None:
            return [fallback] * count
        found = verify_rounding.simulate(self.edge, self.inputs, self.exact, is_float16=is_float16, numeric_mode=numeric_mode)
        nodes = [*self.nodes, *[None] * count][:count]
        return [found.get(node, fallback) if node is not None else fallback for node in nodes]


def captured(expected: verify_reference.Reference, packages: Sequence[verify_package.Package]) -> EdgeProgram:
    """The edge program of the packages, made once for a reference. ToolError as of capture()."""
    names = frozenset(
        name for package in packages for name in (*package.input_names, *(plain_name(op.name) for op in package.operations))
    )
    lowered_with = packages[0].lowered_with if packages else {}
    is_ours = bool(packages) and packages[0].is_ours
    key = (names, tuple(lowered_with.items()), is_ours)
    if key not in expected.made:
        assert expected.program is not None
        expected.made[key] = capture(expected.program, names=names, lowered_with=lowered_with, is_ours=is_ours)
    return expected.made[key]


@contextlib.contextmanager
def _lowered_again(
    expected: verify_reference.Reference, packages: Sequence[verify_package.Package]
) -> Iterator[list[verify_package.Package]]:
    """The packages that this exporter makes of the reference now, for what was asked for then; none where it cannot."""
    key = ("lowered", tuple(packages[0].lowered_with.items()))
    if key not in expected.made:
        try:
            assert expected.program is not None
            expected.made[key] = lower(expected.program, our_partitioner(packages[0].lowered_with))
        except ToolError:
            expected.made[key] = None
    with tempfile.TemporaryDirectory(prefix="coreml_verify_") as folder:
        path = Path(folder) / "again.pte"
        if expected.made[key] is None:
            yield []
            return
        path.write_bytes(expected.made[key])
        with verify_package.open_packages(path, "forward") as found:
            yield found


def _inputs_of(
    path: Path, method: str, expected: verify_reference.Reference, inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """The names of all inputs in the reference's order, and those that are given."""
    if not path.exists():
        raise ToolError(f"there is no file {path}")
    names = _input_names(path, method, expected)
    given = _given(path, names, expected, inputs)
    if names and not given and expected.program is None:
        raise ToolError(f"{expected.name} has the outputs for certain inputs: pass these inputs too")
    return names, given


def prepare_inputs(
    path: Path,
    method: str,
    expected: verify_reference.Reference,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None,
    *,
    seed: int,
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """All inputs, made up where nobody gives them, by name and in the reference's order. Arguments and errors as of verify()."""
    names, given = _inputs_of(path, method, expected, inputs)
    runnable = running.prepare(path, given, method=method, seed=seed)
    flat = [runnable.inputs[name] for name in names]
    return dict(zip(names, flat, strict=True)), flat


def _input_names(path: Path, method: str, expected: verify_reference.Reference) -> tuple[str, ...]:
    """The names that running.prepare() knows the inputs by, in the reference's order."""
    if not path.is_dir():
        methods = {found.name: found for found in program_file.open_program(path).methods}
        if method not in methods:
            raise ToolError(f"{path} has no method {method!r}; it has {', '.join(methods)}")
        return tuple(str(index) for index in range(len(methods[method].inputs)))
    with verify_package.open_packages(path, method) as (package,):
        names = package.input_names
    in_reference = expected.input_names()
    return in_reference if set(in_reference) == set(names) else names


def _given(
    path: Path,
    names: Sequence[str],
    expected: verify_reference.Reference,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None,
) -> dict[str, np.ndarray]:
    """Inputs by name."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    in_order = expected.example_inputs() if inputs is None else list(inputs)
    if not in_order:
        return {}
    if len(names) != len(in_order):
        what = expected.name if inputs is None else "what was given"
        raise ToolError(f"{path} has {len(names)} inputs ({', '.join(names)}), but {what} has {len(in_order)}")
    return dict(zip(names, in_order, strict=True))


def _in_order(path: Path, outputs: Mapping[str, np.ndarray], packages: Sequence[verify_package.Package]) -> dict[str, np.ndarray]:
    names = packages[0].output_names if path.is_dir() else tuple(outputs)
    return {name: outputs[name] for name in names}


def _results(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    expected: Sequence[np.ndarray],
    reference: verify_reference.Reference,
    normal: Sequence[verify_rounding.Normal],
    tolerance: float | None,
) -> list[OutputResult]:
    if len(outputs) != len(expected):
        raise ToolError(
            f"{path} has {len(outputs)} outputs, but {reference.name} has {len(expected)}: they do not belong to the same model"
        )
    in_order = list(expected)
    if set(reference.names) == set(outputs):
        in_order = [expected[reference.names.index(name)] for name in outputs]
    results = []
    for (name, actual), wanted, ordinary in zip(outputs.items(), in_order, normal, strict=True):
        if actual.size == wanted.size and sorted((actual.ndim, wanted.ndim)) == [0, 1]:
            actual = actual.reshape(wanted.shape)  # Core ML has no scalars.
        try:
            comparison = compare(actual, wanted)
        except ValueError as error:
            raise ToolError(f"output {name} of {path} and that of {reference.name} cannot be compared: {error}") from error
        results.append(OutputResult(name, comparison, ordinary, FACTOR * ordinary.l2_relative if tolerance is None else tolerance))
    return results
