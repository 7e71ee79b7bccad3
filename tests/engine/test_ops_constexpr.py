"""constexpr_* in both forms, quantize and dequantize, against NumPy."""

import numpy as np
import pytest
from coremltools.converters.mil.mil import types
from op_testing import IOS16, IOS17, IOS18, check, mb, run


def as_type(values, name):
    """Integers below 8 bits in coremltools' NumPy representation."""
    return np.asarray(values).astype(types.nptype_from_builtin(types.string_to_builtin(name)))


def expand(table, shape):
    """A per-block table repeated to `shape`."""
    for axis, size in enumerate(shape):
        table = np.repeat(table, size // table.shape[axis], axis)
    return table


def ranges(name):
    bits, signed = int(name.lstrip("uint")), not name.startswith("u")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)


def plus_zero(x, weight):
    """Makes a weight visible as an output: x is a scalar zero."""
    return mb.add(x=mb.cast(x=weight, dtype="fp32"), y=x)


ZERO = {"x": np.zeros(1, np.float32)}


@pytest.mark.parametrize("data_type", [np.int8, np.uint8])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("vector", [(False, False), (True, True), (True, False), (False, True)])
@pytest.mark.parametrize("scale_type", [np.float16, np.float32])
def test_affine_dequantize(rng, data_type, axis, vector, scale_type):
    shape, info = (4, 6, 3), np.iinfo(data_type)
    q = rng.integers(info.min, info.max + 1, size=shape).astype(data_type)
    length = shape[axis]
    scale = rng.uniform(0.01, 0.1, size=length if vector[0] else ()).astype(scale_type)
    zero = rng.integers(info.min, info.max + 1, size=length if vector[1] else ()).astype(data_type)

    def along(value):
        return value.reshape([length if i == axis % 3 else 1 for i in range(3)]) if value.ndim else value

    # One rounding to the scale's type, from float32.
    expected = ((q.astype(np.float32) - along(zero).astype(np.float32)) * along(scale).astype(np.float32)).astype(scale_type)
    check(
        lambda x: plus_zero(x, mb.constexpr_affine_dequantize(quantized_data=q, zero_point=zero, scale=scale, axis=np.int32(axis))),
        ZERO,
        expected.astype(np.float32),
        opset=IOS16,
        eps=0,
    )


@pytest.mark.parametrize("data_type", ["int4", "uint4", "int8", "uint8"])
@pytest.mark.parametrize("offset", [None, "same", "float"])
@pytest.mark.parametrize("scale_shape", [(1, 1, 1), (8, 1, 1), (1, 3, 1), (4, 3, 2), (8, 6, 4)])
def test_blockwise_shift_scale(rng, data_type, offset, scale_shape):
    shape = (8, 6, 4)
    low, high = ranges(data_type)
    q = rng.integers(low, high, size=shape)
    scale = rng.uniform(0.01, 0.1, size=scale_shape).astype(np.float16)
    attributes, zero = {}, np.zeros(scale_shape)
    if offset == "same":
        zero = rng.integers(low, high, size=scale_shape)
        attributes["offset"] = as_type(zero, data_type)
    elif offset == "float":
        zero = rng.normal(size=scale_shape).astype(np.float16)
        attributes["offset"] = zero
    expected = (q - expand(zero, shape).astype(np.float32)).astype(np.float32) * expand(scale, shape).astype(np.float32)
    check(
        lambda x: plus_zero(x, mb.constexpr_blockwise_shift_scale(data=as_type(q, data_type), scale=scale, **attributes)),
        ZERO,
        expected.astype(np.float16).astype(np.float32),
        opset=IOS18,
        eps=0,
    )


SCALES = {
    "tensor": (1, 1),
    "row": (64, 1),
    "groups": (64, 4),
    "groups32": (64, 3),
    "row blocks": (16, 1),
    "column blocks": (1, 4),
    "columns": (1, 96),
    "groups of rows": (2, 96),
    "odd groups of rows": (32, 96),
    "elements": (64, 96),
    "small groups": (16, 12),
    "odd groups": (64, 32),
}
USES = [
    *((use, "float32", t, scales) for use in ("linear", "matmul") for t in ("int4", "uint4", "int8", "uint8") for scales in SCALES),
    *(("gather", "float32", "uint4", scales) for scales in SCALES),
    ("linear", "float16", "int8", "row"),
    ("linear", "float16", "uint4", "groups"),
]


@pytest.mark.parametrize("use, mode, data_type, scales", USES)
@pytest.mark.parametrize("offset", [False, True])
def test_compressed_weights_in_use(rng, use, mode, data_type, scales, offset):
    """OpenVINO gives wrong numbers, without a message, for scales per column and for groups of some sizes, and throws for blocks of
    rows; other users than products never see the compressed form."""
    scale_shape = SCALES[scales]
    shape = (64, 96)
    low, high = ranges(data_type)
    q = rng.integers(low, high, size=shape)
    scale = rng.uniform(0.01, 0.1, size=scale_shape).astype(np.float32)
    attributes, zero = {}, np.zeros(scale_shape)
    if offset:
        zero = rng.integers(low, high, size=scale_shape)
        attributes["offset"] = as_type(zero, data_type)
    weight = (q - expand(zero, shape)) * expand(scale, shape).astype(np.float64)

    def build(x):
        w = mb.constexpr_blockwise_shift_scale(data=as_type(q, data_type), scale=scale, **attributes)
        if use == "linear":
            return mb.linear(x=x, weight=w)
        if use == "matmul":
            return mb.matmul(x=x, y=w)
        return mb.gather(x=w, indices=mb.cast(x=x, dtype="int32"), axis=0)

    if use == "gather":
        x = rng.integers(0, 64, size=5).astype(np.float32)
        expected = weight[x.astype(int)]
    else:
        x = rng.normal(size=(3, 96 if use == "linear" else 64)).astype(np.float32)
        expected = x.astype(np.float64) @ (weight.T if use == "linear" else weight)
    check(build, {"x": x}, expected, opset=IOS18, mode=mode)


def test_constexpr_cast(rng):
    w = rng.normal(size=(3, 4)).astype(np.float16)
    check(
        lambda x: mb.add(x=mb.constexpr_cast(source_val=w, output_dtype="fp32"), y=x),
        ZERO,
        w.astype(np.float32),
        opset=IOS16,
        eps=0,
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("lut_type", [np.float16, np.float32])
def test_lut_to_dense_ios16(rng, bits, lut_type):
    shape = (3, 5, 7)
    indices = rng.integers(0, 2**bits, size=shape)
    lut = rng.normal(size=2**bits).astype(lut_type)
    stream = ((indices.reshape(-1, 1) >> np.arange(bits)) & 1).astype(np.uint8).reshape(-1)
    packed = np.packbits(stream, bitorder="little")
    check(
        lambda x: plus_zero(x, mb.constexpr_lut_to_dense(indices=packed, lut=lut, shape=np.array(shape, dtype=np.uint32))),
        ZERO,
        lut[indices].astype(np.float32),
        opset=IOS16,
        eps=0,
    )


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("vector, axis", [(1, None), (1, 0), (3, 0), (2, 1), (4, -1)])
@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (4, 3)])
def test_lut_to_dense_ios18(rng, bits, vector, axis, blocks):
    shape = (4, 6)
    indices = rng.integers(0, 2**bits, size=shape)
    lut = rng.normal(size=(*blocks, 2**bits, vector)).astype(np.float16)
    dense = np.empty((*shape, vector), np.float16)
    for i, j in np.ndindex(*shape):
        dense[i, j] = lut[i * blocks[0] // shape[0], j * blocks[1] // shape[1], indices[i, j]]
    if vector == 1:
        expected = dense[..., 0]
    elif axis == 0:
        expected = dense.transpose(0, 2, 1).reshape(4 * vector, 6)
    else:
        expected = dense.reshape(4, 6 * vector)
    attributes = {} if axis is None else {"vector_axis": np.int32(axis)}
    check(
        lambda x: plus_zero(x, mb.constexpr_lut_to_dense(indices=as_type(indices, f"uint{bits}"), lut=lut, **attributes)),
        ZERO,
        expected.astype(np.float32),
        opset=IOS18,
        eps=0,
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_sparse_to_dense_ios16(rng, dtype):
    shape = (3, 5, 3)
    mask = rng.random(shape) > 0.5
    nonzero = rng.normal(size=int(mask.sum())).astype(dtype)
    expected = np.zeros(shape, dtype)
    expected[mask] = nonzero
    packed = np.packbits(mask.reshape(-1), bitorder="little")
    check(
        lambda x: plus_zero(
            x, mb.constexpr_sparse_to_dense(nonzero_data=nonzero, mask=packed, shape=np.array(shape, dtype=np.uint32))
        ),
        ZERO,
        expected.astype(np.float32),
        opset=IOS16,
        eps=0,
    )


def test_sparse_to_dense_ios18(rng):
    mask = rng.random((5, 7)) > 0.6
    nonzero = rng.normal(size=int(mask.sum())).astype(np.float16)
    expected = np.zeros(mask.shape, np.float16)
    expected[mask] = nonzero
    check(
        lambda x: plus_zero(x, mb.constexpr_sparse_to_dense(nonzero_data=nonzero, mask=as_type(mask, "uint1"))),
        ZERO,
        expected.astype(np.float32),
        opset=IOS18,
        eps=0,
    )


@pytest.mark.parametrize("data_type", ["int4", "uint4", "int8", "uint8"])
def test_sparse_quantized(rng, data_type):
    mask = rng.random((6, 8)) > 0.4
    low, high = ranges(data_type)
    nonzero = rng.integers(low, high, size=int(mask.sum()))
    scale = rng.uniform(0.1, 0.5, size=(6, 2)).astype(np.float16)
    zero = rng.integers(low, high, size=(6, 2))
    dense = np.zeros(mask.shape)
    dense[mask] = nonzero
    expected = np.where(mask, (dense - expand(zero, mask.shape)) * expand(scale, mask.shape).astype(np.float32), 0)

    def build(x):
        m, values = mb.constexpr_sparse_blockwise_shift_scale(
            data_mask=as_type(mask, "uint1"),
            nonzero_data=as_type(nonzero, data_type),
            scale=scale,
            offset=as_type(zero, data_type),
        )
        return plus_zero(x, mb.constexpr_sparse_to_dense(nonzero_data=values, mask=m))

    check(build, ZERO, expected.astype(np.float16).astype(np.float32), opset=IOS18, eps=0)


@pytest.mark.parametrize("vector, axis", [(1, None), (2, 0), (3, 1)])
def test_sparse_palettized(rng, vector, axis):
    mask = rng.random((4, 6)) > 0.5
    nonzero = rng.integers(0, 4, size=int(mask.sum()))
    lut = rng.normal(size=(2, 1, 4, vector)).astype(np.float16)
    expected = np.zeros((4, 6, vector), np.float16)
    indices = np.zeros((4, 6), int)
    indices[mask] = nonzero
    for i, j in zip(*np.nonzero(mask)):
        expected[i, j] = lut[i // 2, 0, indices[i, j]]
    expected = expected.transpose(0, 2, 1).reshape(4 * vector, 6) if axis == 0 else expected.reshape(4, 6 * vector)
    attributes = {} if axis is None else {"vector_axis": np.int32(axis)}

    def build(x):
        m, values = mb.constexpr_lut_to_sparse(
            indices_mask=as_type(mask, "uint1"), indices_nonzero_data=as_type(nonzero, "uint2"), lut=lut, **attributes
        )
        return plus_zero(x, mb.constexpr_sparse_to_dense(nonzero_data=values, mask=m))

    check(build, ZERO, expected.astype(np.float32), opset=IOS18, eps=0)


def test_palette_of_quantized_values(rng):
    """A lut of int8 whose result is dequantized: two compressions of one weight."""
    indices = rng.integers(0, 16, size=(8, 4))
    lut = rng.integers(-128, 128, size=(1, 1, 16, 1)).astype(np.int8)
    scale = rng.uniform(0.01, 0.1, size=(8, 1)).astype(np.float16)
    expected = lut.reshape(-1)[indices].astype(np.float32) * scale.astype(np.float32)

    def build(x):
        w = mb.constexpr_lut_to_dense(indices=as_type(indices, "uint4"), lut=lut)
        return plus_zero(x, mb.constexpr_blockwise_shift_scale(data=w, scale=scale))

    check(build, ZERO, expected.astype(np.float16).astype(np.float32), opset=IOS18, eps=0)


@pytest.mark.parametrize("output", [np.int8, np.uint8])
@pytest.mark.parametrize("axis", [None, 1, -1])
@pytest.mark.parametrize("zero_point", [False, True])
def test_quantize(rng, output, axis, zero_point):
    """Exact, ties and saturation included: a division turned into a multiplication by the reciprocal is off by one now and then."""
    shape, info = (2, 3, 4), np.iinfo(output)
    size = () if axis is None else shape[axis]
    scale = rng.uniform(0.005, 0.05, size=size).astype(np.float32)
    zero = rng.integers(info.min, info.max + 1, size=size).astype(output)
    along = (lambda v: v) if axis is None else (lambda v: v.reshape([-1 if i == axis % 3 else 1 for i in range(3)]))
    x = rng.normal(size=(2, 3, 4)).astype(np.float32) * 3
    x[0] = (
        (rng.integers(-20, 20, size=(3, 4)) + 0.5) * along(scale)[0]
        if axis is not None
        else (rng.integers(-20, 20, size=(3, 4)) + 0.5) * scale
    )
    x = x.astype(np.float32)
    attributes = {} if axis is None else {"axis": axis}
    if zero_point:
        attributes["zero_point"] = zero
    shift = along(zero).astype(np.float32) if zero_point else 0
    q = np.clip(np.rint(x / along(scale)) + shift, info.min, info.max)

    def build(x):
        return mb.cast(x=mb.quantize(input=x, scale=scale, output_dtype=np.dtype(output).name, **attributes), dtype="int32")

    check(build, {"x": x}, q.astype(np.int32), opset=IOS17)
    restored = (q.astype(np.float32) - shift) * along(scale)
    check(
        lambda x: mb.dequantize(
            input=mb.quantize(input=x, scale=scale, output_dtype=np.dtype(output).name, **attributes),
            scale=scale,
            **attributes,
        ),
        {"x": x},
        restored,
        opset=IOS17,
        eps=2,
    )


def test_quantize_has_no_reciprocal(rng):
    """With 100,000 elements a rounded reciprocal shows."""
    x, scale = rng.normal(size=(100, 1000)).astype(np.float32), np.float32(0.013)
    (y,) = run(lambda x: mb.cast(x=mb.quantize(input=x, scale=scale, output_dtype="int8"), dtype="int32"), {"x": x}, opset=IOS17)
    np.testing.assert_array_equal(y, np.clip(np.rint(x / scale), -128, 127).astype(np.int32))


def test_dequantize_of_a_constant(rng):
    q, scale = rng.integers(-128, 128, size=(4, 6)).astype(np.int8), rng.uniform(0.1, 0.2, size=4).astype(np.float32)
    expected = q.astype(np.float32) * scale[:, None]
    check(lambda x: mb.add(x=mb.dequantize(input=q, scale=scale, axis=0), y=x), ZERO, expected, opset=IOS17, eps=2)
