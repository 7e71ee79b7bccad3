"""Reading ML Programs in their stored form, which are coremltools' protobuf messages (Model_pb2 and MIL_pb2).

This module is the one place that knows which block of a function is its body, where the inputs and outputs of a function are described, and
how a type is spelled. The messages that its functions return are those of the program, so changing one changes the program.
Importing this module does not import coremltools: whoever has a message has imported it already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coremltools.proto import MIL_pb2, Model_pb2


def default_function(spec: Model_pb2.Model) -> str:
    """The name of the function that runs when none is asked for."""
    return spec.description.defaultFunctionName or "main"


def description(spec: Model_pb2.Model, function: str) -> Model_pb2.ModelDescription | Model_pb2.FunctionDescription:
    """What describes the `input`, `output` and `state` features of a function.

    A model with several functions describes each of them; a model with one describes its features itself, and so does a model that does not
    describe a function of this name.
    """
    return next((one for one in spec.description.functions if one.name == function), spec.description)


def body(function: MIL_pb2.Function) -> MIL_pb2.Block:
    """The block that is executed. A function may have a block for each opset, and names the opset that counts; its body is empty where it has
    no block of that name."""
    return function.block_specializations[function.opset]


def operations(block: MIL_pb2.Block) -> Iterator[MIL_pb2.Operation]:
    """The operations of a block in their order, each followed by those of its nested blocks. Constants are operations too (`const`)."""
    for operation in block.operations:
        yield operation
        for nested in operation.blocks:
            yield from operations(nested)


def value_types(function: MIL_pb2.Function, block: MIL_pb2.Block) -> dict[str, MIL_pb2.ValueType]:
    """The type of each value that the outputs of a block can name: the function's inputs, and what the block's own operations compute."""
    types = {value.name: value.type for value in function.inputs}
    for operation in block.operations:
        types.update((output.name, output.type) for output in operation.outputs)
    return types


def is_tensor(kind: MIL_pb2.ValueType) -> bool:
    """Whether a value is a tensor (`kind.tensorType`), and no list, tuple, dictionary or state."""
    return bool(kind.WhichOneof("type") == "tensorType")


def extents(kind: MIL_pb2.TensorType) -> tuple[int | None, ...]:
    """The extents of a tensor; None for each that is not fixed."""
    return tuple(int(e.constant.size) if e.WhichOneof("dimension") == "constant" else None for e in kind.dimensions)


def dtype_name(kind: MIL_pb2.TensorType) -> str:
    """MIL's name of a tensor's element type: `FLOAT16`, `INT4`, `BOOL`, `STRING`."""
    from coremltools.proto import MIL_pb2

    return str(MIL_pb2.DataType.Name(kind.dataType))


def bits(dtype: str) -> int:
    """How many bits an element of a type takes that `dtype_name` returned; 0 for one without a fixed size, such as `STRING`."""
    if dtype == "BOOL":
        return 8
    if dtype.startswith("FLOAT8"):
        return 8  # The digits that follow are those of exponent and mantissa: FLOAT8E4M3FN.
    return int("".join(c for c in dtype if c.isdigit()) or 0)
