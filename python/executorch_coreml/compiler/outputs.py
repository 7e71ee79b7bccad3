"""Outputs that MIL merged with each other or with an input, made distinct again."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from coremltools.proto import MIL_pb2, Model_pb2

from executorch_coreml import mil_program


def _unique(name: str, taken: set[str]) -> str:
    index = 1
    while f"{name}_{index}" in taken:
        index += 1
    return f"{name}_{index}"


def _blocks(spec: Model_pb2.Model) -> Iterator[tuple[MIL_pb2.Function, MIL_pb2.Block, Sequence[Any]]]:
    """Each function with its block and the descriptions of its outputs."""
    for name, function in spec.mlProgram.functions.items():
        outputs = mil_program.description(spec, name).output
        for block in function.block_specializations.values():
            yield function, block, outputs


def make_outputs_distinct(spec: Model_pb2.Model) -> None:
    """Gives every output of every function its own value and name, in place.

    Given:  h = relu(x); return h, h      (two outputs of the torch program that MIL found equal)
    Result: h = relu(x); h_1 = identity(h); return h, h_1

    Core ML knows inputs and outputs by name: with a name twice, later outputs would shift. Order and number stay as they are. An output that
    is an input gets a value of its own in the same way.
    """
    for function, block, outputs in _blocks(spec):
        if len(block.outputs) != len(outputs):
            raise ValueError(
                f"coremltools described {len(outputs)} outputs of a function that returns {len(block.outputs)}: {list(block.outputs)}"
            )
        types = mil_program.value_types(function, block)
        seen = {value.name for value in function.inputs}
        for index, name in enumerate(block.outputs):
            if name not in seen:
                seen.add(name)
                continue
            fresh = _unique(name, types.keys() | seen)
            operation = block.operations.add(type="identity")
            operation.inputs["x"].arguments.add(name=name)
            operation.outputs.add(name=fresh, type=copy.deepcopy(types[name]))
            label = operation.attributes["name"]
            label.type.tensorType.dataType = MIL_pb2.DataType.STRING
            label.immediateValue.tensor.strings.values.append(fresh)
            block.outputs[index] = fresh
            outputs[index].name = fresh
            seen.add(fresh)
