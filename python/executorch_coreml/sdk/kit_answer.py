"""What another machine answered to a device kit, against what the kit expects. Both come from files that may be damaged, or not belong together."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from executorch_coreml.node_facts import SourceLine
from executorch_coreml.sdk import files, kit
from executorch_coreml.sdk.blame import Blame
from executorch_coreml.sdk.compare import Comparison, compare, l2_relative
from executorch_coreml.sdk.errors import ToolError

ANSWER_FORMAT = "coreml_kit_answer"
_DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Compared:
    """One array of the answer against numeric mode float32's. from_float16: its l2-relative difference from numeric mode float16's."""

    name: str
    comparison: Comparison
    from_float16: float
    tolerance: float
    # How the tolerance came about, for a person.
    source: str

    @property
    def error(self) -> float:
        """l2-relative, infinite where an element is misplaced; of integers and bools the share that is not equal."""
        if np.dtype(self.comparison.dtype).kind != "f":
            return 1.0 - self.comparison.equal
        return math.inf if self.comparison.misplaced else self.comparison.l2_relative

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "passed": self.passed,
            **self.comparison.to_json(),
            "from_float16": self.from_float16,
            "tolerance": self.tolerance,
            "source": self.source,
        }


@dataclasses.dataclass(frozen=True)
class KitVerification:
    """What check() found. machine: the engine, its fingerprint, the platform and the options, as the answer has them."""

    kit: str
    answer: str
    machine: Mapping[str, Any]
    outputs: tuple[Compared, ...]
    # How many values of operations were compared.
    values: int
    blame: Blame | None
    remarks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return all(output.passed for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        return {
            "kit": self.kit,
            "answer": self.answer,
            "machine": dict(self.machine),
            "passed": self.passed,
            "outputs": [output.to_json() for output in self.outputs],
            "values": self.values,
            "blame": self.blame.to_json() if self.blame else None,
            "remarks": list(self.remarks),
        }


def check(folder: Path, answer: Path) -> KitVerification:
    """Compares an answer with the kit in `folder`.

    Raises:
        ToolError: for a kit or an answer that is damaged or not whole, and for an answer to another kit.
    """
    manifest = _read_kit(folder)
    given = _read_json(answer, "the answer", ANSWER_FORMAT, "`coreml_runner --kit`")
    if given.get("kit") != manifest["identity"]:
        raise ToolError(
            f"the answer {answer} answers another kit ({str(given.get('kit'))[:12]}) than {folder} ({manifest['identity'][:12]}): name the folder "
            "that the runner executed"
        )
    try:
        return _check(folder, answer, manifest, given)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ToolError(
            f"the answer {answer} does not fit the kit {folder} ({files.sentence(error)}): run the kit again"
        ) from error


def _check(folder: Path, answer: Path, manifest: Mapping[str, Any], given: Mapping[str, Any]) -> KitVerification:
    expected = {mode: files.read_arrays(folder / path, "the kit's file") for mode, path in manifest["expected"].items()}
    remarks = []
    outputs = []
    answered = {output["name"]: output for output in given["outputs"]}
    for wanted in manifest["outputs"]:
        name = wanted["name"]
        if name not in answered:
            raise ToolError(f"the answer {answer} has no output {name}, which the kit expects: run the kit again")
        array = _decoded(answered[name], f"output {name}", answer)
        outputs.append(_compared(array, wanted, expected, f"output/{name}", f"output {name} of {answer}"))

    answers = {item["specification"]: item for item in given["values"]}
    compared: dict[tuple[int, str], Compared] = {}
    for index, delegate in enumerate(manifest["delegates"]):
        by_name = {operation["name"]: operation for operation in delegate["operations"]}
        for probe in delegate["probes"]:
            item = answers.get(probe["specification"], {"error": "the machine did not run it"})
            if "error" in item:
                remarks.append(f"No values of {probe['specification']} of delegate {delegate['label']}: {item['error']}")
                continue
            for value in item["values"]:
                name = value["name"]
                array = _decoded(value, f"the value {name}", answer)
                compared[index, name] = _compared(
                    array, by_name[name], expected, f"value/{index}/{name}", f"the value {name} of {answer}"
                )

    blame = None
    if not all(output.passed for output in outputs):
        blame = _first_outside(manifest, compared)
        if not manifest["delegates"]:
            remarks.append("To find the operation at fault, make the kit with --values.")
    machine = {key: given[key] for key in ("engine", "fingerprint", "platform", "options", "load_ms", "execution_ms")}
    return KitVerification(str(folder), str(answer), machine, tuple(outputs), len(compared), blame, tuple(remarks))


def _first_outside(manifest: Mapping[str, Any], compared: Mapping[tuple[int, str], Compared]) -> Blame | None:
    """The first operation, delegate by delegate, whose value leaves its tolerance; None where no value was answered."""
    if not compared:
        return None
    for index, delegate in enumerate(manifest["delegates"]):
        for operation in delegate["operations"]:
            found = compared.get((index, operation["name"]))
            if found is None or found.passed:
                continue
            before = [compared[index, name] for name in operation["reads"] if (index, name) in compared]
            line = operation["line"]
            return Blame(
                kind="device",
                explanation="This is the first operation whose value leaves its tolerance.",
                where=f"delegate {delegate['label']}",
                mil_op=operation["type"],
                mil_name=operation["name"],
                edge_op=operation["edge_op"],
                edge_node=operation["edge_node"],
                debug_handle=operation["debug_handle"],
                module=operation["module"],
                line=SourceLine(**line) if line else None,
                error=found.error,
                allowed=found.tolerance,
                from_reference=found.error,
                inherited=max((value.error for value in before), default=math.nan),
            )
    return Blame(
        "outside",
        f"All {len(compared)} values within the delegates are inside their tolerances: an operation whose value the kit does not have makes the "
        "difference, or it is made outside the delegates.",
    )


def _compared(
    array: np.ndarray, wanted: Mapping[str, Any], expected: Mapping[str, Mapping[str, np.ndarray]], key: str, what: str
) -> Compared:
    exact, rounded = (expected[mode][key] for mode in kit.NUMERIC_MODES)
    if array.dtype != exact.dtype or array.shape != exact.shape:
        raise ToolError(f"{what} is {array.dtype}{list(array.shape)}, and the kit expects {exact.dtype}{list(exact.shape)}")
    return Compared(
        str(wanted["name"]), compare(array, exact), l2_relative(array, rounded), float(wanted["tolerance"]), str(wanted["source"])
    )


def _decoded(value: Mapping[str, Any], what: str, path: Path) -> np.ndarray:
    """The array of an answer. ToolError for elements that are not all there."""
    if value["dtype"] not in _DTYPES:
        raise ToolError(f"{what} of {path} has elements of {value['dtype']!r}, which no kit expects")
    dtype = np.dtype(value["dtype"])
    shape = tuple(int(extent) for extent in value["shape"])
    try:
        data = base64.b64decode(value["data"], validate=True)
    except binascii.Error as error:
        raise ToolError(f"{what} of {path} is incomplete: {error}") from error
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise ToolError(
            f"{what} of {path} is {dtype}{list(shape)} and has {len(data)} bytes: the answer is damaged; run the kit again"
        )
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _read_kit(folder: Path) -> dict[str, Any]:
    """The manifest, whose files are as they were written."""
    if not folder.is_dir():
        raise ToolError(f"{folder} is not a folder: name the one that `coreml kit` made")
    manifest = _read_json(folder / kit.MANIFEST, "the kit", kit.FORMAT, "`coreml kit`")
    changed = f"{folder} differs from what `coreml kit` made"
    try:
        if kit.identity(manifest) != manifest["identity"]:
            raise ToolError(f"{changed}: kit.json was changed. Make it again")
        for path in manifest["expected"].values():
            files.check_file(folder / path, "the kit's file")
            if hashlib.sha256((folder / path).read_bytes()).hexdigest() != manifest["files"][path]:
                raise ToolError(f"{changed}: {path} was changed. Copy the kit again, or make it again")
    except (KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"{changed}: kit.json is incomplete ({files.sentence(error)}). Make it again") from error
    return manifest


def _read_json(path: Path, what: str, form: str, writer: str) -> dict[str, Any]:
    files.check_file(path, what)
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ToolError(
            f"{what} {path} is not JSON, or is incomplete ({error}): copy it again, or make it again with {writer}"
        ) from error
    if not isinstance(found, dict) or found.get("format") != form:
        raise ToolError(f"{what} {path} is not what {writer} writes")
    version = found.get("version")
    if not isinstance(version, int) or version > kit.VERSION:
        raise ToolError(f"{what} {path} has version {version}, and this program reads version {kit.VERSION}: use a newer one")
    return found
