"""coreml_program_test: a program against its PyTorch model, as `coreml verify` compares them; the measures go into the test's XML."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from executorch_coreml import _dependencies  # noqa: F401  (imports them quietly, and so comes first)
from executorch_coreml.sdk import files, verify
from executorch_coreml.sdk.errors import ToolError

from coreml_rules import junit


def main() -> int:
    parser = argparse.ArgumentParser(prog="coreml_program_test")
    parser.add_argument("--label", required=True, help="of the program, for messages")
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--reference", required=True, nargs="+", help="a .pt2 or .npz, or MODULE:FUNCTION; of several the method's")
    parser.add_argument("--method", default="forward")
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--tolerance", type=float)
    parser.add_argument("--numeric-mode", action="append", required=True)
    asked = parser.parse_args()
    began = time.monotonic()
    case = junit.Case(asked.label, "verify")
    try:
        inputs = files.read_arrays(asked.inputs, "the file of inputs") if asked.inputs else None
        in_order = inputs is not None and all(name == f"arr_{index}" for index, name in enumerate(inputs))
        found = verify.verify(
            asked.program,
            _reference(asked.reference, asked.method),
            list(inputs.values()) if inputs is not None and in_order else inputs,
            method=asked.method,
            numeric_modes=tuple(asked.numeric_mode),
            tolerance=asked.tolerance,
        )
    except ToolError as error:
        print(f"{asked.label}: {error}")
        junit.write([case.failed(str(error), time.monotonic() - began)])
        return 1
    print(found)
    if not found.passed:
        print(f"{asked.label}: outputs are outside the tolerance; docs/verify.md tells what the measures are and what may be done")
    junit.write(_cases(asked.label, found, time.monotonic() - began))
    return 0 if found.passed else 1


def _reference(given: list[str], method: str) -> str:
    """The only one, or that of a program of several methods whose name ends with the method's."""
    if len(given) == 1:
        return given[0]
    found = [path for path in given if path.endswith(f".{method}.pt2")]
    if len(found) != 1:
        names = ", ".join(Path(path).name for path in given)
        raise ToolError(f"there is no reference for the method {method!r} among {names}")
    return found[0]


def _cases(label: str, found: verify.Verification, seconds: float) -> list[junit.Case]:
    """One for each output in each numeric mode, with its measures as properties."""
    cases = []
    for mode in found.modes:
        for output in mode.outputs:
            case = junit.Case(label, f"{mode.numeric_mode} {output.name}", properties=output.to_json())
            if not output.passed:
                measure = f"l2-relative {output.comparison.l2_relative:.2e}, allowed {output.tolerance:.2e}"
                case = case.failed("\n".join([measure, *(str(mode.blame).splitlines() if mode.blame else [])]))
            cases.append(case)
    return [*cases[:-1], cases[-1].after(seconds)]


if __name__ == "__main__":
    sys.exit(main())
