"""Device kits: a program, what it is given, what it should give and how far that may be off, in a folder to take to another machine.

There `coreml_runner --kit FOLDER` answers with one JSON file, and kit_answer compares it. docs/verify.md has the format.

What is expected is the portable engine's. What is allowed is measured: how far numeric mode float16, which rounds after each operation, is from
numeric mode float32, times verify.FACTOR.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml.node_facts import computing_op, module_path, source_line
from executorch_coreml.sdk import blame_mapping, files, program_file, running, verify_package, verify_reference, verify_rounding
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.verify import FACTOR, captured, prepare_inputs
from executorch_coreml.sdk.verify_edge import EdgeProgram
from executorch_coreml.sdk.verify_package import Operation, Package

MANIFEST = "kit.json"
FORMAT = "coreml_kit"
VERSION = 1
NUMERIC_MODES = ("float32", "float16")
# Operations whose values one function gives: more outputs leave a compiler less to fuse, and the kit is about the program as it runs.
_VALUES_PER_FUNCTION = 48
_PROGRAM = "model.pte"
# The dtypes that Core ML has for outputs; of more than five extents it has none, and of none either.
_OUTPUT_DTYPES = ("FLOAT16", "FLOAT32", "INT32")
_MOST_EXTENTS = 5


@dataclasses.dataclass(frozen=True)
class Made:
    """A kit that was written. values: of how many operations it has the values, and how many there are."""

    folder: Path
    identity: str
    outputs: int
    values: int
    operations: int
    size: int
    # What whoever takes it should know.
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "folder": str(self.folder), "remarks": list(self.remarks)}


def make(
    path: Path,
    folder: Path,
    *,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None = None,
    reference: Any = None,
    method: str = "forward",
    seed: int = 0,
    values: bool = False,
    values_budget: int = 64 << 20,
    tolerance: float | None = None,
) -> Made:
    """Writes the kit of one method of a .pte as the new folder `folder`.

    Args:
        inputs: Arrays, by number or in order; None: the reference's example inputs, or made up from `seed`.
        reference: As of verify(): lines of the model are named then, and delegates whose inputs are made inside the method have values.
        values: Whether the machine is asked for the values of operations within the delegates.
        values_budget: Bytes of such values in one numeric mode; of more than that, every second or third ... operation is taken.
        tolerance: Of the l2-relative difference of each output and value; None for what is measured.

    Raises:
        ToolError: for what cannot be read, run or written, or a folder that is there.
    """
    if path.is_dir():
        raise ToolError(f"{path} is a folder: a kit is made from a .pte, which the runner of the other machine executes")
    if os.path.lexists(folder):
        raise ToolError(f"{folder} already exists: name another folder, or remove this one")
    program = program_file.open_program(path)
    expected = None if reference is None else verify_reference.load(reference)
    named = _inputs(path, method, expected, inputs, seed)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".coreml_kit_") as scratch:
            kit = _Kit(program, method, named, tolerance, Path(scratch) / "kit")
            kit.run()
            if values:
                kit.add_values(expected, values_budget)
            made = kit.finish(folder)
    except OSError as error:
        raise ToolError(f"the kit cannot be written to {folder}: {error.strerror or error}") from error
    return made


def _inputs(
    path: Path,
    method: str,
    expected: verify_reference.Reference | None,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None,
    seed: int,
) -> dict[str, np.ndarray]:
    if expected is not None:
        return prepare_inputs(path, method, expected, inputs, seed=seed)[0]
    given = inputs if isinstance(inputs, Mapping) else {str(i): array for i, array in enumerate(inputs or ())}
    return dict(running.prepare(path, given, method=method, seed=seed).inputs)


class _Kit:
    """A kit in the making."""

    def __init__(
        self, program: program_file.ProgramFile, method: str, inputs: dict[str, np.ndarray], tolerance: float | None, staging: Path
    ) -> None:
        self._program, self._path, self._method = program, program.path, method
        self._inputs, self._tolerance, self._staging = inputs, tolerance, staging
        self._remarks: list[str] = []
        self._outputs: list[dict[str, Any]] = []
        self._delegates: list[dict[str, Any]] = []
        # Numeric mode -> name in the .npz -> array.
        self._expected: dict[str, dict[str, np.ndarray]] = {mode: {} for mode in NUMERIC_MODES}
        # Of the delegates whose values are asked for.
        self._operations = 0

    def run(self) -> None:
        """What the method gives in both modes."""
        with verify_package.open_packages(self._path, self._method) as packages:
            is_float16 = any(package.is_float16 for package in packages)
        found = {}
        for mode in NUMERIC_MODES:
            runnable = running.prepare(self._path, self._inputs, method=self._method, numeric_mode=mode)
            found[mode] = runnable.call()
            self._expected[mode].update({f"output/{name}": array for name, array in found[mode].items()})
        for name, exact in found["float32"].items():
            rounded = found["float16"][name]
            if not np.array_equal(np.isfinite(exact), np.isfinite(rounded)):
                self._remarks.append(
                    f"Output {name} has other elements that are NaN or infinite in numeric mode float16: a device that computes in float16 "
                    "will compute them too."
                )
            self._outputs.append({"name": name, **self._measure(exact, rounded, is_float16, capped=True)})

    def _measure(self, exact: np.ndarray, rounded: np.ndarray, is_float16: bool, *, capped: bool) -> dict[str, Any]:
        normal = verify_rounding.between_modes(exact, rounded, is_float16=is_float16, capped=capped)
        return {
            "dtype": str(exact.dtype),
            "shape": list(exact.shape),
            "tolerance": FACTOR * normal.l2_relative if self._tolerance is None else self._tolerance,
            "normal": normal.l2_relative,
            "source": f"{FACTOR:g} times {normal.source}" if self._tolerance is None else "the tolerance that was passed",
        }

    # --- values ---

    def add_values(self, expected: verify_reference.Reference | None, budget: int) -> None:
        """What the operations within the delegates give in both modes, each delegate with its inputs of numeric mode float32."""
        with verify_package.open_packages(self._path, self._method) as packages:
            if not packages:
                raise ToolError(f"{self._path} has no Core ML delegate in {self._method}, so there are no values within one")
            edge = None
            if expected is not None and expected.program is not None:
                edge = captured(expected, packages)
            delegates = [d for d in self._program.delegates() if d.method == self._method]
            for delegate, package in zip(delegates, packages, strict=True):
                feed = self._feed(delegate, package, edge)
                if feed is None:
                    self._remarks.append(
                        f"No values of {package.what}: its inputs are computed inside the method. If you pass the model as the reference, they are known."
                    )
                    continue
                try:
                    self._add_delegate(delegate, package, feed, edge, budget // len(packages))
                except ToolError as error:
                    self._remarks.append(f"No values of {package.what}: {error}")

    def _feed(self, delegate: program_file.Delegate, package: Package, edge: EdgeProgram | None) -> dict[str, np.ndarray] | None:
        """The delegate's inputs by name: those of the method, or what PyTorch computes."""
        flat = list(self._inputs.values())
        feed = {}
        for name, source in zip(package.input_names, delegate.input_sources, strict=False):
            if source is not None:
                feed[name] = flat[source]
            elif edge is not None and name in edge.nodes:
                node = edge.nodes[name]
                feed[name] = verify_rounding.as_array(edge.run(flat, {node}.__contains__)[node])
            else:
                return None
        return feed if len(feed) == len(package.input_names) else None

    def _add_delegate(
        self, delegate: program_file.Delegate, package: Package, given: dict[str, np.ndarray], edge: EdgeProgram | None, budget: int
    ) -> None:
        feed = _as_described(package, given)
        wanted = _wanted(package)
        self._operations += len(wanted)
        step = max(1, -(-sum(operation.size for operation in wanted) // max(budget, 1)))
        chosen = wanted[step - 1 :: step]
        if step > 1:
            self._remarks.append(
                f"Of {package.what} every {step}th operation has its value in the kit, because all of them take more than {budget // 10**6} MB."
            )
        index = len(self._delegates)
        place = f"delegates/{index}"
        nodes = {}
        if edge is not None:
            nodes = {operation.name: node for node, operation in blame_mapping.map_package(edge, package).operations.items()}
        probes: list[dict[str, Any]] = []
        operations: list[dict[str, Any]] = []
        for start in range(0, len(chosen), _VALUES_PER_FUNCTION):
            part = chosen[start : start + _VALUES_PER_FUNCTION]
            names = [operation.name for operation in part]
            computed = {mode: package.values(feed, numeric_mode=mode, names=names) for mode in NUMERIC_MODES}
            outputs = []
            for operation in part:
                exact, rounded = (computed[mode][operation.name] for mode in NUMERIC_MODES)
                measured = self._measure(exact, rounded, package.is_float16, capped=False)
                outputs.append({"name": operation.name, "dtype": measured["dtype"], "shape": measured["shape"]})
                operations.append({**_facts(operation, package, nodes.get(operation.name)), **measured})
                for mode in NUMERIC_MODES:
                    self._expected[mode][f"value/{index}/{operation.name}"] = computed[mode][operation.name]
            specification = f"{place}/values_{len(probes)}.mlmodel"
            self._add(specification, package.specification_with_outputs(names))
            probes.append({"specification": specification, "outputs": outputs})
        for number, array in enumerate(feed.values()):
            self._add(f"{place}/input_{number}.npy", array)
        shutil.copytree(package.path, self._staging / place / "model.mlpackage")
        self._delegates.append(
            {
                "label": delegate.label,
                "package": f"{place}/model.mlpackage",
                "function": package.function,
                "inputs": {name: f"{place}/input_{number}.npy" for number, name in enumerate(feed)},
                "probes": probes,
                "operations": operations,
            }
        )

    # --- writing ---

    def _add(self, name: str, content: np.ndarray | bytes) -> None:
        """A file of the kit."""
        target = self._staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            with target.open("wb") as sink:
                np.save(sink, np.asarray(content, order="C"), allow_pickle=False)

    def finish(self, folder: Path) -> Made:
        """Writes the rest, and gives the kit its name."""
        inputs = [f"inputs/{number}.npy" for number in range(len(self._inputs))]
        for name, array in zip(inputs, self._inputs.values(), strict=True):
            self._add(name, array)
        expected = {mode: f"expected/{mode}.npz" for mode in NUMERIC_MODES}
        for mode, path in expected.items():
            files.write_arrays(self._staging / path, self._expected[mode], "what is expected")
        shutil.copyfile(self._path, self._staging / _PROGRAM)
        written = sorted(file for file in self._staging.rglob("*") if file.is_file())
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "made_of": self._path.name,
            "program": _PROGRAM,
            "method": self._method,
            "inputs": inputs,
            "expected": expected,
            "outputs": self._outputs,
            "delegates": self._delegates,
            "files": {file.relative_to(self._staging).as_posix(): _digest(file) for file in written},
        }
        manifest["identity"] = identity(manifest)
        self._add(MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
        size = sum(file.stat().st_size for file in self._staging.rglob("*") if file.is_file())
        self._staging.rename(folder)
        return Made(
            folder=folder,
            identity=manifest["identity"],
            outputs=len(self._outputs),
            values=sum(len(delegate["operations"]) for delegate in self._delegates),
            operations=self._operations,
            size=size,
            remarks=tuple(self._remarks),
        )


def identity(manifest: Mapping[str, Any]) -> str:
    """What an answer names the kit by: the SHA-256 of all else that the manifest says."""
    others = {key: value for key, value in manifest.items() if key != "identity"}
    return hashlib.sha256(json.dumps(others, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _as_described(package: Package, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """In the dtypes of the package; Core ML has no scalars."""
    from executorch_coreml.engine import ml_model

    try:
        model = ml_model.MLModel(package.path, function_name=package.function or None)
    except ml_model.EngineError as error:
        raise ToolError(f"{package.what} cannot be run: {error}") from error
    feed = {}
    for spec in model.inputs:
        if spec.name not in given:
            raise ToolError(f"the method does not say what it passes as the input {spec.name}")
        array = given[spec.name]
        if array.ndim == 0:
            array = array.reshape((1,) * len(spec.shape))
        # What does not fit becomes infinite, as in the delegate.
        with np.errstate(over="ignore"):
            feed[spec.name] = array.astype(spec.dtype)
    return feed


def _wanted(package: Package) -> list[Operation]:
    """The operations whose values a function of Core ML can give."""
    counts = collections.Counter(operation.name for operation in package.operations)
    return [
        operation
        for operation in package.operations
        if operation.dtype in _OUTPUT_DTYPES and 1 <= len(operation.shape) <= _MOST_EXTENTS and counts[operation.name] == 1
    ]


def _facts(operation: Operation, package: Package, node: Any) -> dict[str, Any]:
    handles = package.handles.get(operation.name, ())
    line = source_line(node) if node is not None else None
    return {
        "name": operation.name,
        "type": operation.type,
        "reads": list(operation.reads),
        "debug_handle": handles[0] if handles else None,
        "edge_op": computing_op(node) if node is not None else "",
        "edge_node": node.name if node is not None else "",
        "module": module_path(node) if node is not None else "",
        "line": dataclasses.asdict(line) if line is not None else None,
    }
