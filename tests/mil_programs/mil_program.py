"""Programs of MIL operations: what they are, how coremltools' builder makes them, and what they should give.

A program is a list of calls whose results are numbered; an input is a call of INPUT with its value. What a call should give comes
from its row in mil_operations.py: coremltools' own value inference, or a reference in NumPy. Both compute in float32 at least: half
values are widened before and rounded behind each call, which is what the numeric mode float16 of the engine does.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

os.environ.setdefault("TQDM_DISABLE", "1")
logging.getLogger("coremltools").setLevel(logging.ERROR)

import coremltools as ct  # noqa: E402
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402
from coremltools.converters.mil.mil import Function, types  # noqa: E402
from coremltools.converters.mil.mil import Program as MilProgram  # noqa: E402

OPSETS = {name: getattr(ct.target, name) for name in ("iOS15", "iOS16", "iOS17", "iOS18")}
REALS = ("fp16", "fp32")
DTYPES = {
    "fp16": np.float16,
    "fp32": np.float32,
    "int32": np.int32,
    "bool": np.bool_,
    "int16": np.int16,
    "uint16": np.uint16,
    "int8": np.int8,
    "uint8": np.uint8,
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class Unsuited(Exception):
    """A call that coremltools refuses, or whose result nothing defines: another one is drawn."""


@dataclasses.dataclass(frozen=True)
class Ref:
    """A value of the program as an argument."""

    index: int


@dataclasses.dataclass
class Call:
    op: str
    # Refs, arrays, Python scalars and strings, and lists of these.
    arguments: dict[str, Any]
    dtypes: list[str] = dataclasses.field(default_factory=list)
    shapes: list[tuple[int, ...]] = dataclasses.field(default_factory=list)


INPUT = "input"


@dataclasses.dataclass
class Program:
    seed: int
    opset: str
    calls: list[Call] = dataclasses.field(default_factory=list)

    def dtypes(self) -> list[str]:
        return [dtype for call in self.calls for dtype in call.dtypes]

    def owners(self) -> list[Call]:
        """The call of each value."""
        return [call for call in self.calls for _ in call.dtypes]

    def inputs(self) -> dict[str, np.ndarray]:
        owners = self.owners()
        return {f"v{index}": call.arguments["value"] for index, call in enumerate(owners) if call.op == INPUT}

    def ends(self) -> list[int]:
        """Results that no call reads; all that a model may give."""
        read = {ref.index for call in self.calls for ref in refs(call.arguments)}
        return [index for index, call in enumerate(self.owners()) if index not in read and call.op != INPUT]

    def only(self, wanted: Sequence[int]) -> tuple[Program, list[int]]:
        """The calls that these values need, and the numbers that the values have there."""
        owners = self.owners()
        needed: set[int] = set()
        pending = list(wanted)
        while pending:
            call = owners[pending.pop()]
            if id(call) not in needed:
                needed.add(id(call))
                pending += [ref.index for ref in refs(call.arguments)]
        numbers: dict[int, int] = {}
        made = Program(self.seed, self.opset)
        index = 0
        for call in self.calls:
            if id(call) in needed:
                for i in range(len(call.dtypes)):
                    numbers[index + i] = len(made.owners()) + i
                kept = replaced(call.arguments, lambda leaf: Ref(numbers[leaf.index]) if isinstance(leaf, Ref) else leaf)
                made.calls.append(dataclasses.replace(call, arguments=kept))
            index += len(call.dtypes)
        return made, [numbers[value] for value in wanted]

    def source(self) -> str:
        """The program as text."""
        lines = [f"# opset {self.opset}"]
        index = 0
        for call in self.calls:
            names = ", ".join(f"v{index + i}" for i in range(len(call.dtypes)))
            arguments = ", ".join(f"{name}={_shown(value)}" for name, value in call.arguments.items())
            lines.append(
                f"{names} = {call.op}({arguments})  # {', '.join(f'{d}{list(s)}' for d, s in zip(call.dtypes, call.shapes))}"
            )
            index += len(call.dtypes)
        return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, Ref):
        return f"v{value.index}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_shown(part) for part in value) + "]"
    if isinstance(value, np.ndarray):
        text = np.array2string(value, threshold=64, separator=", ", floatmode="unique").replace("\n", "")
        return f"{NAMES.get(value.dtype, value.dtype)}({text})" if value.size else f"{value.dtype}(shape {list(value.shape)})"
    return repr(value)


def refs(value: Any) -> list[Ref]:
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, dict):
        return [ref for part in value.values() for ref in refs(part)]
    if isinstance(value, (list, tuple)):
        return [ref for part in value for ref in refs(part)]
    return []


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """The argument with each leaf changed."""
    if isinstance(value, dict):
        return {name: replaced(part, change) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [replaced(part, change) for part in value]
    return change(value)


def resolved(value: Any, values: Sequence[Any]) -> Any:
    return replaced(value, lambda leaf: values[leaf.index] if isinstance(leaf, Ref) else leaf)


def builder_of(op: str) -> Callable[..., Any]:
    """What makes the call: coremltools' builder, or several of its operations together."""
    from mil_operations import COMPOSITES

    return COMPOSITES[op].build if op in COMPOSITES else getattr(mb, op)


def _as_tuple(made: Any) -> list[Any]:
    return list(made) if isinstance(made, (list, tuple)) else [made]


def placeholder(value: np.ndarray) -> Any:
    return mb.placeholder(shape=list(value.shape), dtype=types.numpy_type_to_builtin_type(value.dtype))


def infer_types(opset: str, op: str, arguments: dict[str, Any], values: Sequence[np.ndarray]) -> list[tuple[str, tuple[int, ...]]]:
    """(dtype, shape) of each result as coremltools infers them of unknown values. Unsuited where it refuses the call."""
    read = sorted({ref.index for ref in refs(arguments)})
    inputs = {f"v{index}": placeholder(values[index]) for index in read}
    try:
        with Function(inputs, opset_version=OPSETS[opset]) as function:
            variables = {index: function.inputs[f"v{index}"] for index in read}
            known = replaced(arguments, lambda leaf: variables[leaf.index] if isinstance(leaf, Ref) else leaf)
            made = _as_tuple(builder_of(op)(**known))
    except Exception as error:
        raise Unsuited(f"{op}: {error}") from error
    found = []
    for variable in made:
        dtype = types.builtin_to_string(variable.dtype)
        if dtype not in DTYPES or not all(isinstance(extent, (int, np.integer)) for extent in variable.shape):
            raise Unsuited(f"{op}: a result of {dtype} {variable.shape}")
        found.append((dtype, tuple(int(extent) for extent in variable.shape)))
    return found


def infer_values(opset: str, op: str, arguments: dict[str, Any]) -> list[np.ndarray]:
    """What coremltools computes of a call whose arguments are constants."""
    try:
        with Function({}, opset_version=OPSETS[opset]), np.errstate(all="ignore"):
            made = _as_tuple(builder_of(op)(**arguments))
            results = [variable.val for variable in made]
    except Exception as error:
        raise Unsuited(f"{op}: {error}") from error
    if any(result is None for result in results):
        raise Unsuited(f"{op}: coremltools infers no value")
    return [np.asarray(result) for result in results]


def widened(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        return value.astype(np.float32)
    if isinstance(value, np.float16):
        return np.float32(value)
    return value


def evaluate_call(opset: str, call: Call, values: Sequence[np.ndarray], *, is_half: bool) -> list[np.ndarray]:
    """The results of a call, float16 ones as float32; rounded to float16 where `is_half`."""
    from mil_operations import COMPOSITES, OPERATIONS

    if call.op == INPUT:
        return [widened(call.arguments["value"])]
    arguments = replaced(resolved(call.arguments, values), widened)
    reference = COMPOSITES[call.op].reference if call.op in COMPOSITES else OPERATIONS[call.op].reference
    with np.errstate(all="ignore"):
        results = infer_values(opset, call.op, arguments) if reference is None else _as_tuple(reference(**arguments))
        finished = []
        for result, dtype in zip(results, call.dtypes, strict=True):
            array = np.asarray(result)
            if dtype == "fp16" and is_half:
                array = array.astype(np.float16)
            finished.append(array.astype(np.float32 if dtype in REALS else DTYPES[dtype]))
    return finished


def evaluate(program: Program, *, is_half: bool, noise: np.random.Generator | None = None) -> list[np.ndarray]:
    """All values of a program, float16 ones as float32.

    With `noise` each real result is some units of its last place off, as another order of summation makes it: what becomes of that
    says how well the numbers behind it are determined.
    """
    values: list[np.ndarray] = []
    for call in program.calls:
        for result, dtype in zip(evaluate_call(program.opset, call, values, is_half=is_half), call.dtypes):
            is_disturbed = noise is not None and call.op != INPUT
            values.append(_disturbed(result, dtype, is_half, noise) if is_disturbed else result)
    return values


def _disturbed(value: np.ndarray, dtype: str, is_half: bool, noise: np.random.Generator) -> np.ndarray:
    if dtype not in REALS or value.size == 0:
        return value
    epsilon = 2.0**-11 if dtype == "fp16" and is_half else 2.0**-23
    finite = np.abs(value[np.isfinite(value)]).astype(np.float64)
    scale = float(finite.max()) if finite.size else 0.0
    relative, absolute = noise.uniform(-1, 1, value.shape), noise.uniform(-1, 1, value.shape)
    with np.errstate(all="ignore"):
        # Zeros stay: what a relu or a mask made so is exact.
        made = np.where(value == 0, value, value * (1 + 2 * epsilon * relative) + 2.0**-23 * scale * absolute)
        return np.asarray(made.astype(np.float16).astype(np.float32) if dtype == "fp16" and is_half else made.astype(np.float32))


def save(program: Program, outputs: Sequence[int], folder: str) -> str:
    """Writes the program with these values as its outputs, as a package. No pass of coremltools runs."""
    inputs = {name: placeholder(value) for name, value in program.inputs().items()}
    made = MilProgram()
    with Function(inputs, opset_version=OPSETS[program.opset]) as function:
        variables: list[Any] = []
        for call in program.calls:
            if call.op == INPUT:
                variables.append(function.inputs[f"v{len(variables)}"])
                continue
            variables += _as_tuple(builder_of(call.op)(**resolved(call.arguments, variables)))
        results = []
        for position, index in enumerate(outputs):
            variable = variables[index]
            if types.builtin_to_string(variable.dtype) not in ("fp16", "fp32", "int32"):
                # What a model cannot give as it is.
                variable = mb.cast(x=variable, dtype="int32")
            if not variable.shape:
                variable = mb.expand_dims(x=variable, axes=[0])
            results.append(mb.identity(x=variable, name=f"result{position}"))
        function.set_outputs(results)
        made.add_function("main", function)
    model = ct.convert(
        made,
        source="milinternal",
        convert_to="mlprogram",
        minimum_deployment_target=OPSETS[program.opset],
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    path = os.path.join(folder, "program.mlpackage")
    model.save(path)
    return path
