"""Enumerated shapes: which shapes each dynamic input may have, from the exported program to the inputs of coremltools.

An input is recognised by its symbolic shape, not by its name, which ExecuTorch may change between the two.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import coremltools as ct
import torch
from coremltools.converters.mil.frontend.torch.utils import TORCH_DTYPE_TO_MIL_DTYPE
from torch.export.exported_program import ExportedProgram

Shape = tuple[int, ...]
# An extent is a number or the name of a symbol.
SymbolicShape = tuple[int | str, ...]

# coremltools converts other dtypes silently when inputs are given explicitly.
_INPUT_DTYPES = (torch.float16, torch.float32, torch.int32)


def user_inputs(program: ExportedProgram) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and fake tensor of each user input, in order."""
    names = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            yield node.name, node.meta["val"]


def symbolic_shape(shape: torch.Size) -> SymbolicShape:
    return tuple(int(extent) if isinstance(extent, int) else str(extent) for extent in shape)


def _bounds(program: ExportedProgram, symbol: str) -> tuple[int | None, int | None]:
    """Lower and upper bound of a symbol; None for none."""

    def finite(bound: Any) -> int | None:
        return None if "oo" in str(bound) else int(bound)

    for key, value_range in program.range_constraints.items():
        if str(key) == symbol:
            return finite(value_range.lower), finite(value_range.upper)
    return None, None


def _check(program: ExportedProgram, name: str, shape: SymbolicShape, enumerated: list[list[int]]) -> None:
    for extents in enumerated:
        assert len(extents) == len(shape), (
            f"In {name}, the rank of the enumeration is {len(extents)}, but the symbolic shape has rank {len(shape)}"
        )
        for index, (extent, symbol) in enumerate(zip(extents, shape, strict=True)):
            assert isinstance(extent, int), f"Enumerated shapes must be ints, but got {type(extent)}."
            assert extent >= 1, "Each enumerated shape dimension must be >= 1"
            if isinstance(symbol, int):
                assert extent == symbol, (
                    f"In {name}, the shape enumeration {extents} does not match {shape} on the non-symbolic value at index {index}"
                )
                continue
            low, high = _bounds(program, symbol)
            # torch.export makes a lower bound of 1 a 2.
            assert low is None or extent >= low or (extent == 1 and low == 2), (
                f"In {name}, the shape enumeration {extents} violates the lower range-constraint on the symbolic shape {shape} at index {index}"
            )
            assert high is None or extent <= high, (
                f"In {name}, the shape enumeration {extents} violates the upper range-constraint on the symbolic shape {shape} at index {index}"
            )


@dataclasses.dataclass(frozen=True)
class EnumeratedShapes:
    """Symbolic shape -> the shapes it stands for. All lists have one length: their n-th entries belong together."""

    shapes: dict[SymbolicShape, tuple[Shape, ...]]

    @classmethod
    def from_program(cls, program: ExportedProgram, enumerated_shapes: dict[str, list[list[int]]]) -> EnumeratedShapes:
        """Checks an enumeration, by input name, against the program's inputs.

        Raises:
            ValueError: a dynamic input has no enumeration, or a name is no input.
            AssertionError: a shape does not fit its input, or the lists have different lengths.
        """
        assert len(enumerated_shapes) > 0, "No enumerated shapes provided"
        names = [name for name, _ in user_inputs(program)]
        for name in enumerated_shapes:
            if name not in names:
                raise ValueError(f"enumerated shapes are given for {name}, which is not an input; the inputs are {names}")
        count = len(next(iter(enumerated_shapes.values())))
        for name, enumerated in enumerated_shapes.items():
            assert len(enumerated) > 1, (
                f"Input {name} only has {len(enumerated)} enumerated shapes provided.  "
                "You should not specify enumerated shapes for inputs with only 1 input."
            )
            assert len(enumerated) == count, (
                f"Input {name} has {len(enumerated)} enumerated shape provided, but other inputs have {count} enumerated shapes"
            )
        shapes: dict[SymbolicShape, tuple[Shape, ...]] = {}
        for name, fake in user_inputs(program):
            shape = symbolic_shape(fake.shape)
            if all(isinstance(extent, int) for extent in shape):
                continue
            if name not in enumerated_shapes:
                raise ValueError(f"The input {name} has a symbolic shape, but you did not provide an enumeration for it")
            _check(program, name, shape, enumerated_shapes[name])
            allowed = tuple(tuple(extents) for extents in enumerated_shapes[name])
            assert shapes.setdefault(shape, allowed) == allowed, (
                f"The symbolic shape {shape}, has multiple enumerations defined, {shapes[shape]} and for input {name} {allowed}.  "
                "If these inputs have different enumerations, they should be exported with different symbolic shapes."
            )
        return cls(shapes)

    def to_json(self) -> str:
        return json.dumps([[list(shape), [list(s) for s in enumerated]] for shape, enumerated in self.shapes.items()])

    @classmethod
    def from_json(cls, text: str) -> EnumeratedShapes:
        return cls({tuple(shape): tuple(tuple(s) for s in enumerated) for shape, enumerated in json.loads(text)})

    def of(self, fake: torch.Tensor) -> tuple[Shape, ...] | None:
        """The shapes of an input; None when its shape is fixed.

        Raises KeyError for a dynamic shape without an enumeration.
        """
        shape = symbolic_shape(fake.shape)
        return None if all(isinstance(extent, int) for extent in shape) else self.shapes[shape]

    def coreml_inputs(self, program: ExportedProgram) -> list[ct.TensorType]:
        """The inputs for `coremltools.convert`."""
        inputs = []
        for name, fake in user_inputs(program):
            assert fake.dtype in _INPUT_DTYPES, (
                f"When using enumerated shapes, all inputs must have one of the following dtypes {list(_INPUT_DTYPES)}, "
                f"but {name} has dtype {fake.dtype}"
            )
            enumerated = self.of(fake)
            shape = tuple(fake.shape) if enumerated is None else ct.EnumeratedShapes(shapes=list(enumerated))
            inputs.append(ct.TensorType(name=name, shape=shape, dtype=TORCH_DTYPE_TO_MIL_DTYPE[fake.dtype]))
        return inputs
