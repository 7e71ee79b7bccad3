"""A .pte file, read in Python: its methods, its delegates and its named data.

Thread rule: immutable after open().
"""

from __future__ import annotations

import collections
import dataclasses
import mmap
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from executorch_coreml.sdk import files
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.files import sentence

BACKEND_NAME = "CoreMLBackend"

# Where a program begins: the FlatBuffer's identifier, then the extended header with the position of the segments.
_IDENTIFIERS = (b"ET12", b"ET13")
_EXTENDED_HEADER = b"eh00"
_EXTENDED_HEADER_OFFSET = 8


@dataclasses.dataclass(frozen=True)
class TensorValue:
    """A tensor argument of a delegate call: ExecuTorch's scalar type by name ("FLOAT") and the sizes it was exported with."""

    scalar_type: str
    sizes: tuple[int, ...]
    # Whether the sizes are upper bounds.
    is_dynamic: bool


@dataclasses.dataclass(frozen=True)
class Delegate:
    """One delegate of one method."""

    method: str
    # Among the delegates of the method.
    index: int
    backend: str
    processed: bytes
    # What was asked for at lowering, in its order.
    compile_specs: Mapping[str, bytes]
    # Of its call, inputs and then outputs.
    arguments: tuple[TensorValue, ...]
    # Of each of them, which input of the method it is; None for what is made in the method.
    input_sources: tuple[int | None, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.method}/{self.index}"


@dataclasses.dataclass(frozen=True)
class Method:
    name: str
    inputs: tuple[TensorValue, ...]
    outputs: tuple[TensorValue, ...]
    delegates: tuple[Delegate, ...]
    # Operators that run outside any delegate -> how many calls.
    operators: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class ProgramFile:
    path: Path
    size: int
    methods: tuple[Method, ...]
    named_data: Mapping[str, bytes]

    def delegates(self, backend: str = BACKEND_NAME) -> list[Delegate]:
        return [delegate for method in self.methods for delegate in method.delegates if delegate.backend == backend]

    def core_ml_delegates(self) -> list[Delegate]:
        """The delegates of this backend; ToolError when there are none."""
        found = self.delegates()
        if not found:
            others = sorted({d.backend for m in self.methods for d in m.delegates})
            raise ToolError(
                f"{self.path} has no Core ML delegate ({'its delegates are ' + ', '.join(others) if others else 'it has none'}): lower "
                "the model with CoreMLPartitioner"
            )
        return found


def is_program(data: bytes) -> bool:
    """Whether bytes begin as a .pte file does."""
    return data[4:8] in _IDENTIFIERS


def open_program(path: str | Path) -> ProgramFile:
    """Reads a .pte file. ToolError for what is no program, or not whole."""
    path = Path(path)
    return of_pte(read_pte(path), path, path.stat().st_size)


def read_pte(path: Path) -> Any:
    """A .pte file as executorch.exir's PTEFile. ToolError for what is no program, or not whole."""
    files.check_file(path)
    with path.open("rb") as source:
        if not is_program(source.read(8)):
            raise ToolError(f"{path} is not an ExecuTorch program: its first bytes are not those of a .pte file")
        data = _Bytes(memoryview(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)))
    _check_whole(path, data)
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        return deserialize_pte_binary(data)
    except Exception as error:  # The reader raises whatever its parts do.
        raise ToolError(f"{path} cannot be read as an ExecuTorch program: {type(error).__name__}: {error}") from error


def of_pte(file: Any, path: Path, size: int) -> ProgramFile:
    """What a PTEFile, read from a file of this path and size, says. ToolError where that makes no sense."""
    program = file.program
    named = {}
    try:
        if file.named_data is not None:
            for key, entry in file.named_data.pte_data.items():
                named[key] = bytes(file.named_data.buffers[entry.buffer_index])
        methods = tuple(_method(program, plan) for plan in program.execution_plan)
    except (IndexError, AttributeError, TypeError, ValueError) as error:
        raise ToolError(
            f"{path} is damaged, because its parts do not fit together ({sentence(error)}): copy or export it again"
        ) from error
    return ProgramFile(path=path, size=size, methods=methods, named_data=named)


class _Bytes:
    """The bytes of a file for ExecuTorch's reader, which slices off all behind the header and then each segment: were the first a copy too,
    there would be three of the file in memory."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, wanted: slice) -> Any:
        return _Bytes(self._view[wanted]) if wanted.stop is None else bytes(self._view[wanted])


def _check_whole(path: Path, data: _Bytes) -> None:
    if data[_EXTENDED_HEADER_OFFSET : _EXTENDED_HEADER_OFFSET + 4] != _EXTENDED_HEADER:
        return
    if len(data) < 40:
        raise ToolError(f"{path} ends within its header: copy it again")
    (length, program_size, segments, segment_size) = struct.unpack(
        "<IQQQ", data[_EXTENDED_HEADER_OFFSET + 4 : _EXTENDED_HEADER_OFFSET + 32]
    )
    needed = segments + segment_size if length >= 32 and segments else max(program_size, segments)
    if needed > len(data):
        raise ToolError(f"{path} has {len(data)} bytes of {needed}: it was cut short; copy it again")


def _method(program: Any, plan: Any) -> Method:
    calls: dict[int, tuple[TensorValue, ...]] = {}
    sources: dict[int, tuple[int | None, ...]] = {}
    method_inputs = {value: index for index, value in enumerate(plan.inputs)}
    operators: collections.Counter[str] = collections.Counter()
    for chain in plan.chains:
        for instruction in chain.instructions:
            what = instruction.instr_args
            kind = type(what).__name__
            if kind == "DelegateCall":
                calls[what.delegate_index] = _tensors(plan, what.args)
                sources[what.delegate_index] = tuple(method_inputs.get(value) for value in what.args)
            elif kind == "KernelCall":
                operator = plan.operators[what.op_index]
                operators[operator.name + (f".{operator.overload}" if operator.overload else "")] += 1
    delegates = tuple(
        Delegate(
            method=plan.name,
            index=index,
            backend=delegate.id,
            processed=bytes(program.backend_delegate_data[delegate.processed.index].data),
            compile_specs=_compile_specs(delegate.compile_specs),
            arguments=calls.get(index, ()),
            input_sources=sources.get(index, ()),
        )
        for index, delegate in enumerate(plan.delegates)
    )
    return Method(
        name=plan.name,
        inputs=_tensors(plan, plan.inputs),
        outputs=_tensors(plan, plan.outputs),
        delegates=delegates,
        operators=dict(operators),
    )


def _compile_specs(specs: Iterable[Any]) -> dict[str, bytes]:
    """In their order. Of two with one key the first counts, as at lowering."""
    found: dict[str, bytes] = {}
    for spec in specs:
        found.setdefault(spec.key, bytes(spec.value))
    return found


def _tensors(plan: Any, indices: list[int]) -> tuple[TensorValue, ...]:
    found = []
    for index in indices:
        value = plan.values[index].val
        if type(value).__name__ != "Tensor":
            found.append(TensorValue(type(value).__name__.upper(), (), False))
            continue
        dynamism = value.shape_dynamism
        found.append(TensorValue(value.scalar_type.name, tuple(value.sizes), int(dynamism) != 0))
    return tuple(found)
