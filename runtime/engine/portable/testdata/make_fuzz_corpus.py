"""Writes the corpus of conversion_fuzz_test: small programs of every family of operations, as conversion_fuzz.cc takes them.

tools/bazel run //runtime/engine/portable:make_fuzz_corpus -- $PWD/runtime/engine/portable/testdata/fuzz
"""

from __future__ import annotations

import pathlib
import struct
import sys
import tempfile

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, get_new_symbol, types
from coremltools.proto import MIL_pb2 as mil

IOS15, IOS16, IOS17, IOS18 = ct.target.iOS15, ct.target.iOS16, ct.target.iOS17, ct.target.iOS18


def _weights(*shape: int) -> np.ndarray:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _elementwise(x):
    y = mb.floor_div(x=mb.add(x=x, y=np.float32(2)), y=mb.exp(x=x))
    return mb.select(cond=mb.greater(x=y, y=x), a=mb.clip(x=y, alpha=-1.0, beta=1.0), b=mb.pow(x=x, y=np.float32(2)))


def _linear(x):
    return mb.softmax(x=mb.gelu(x=mb.linear(x=mb.reshape(x=x, shape=[6, 16]), weight=_weights(4, 16), bias=_weights(4))), axis=-1)


def _conv(x):
    y = mb.conv(x=x, weight=_weights(4, 2, 3, 3), pad_type="custom", pad=[1, 1, 1, 1], strides=[1, 2])
    y = mb.batch_norm(x=y, mean=_weights(4), variance=np.ones(4, np.float32))
    return mb.conv_transpose(x=mb.relu(x=y), weight=_weights(4, 2, 2, 2), pad_type="same")


def _pool(x):
    y = mb.avg_pool(x=x, kernel_sizes=[3, 3], pad_type="custom", pad=[1, 1, 1, 1], ceil_mode=False, strides=[2, 2])
    return mb.reduce_log_sum_exp(x=mb.layer_norm(x=y, axes=[-1]), axes=[1, 2])


def _image(x):
    boxes = np.array([[0, 0.1, 0.1, 0.8, 0.9]], np.float32).reshape(1, 5, 1, 1, 1)
    y = mb.crop_resize(
        x=x, roi=boxes, target_height=3, target_width=3, normalized_coordinates=True, box_coordinate_mode="CORNERS_HEIGHT_FIRST"
    )
    return mb.upsample_bilinear(x=mb.squeeze(x=y, axes=[0]), scale_factor_height=2, scale_factor_width=2)


def _slices(x):
    y = mb.slice_by_index(x=x, begin=[0, 0, 1, 2], end=[1, 2, 5, 8], stride=[1, 1, 2, 3])
    y = mb.concat(values=[y, mb.transpose(x=y, perm=[0, 1, 2, -1])], axis=-1)
    return mb.pad(x=mb.tile(x=y, reps=[1, 2, 1, 1]), pad=[0, 1, 1, 0], mode="reflect")


def _gathers(x):
    y = mb.gather(x=x, indices=np.array([1, 0, 1], np.int32), axis=1)
    y = mb.scatter_nd(data=y, indices=np.array([[0, 1]], np.int32), updates=mb.gather_nd(x=x, indices=np.array([[0, 1]], np.int32)))
    values, indices = mb.topk(x=y, k=2, axis=-1)
    return values, mb.cast(x=indices, dtype="fp32")


def _control_flow(x):
    total = mb.reduce_sum(x=x, axes=[0, 1, 2, 3])
    chosen = mb.cond(pred=mb.greater(x=total, y=np.float32(0)), _true_fn=lambda: mb.abs(x=x), _false_fn=lambda: mb.exp(x=x))
    _, result = mb.while_loop(
        _cond=lambda i, v: mb.less(x=i, y=3),
        _body=lambda i, v: (mb.add(x=i, y=1), mb.mul(x=v, y=np.float32(2))),
        loop_vars=(0, chosen),
    )
    return result


def _lists(x):
    items = mb.make_list(init_length=2, elem_shape=(2, 6, 8), dtype="fp32")
    items = mb.list_write(ls=items, index=0, value=mb.squeeze(x=x, axes=[0]))
    return mb.list_gather(ls=items, indices=np.array([0, 0], np.int32))


def _recurrent(x):
    y = mb.transpose(x=mb.reshape(x=x, shape=[4, 3, 8]), perm=[1, 0, 2])
    outputs = mb.lstm(
        x=y,
        initial_h=np.zeros((4, 2), np.float32),
        initial_c=np.zeros((4, 2), np.float32),
        weight_ih=_weights(8, 8),
        weight_hh=_weights(8, 2),
        bias=_weights(8),
        direction="forward",
        output_sequence=True,
    )
    return outputs[0]


def _shapes(x):
    extents = mb.shape(x=x)
    y = mb.reshape(
        x=x, shape=mb.concat(values=[mb.slice_by_index(x=extents, begin=[0], end=[2]), np.array([-1], np.int32)], axis=0)
    )
    return mb.cumsum(x=mb.matmul(x=y, y=y, transpose_y=True))


def _attention(x):
    y = mb.reshape(x=x, shape=[1, 2, 6, 8])
    return mb.scaled_dot_product_attention(query=y, key=y, value=y)


def _quantized(x):
    data = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    w = mb.constexpr_blockwise_shift_scale(data=data, scale=np.full((4, 1), 0.5, np.float32), offset=np.zeros((4, 1), np.int8))
    y = mb.linear(x=mb.reshape(x=x, shape=[24, 4]), weight=w)
    return mb.dequantize(input=mb.quantize(input=y, scale=np.float32(0.1), output_dtype="int8"), scale=np.float32(0.1))


def _palette(x):
    w = mb.constexpr_lut_to_dense(
        indices=np.array([0b10110001], np.uint8), lut=np.array([0.5, -0.5], np.float32), shape=np.array([2, 4], np.uint32)
    )
    sparse = mb.constexpr_sparse_to_dense(
        nonzero_data=np.array([3.0, 5.0], np.float32), mask=np.array([0b10000001], np.uint8), shape=np.array([2, 4], np.uint32)
    )
    affine = mb.constexpr_affine_dequantize(
        quantized_data=np.arange(8, dtype=np.int8).reshape(2, 4),
        zero_point=np.int8(1),
        scale=np.array([0.5, 0.25], np.float32),
        axis=0,
    )
    return mb.matmul(x=mb.reshape(x=x, shape=[24, 4]), y=mb.add(x=mb.add(x=w, y=sparse), y=affine), transpose_y=True)


def _sampling(x):
    matrix = np.array([[1, 0, 0.1, 0, 1, -0.1]], np.float32)
    y = mb.affine(
        x=x,
        transform_matrix=matrix,
        output_height=5,
        output_width=7,
        sampling_mode="bilinear",
        padding_mode="constant",
        padding_value=0.0,
        coordinates_mode="normalized_minus_one_to_one",
        align_corners=True,
    )
    y = mb.crop(x=y, crop_height=[1, 1], crop_width=[2, 0])
    y = mb.resize_nearest_neighbor(x=y, target_size_height=4, target_size_width=3)
    y = mb.conv_transpose(x=y, weight=_weights(2, 2, 3, 3), output_shape=[1, 2, 6, 5], strides=[1, 1])
    return mb.slice_by_index(x=y, begin=[0, 0, 1, 2], end=[1, 2, 5, 5], squeeze_mask=[True, False, False, False])


def _of_strings(function) -> None:
    """The lookup table as strings: nothing that a converter writes."""
    for operation in function.operations:
        value = operation.attributes.get("lut")
        if value is not None:
            value.type.tensorType.dataType = mil.STRING
            value.immediateValue.tensor.strings.values.extend(["a", "b"])


def _of_lists(function) -> None:
    """The mask as a list of two numbers."""
    for operation in function.operations:
        value = operation.attributes.get("mask")
        if value is not None:
            number = mil.Value()
            number.type.tensorType.dataType = mil.INT32
            number.immediateValue.tensor.ints.values.append(1)
            value.Clear()
            value.type.listType.type.CopyFrom(number.type)
            value.type.listType.length.constant.size = 2
            value.immediateValue.list.values.extend([number, number])


def _of_int64(function) -> None:
    """Each int32 constant with 64 bits, of which a fuzzer then changes any."""
    for operation in function.operations:
        tensors = [value for name, value in operation.attributes.items() if name == "val"]
        tensors += [argument.value for parameter in operation.inputs.values() for argument in parameter.arguments]
        for value in tensors:
            if value.type.tensorType.dataType == mil.INT32 and value.immediateValue.tensor.HasField("ints"):
                numbers = list(value.immediateValue.tensor.ints.values)
                value.type.tensorType.dataType = mil.INT64
                value.immediateValue.tensor.longInts.values.extend(numbers)
                if operation.type == "const":
                    operation.outputs[0].type.tensorType.dataType = mil.INT64


PROGRAMS = {
    "elementwise": (_elementwise, IOS15),
    "linear": (_linear, IOS15),
    "conv": (_conv, IOS15),
    "pool": (_pool, IOS15),
    "image": (_image, IOS15),
    "slices": (_slices, IOS15),
    "gathers": (_gathers, IOS16),
    "control_flow": (_control_flow, IOS15),
    "lists": (_lists, IOS15),
    "recurrent": (_recurrent, IOS15),
    "shapes": (_shapes, IOS15),
    "attention": (_attention, IOS18),
    "quantized": (_quantized, IOS18),
    "palette": (_palette, IOS16),
    "palette_of_strings": (_palette, IOS16),
    "mask_of_a_list": (_palette, IOS16),
    "sampling": (_sampling, IOS16),
}

# What is changed in a program after it was converted.
EDITS = {"palette_of_strings": _of_strings, "mask_of_a_list": _of_lists, "sampling": _of_int64}


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (build, opset) in PROGRAMS.items():
        # Of float32 [1, 2, 6, 8]; "shapes" of [1, 2, ?, 8].
        shape = [1, 2, get_new_symbol() if name == "shapes" else 6, 8]
        program = Program()
        with Function({"x": mb.placeholder(shape=shape, dtype=types.fp32)}, opset_version=opset) as function:
            outputs = build(**function.inputs)
            function.set_outputs(list(outputs) if isinstance(outputs, tuple) else [outputs])
            program.add_function("main", function)
        model = ct.convert(
            program,
            source="milinternal",
            convert_to="mlprogram",
            minimum_deployment_target=opset,
            compute_precision=ct.precision.FLOAT32,
            inputs=[ct.TensorType(name="x", shape=[1, 2, ct.RangeDim(1, 9, default=6), 8])] if name == "shapes" else None,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        model.user_defined_metadata.clear()
        specification = model.get_spec()
        specification.description.metadata.Clear()
        for operation in specification.mlProgram.functions["main"].block_specializations[opset_name(opset)].operations:
            operation.attributes.pop("name", None)
        if name in EDITS:
            EDITS[name](specification.mlProgram.functions["main"].block_specializations[opset_name(opset)])
        content = specification.SerializeToString(deterministic=True)
        with tempfile.TemporaryDirectory() as scratch:
            model.save(f"{scratch}/program.mlpackage")
            weights = sorted(pathlib.Path(scratch).rglob("weight.bin"))
            blob = weights[0].read_bytes() if weights else b""
        (folder / f"{name}.bin").write_bytes(struct.pack("<I", len(content)) + content + blob)


def opset_name(opset: ct.target) -> str:
    return {IOS15: "CoreML5", IOS16: "CoreML6", IOS17: "CoreML7", IOS18: "CoreML8"}[opset]


if __name__ == "__main__":
    main()
