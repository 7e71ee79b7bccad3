"""Reading ML Programs as they are stored, on programs that are written down here message by message."""

from __future__ import annotations

import pytest
from coremltools.proto import MIL_pb2, Model_pb2
from executorch_coreml import mil_program


def _tensor(dtype: int, *extents: int | None) -> MIL_pb2.ValueType:
    kind = MIL_pb2.ValueType()
    kind.tensorType.dataType = dtype
    kind.tensorType.rank = len(extents)
    for extent in extents:
        dimension = kind.tensorType.dimensions.add()
        if extent is None:
            dimension.unknown.variadic = False
        else:
            dimension.constant.size = extent
    return kind


def test_the_body_is_the_block_of_the_opset_that_the_function_names() -> None:
    function = MIL_pb2.Function(opset="CoreML7")
    function.block_specializations["CoreML5"].outputs.append("old")
    function.block_specializations["CoreML7"].outputs.append("new")
    assert list(mil_program.body(function).outputs) == ["new"]


def test_operations_of_nested_blocks_follow_the_operation_that_has_them() -> None:
    block = MIL_pb2.Block()
    block.operations.add(type="const")
    outer = block.operations.add(type="cond")
    outer.blocks.add().operations.add(type="add").blocks.add().operations.add(type="sub")
    outer.blocks.add().operations.add(type="mul")
    block.operations.add(type="relu")
    assert [operation.type for operation in mil_program.operations(block)] == ["const", "cond", "add", "sub", "mul", "relu"]


def test_types_of_values_are_those_of_inputs_and_of_operations() -> None:
    function = MIL_pb2.Function()
    function.inputs.add(name="x", type=_tensor(MIL_pb2.FLOAT16, 1, None))
    block = MIL_pb2.Block()
    block.operations.add(type="cast").outputs.add(name="y", type=_tensor(MIL_pb2.INT32))
    types = mil_program.value_types(function, block)
    assert {name: mil_program.dtype_name(kind.tensorType) for name, kind in types.items()} == {"x": "FLOAT16", "y": "INT32"}
    assert mil_program.extents(types["x"].tensorType) == (1, None)
    assert mil_program.extents(types["y"].tensorType) == ()


def test_a_list_is_no_tensor() -> None:
    kind = MIL_pb2.ValueType()
    kind.listType.type.tensorType.dataType = MIL_pb2.FLOAT32
    assert not mil_program.is_tensor(kind)
    assert mil_program.is_tensor(_tensor(MIL_pb2.FLOAT32, 2))


def test_a_function_is_described_by_its_name_or_by_the_model() -> None:
    spec = Model_pb2.Model()
    spec.description.input.add(name="of_the_model")
    assert mil_program.default_function(spec) == "main"
    assert [feature.name for feature in mil_program.description(spec, "main").input] == ["of_the_model"]
    spec.description.functions.add(name="decode").input.add(name="token")
    spec.description.defaultFunctionName = "decode"
    assert mil_program.default_function(spec) == "decode"
    assert [feature.name for feature in mil_program.description(spec, "decode").input] == ["token"]


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("FLOAT16", 16), ("FLOAT8E4M3FN", 8), ("FLOAT8E5M2", 8), ("INT4", 4), ("UINT1", 1), ("BOOL", 8), ("STRING", 0)],
)
def test_bits_of_an_element(dtype: str, bits: int) -> None:
    assert dtype in MIL_pb2.DataType.keys()  # noqa: SIM118
    assert mil_program.bits(dtype) == bits
