"""What a method does, in order: delegate calls and operators, and which values go from one to the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executorch_coreml.sdk import program_file, verify_package
from executorch_coreml.sdk.program_file import BACKEND_NAME

# Of ExecuTorch's own, that move no numbers.
_SHAPES_ONLY = ("aten::sym_size", "aten::sym_numel", "executorch_prim::")


@dataclasses.dataclass(frozen=True)
class Step:
    """kind: "delegate" or "operator". reads and writes: numbers of the method's values; -1 - n for input n of a package alone."""

    kind: str
    name: str
    # Of a delegate.
    backend: str
    # Place among the packages of the method; None for what is no package of Core ML.
    package: int | None
    operations: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        found["reads"], found["writes"] = list(self.reads), list(self.writes)
        return found


def read(path: Path, method: str, packages: Sequence[verify_package.Package]) -> list[Step]:
    """The steps of a method of a .pte; of a package the one that it is, reading inputs 0, 1, ..."""
    if path.is_dir():
        (package,) = packages
        count = len(package.input_names)
        writes = tuple(range(count, count + len(package.output_names)))
        return [Step("delegate", package.path.name, BACKEND_NAME, 0, len(package.operations), tuple(range(count)), writes)]
    plan = next(plan for plan in program_file.read_pte(path).program.execution_plan if plan.name == method)
    numbers = {place: number for number, place in enumerate(plan.inputs)}
    places = {i: n for n, i in enumerate(i for i, d in enumerate(plan.delegates) if d.id == BACKEND_NAME)}

    def value(place: int) -> int:
        # Inputs come first, as of a package.
        return numbers.get(place, len(numbers) + place)

    steps = []
    for chain in plan.chains:
        for instruction in chain.instructions:
            call = instruction.instr_args
            if type(call).__name__ == "DelegateCall":
                delegate = plan.delegates[call.delegate_index]
                number = places.get(call.delegate_index)
                arguments = tuple(value(place) for place in call.args)
                inputs = len(packages[number].input_names) if number is not None else len(arguments)
                operations = len(packages[number].operations) if number is not None else 0
                name = f"delegate {call.delegate_index}"
                steps.append(Step("delegate", name, delegate.id, number, operations, arguments[:inputs], arguments[inputs:]))
            elif type(call).__name__ == "KernelCall":
                operator = plan.operators[call.op_index]
                name = operator.name + (f".{operator.overload}" if operator.overload else "")
                if name.startswith(_SHAPES_ONLY):
                    continue
                tensors = [p for p in call.args if type(plan.values[p].val).__name__ in ("Tensor", "TensorList")]
                # An out variant has its result among its arguments, last, and again as what it returns.
                written = tuple(dict.fromkeys(value(p) for p in tensors[-1:]))
                steps.append(
                    Step("operator", name, "", None, 0, tuple(v for v in map(value, tensors) if v not in written), written)
                )
    return steps
