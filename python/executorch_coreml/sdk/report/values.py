"""The values inside the packages of a method, in both numeric modes, and what a report says about each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from executorch_coreml.sdk import compare, verify_package
from executorch_coreml.sdk.report.instructions import Step

FLOAT16_LARGEST = 65504.0
# Below it a float16 loses bits; at half the last step it is zero.
FLOAT16_SMALLEST_NORMAL = 2.0**-14
FLOAT16_SMALLEST = 2.0**-24


@dataclasses.dataclass
class Inside:
    """By package: name of an operation's output -> value in numeric mode float32, and in float16 where any value is of that type."""

    float32: dict[int, dict[str, np.ndarray]]
    float16: dict[int, dict[str, np.ndarray]]
    # What could not be looked at.
    remarks: list[str]


def inside(chain: Sequence[Step], packages: Sequence[verify_package.Package], inputs: Mapping[str, np.ndarray]) -> Inside:
    """Computes the method package by package. What an operator outside gives is not known here, nor what follows from it."""
    found = Inside({}, {}, [])
    known: dict[str, dict[int, np.ndarray]] = {"float32": dict(enumerate(inputs.values())), "float16": {}}
    known["float16"].update(known["float32"])
    unknown = []
    for step in chain:
        if step.package is None:
            continue
        package = packages[step.package]
        if any(number not in known["float32"] for number in step.reads):
            unknown.append(step.name)
            continue
        for mode, target in (("float32", found.float32), ("float16", found.float16)):
            if mode == "float16" and not any(p.is_float16 for p in packages):
                continue
            # Of a package alone inputs come in the order of its own names.
            arrays = [inputs[n] for n in package.input_names] if set(package.input_names) == set(inputs) else None
            arrays = arrays or [known[mode][number] for number in step.reads]
            target[step.package] = package.values(dict(zip(package.input_names, arrays, strict=True)), numeric_mode=mode)
            for number, name in zip(step.writes, package.output_names, strict=True):
                if name in target[step.package]:
                    known[mode][number] = target[step.package][name]
    if unknown:
        found.remarks.append(
            f"The values inside {', '.join(unknown)} are not shown: inputs come from operators that run outside Core ML delegates."
        )
    return found


def describe(operations: Sequence[dict[str, Any]], found: Inside) -> None:
    """Fills in range and error of each operation whose value is known."""
    for operation in operations:
        value = found.float32.get(operation["package"], {}).get(operation["name"])
        if value is None or value.dtype.kind != "f":
            continue
        operation["range"] = _range(value)
        rounded = found.float16.get(operation["package"], {}).get(operation["name"])
        if rounded is not None and rounded.shape == value.shape:
            operation["error"] = error(compare.compare(rounded, value), "float16 mode against float32 mode")


def error(comparison: compare.Comparison, against: str) -> dict[str, Any]:
    """What a report keeps of a comparison."""
    plain = comparison.to_json()
    return {
        "against": against,
        "l2_relative": None if comparison.misplaced else plain["l2_relative"],
        "max_abs": plain["max_abs"],
        "snr_db": plain["snr_db"],
        "misplaced": comparison.misplaced,
    }


def _range(value: np.ndarray) -> dict[str, Any]:
    """Extremes of the finite elements, and how the elements lie to float16's limits."""
    reals = value.astype(np.float64).reshape(-1)
    finite = reals[np.isfinite(reals)]
    sizes = np.abs(finite)
    nonzero = sizes[sizes > 0]
    infinite = int(np.count_nonzero(np.isinf(reals)))
    return {
        "min": _plain(finite.min(initial=math.inf)),
        "max": _plain(finite.max(initial=-math.inf)),
        "largest": _plain(sizes.max(initial=-math.inf)),
        "smallest": _plain(nonzero.min(initial=math.inf)),
        "elements": int(reals.size),
        "zeros": int(finite.size - nonzero.size),
        "not_a_number": int(np.count_nonzero(np.isnan(reals))),
        # A float16 value beyond the limit is infinite when it is read.
        "overflows": infinite + int(np.count_nonzero(sizes > FLOAT16_LARGEST)),
        "loses_bits": int(np.count_nonzero(nonzero < FLOAT16_SMALLEST_NORMAL)),
        "vanishes": int(np.count_nonzero(nonzero < FLOAT16_SMALLEST / 2)),
    }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
