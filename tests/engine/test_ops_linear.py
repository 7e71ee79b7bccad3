"""linear, matmul and einsum against NumPy in float64, and exactly for integers."""

import numpy as np
import pytest
from op_testing import IOS15, IOS17, EngineError, check, mb, run


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 3, 6), (2, 1, 3, 6)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_linear(rng, shape, bias, dynamic):
    x, w = rng.normal(size=shape).astype(np.float32), rng.normal(size=(4, 6)).astype(np.float32)
    b = rng.normal(size=4).astype(np.float32)
    expected = x.astype(np.float64) @ w.T + (b if bias else 0)
    check(
        lambda x: mb.linear(x=x, weight=w, bias=b) if bias else mb.linear(x=x, weight=w),
        {"x": x},
        expected,
        dynamic={"x": list(range(len(shape) - 1))} if dynamic and len(shape) > 1 else (),
    )


def test_linear_of_integers_is_exact_and_wraps(rng):
    """OpenVINO multiplies int32 matrices in float32: wrong from 2^24 on."""
    x = rng.integers(-(2**31), 2**31, size=(3, 50)).astype(np.int32)
    w = rng.integers(-(2**31), 2**31, size=(4, 50)).astype(np.int32)
    b = rng.integers(-(2**31), 2**31, size=4).astype(np.int32)
    with np.errstate(over="ignore"):
        expected = (x.astype(np.int64).astype(np.uint64) @ w.T.astype(np.int64).astype(np.uint64)).astype(np.uint32)
        expected = (expected + b.astype(np.uint32)).astype(np.uint32).astype(np.int32)
    check(lambda x: mb.linear(x=x, weight=w, bias=b), {"x": x}, expected)


@pytest.mark.parametrize("weight_type", [np.float16, np.int32])
def test_linear_ios17_weight_of_another_type(rng, weight_type):
    x = rng.normal(size=(2, 5)).astype(np.float32)
    w = (rng.normal(size=(3, 5)) * 4).astype(weight_type)
    b = (rng.normal(size=3) * 4).astype(weight_type)
    check(lambda x: mb.linear(x=x, weight=w, bias=b), {"x": x}, x.astype(np.float64) @ w.T.astype(np.float64) + b, opset=IOS17)


SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((4,), (4, 5)),
    ((1, 2, 3, 1, 4), (6, 1, 1, 4, 2)),
]


@pytest.mark.parametrize("x_shape, y_shape", SHAPES)
@pytest.mark.parametrize("transpose_x", [False, True])
@pytest.mark.parametrize("transpose_y", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("constant", [False, True])
def test_matmul(rng, x_shape, y_shape, transpose_x, transpose_y, dtype, constant):
    if len(x_shape) == 1 and transpose_x:
        return
    draw = (lambda s: rng.normal(size=s)) if dtype is np.float32 else (lambda s: rng.integers(-(2**30), 2**30, size=s))
    x, y = draw(x_shape).astype(dtype), draw(y_shape).astype(dtype)
    if dtype is np.float32:
        expected = x.astype(np.float64) @ y.astype(np.float64)
    else:
        with np.errstate(over="ignore"):
            expected = (x.astype(np.uint32) @ y.astype(np.uint32)).astype(np.int32)
    a = np.ascontiguousarray(np.swapaxes(x, -1, -2)) if transpose_x else x
    b = np.ascontiguousarray(np.swapaxes(y, -1, -2)) if transpose_y else y
    flags = {"transpose_x": transpose_x, "transpose_y": transpose_y}
    if constant:
        check(lambda a: mb.matmul(x=a, y=b, **flags), {"a": a}, expected)
    else:
        check(lambda a, b: mb.matmul(x=a, y=b, **flags), {"a": a, "b": b}, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_matmul_of_unknown_extents(rng, dtype):
    x, y = (rng.normal(size=s).astype(np.float32) * 10 for s in ((2, 3, 4), (2, 4, 5)))
    x, y = x.astype(dtype), y.astype(dtype)
    check(lambda x, y: mb.matmul(x=x, y=y), {"x": x, "y": y}, (x.astype(np.float64) @ y).astype(np.float64), dynamic=["x", "y"])


@pytest.mark.parametrize(
    "x_shape, y_shape", [((2, 3, 4, 5), (2, 5, 4, 6)), ((1, 3, 4, 5), (2, 5, 1, 6)), ((2, 3, 1, 5), (1, 5, 4, 6))]
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_einsum_of_rank_4(rng, x_shape, y_shape, dynamic):
    x, y = rng.normal(size=x_shape).astype(np.float32), rng.normal(size=y_shape).astype(np.float32)
    # einsum("nchw,nwhu->nchu") with n and h broadcast.
    rows, columns = (value.astype(np.float64).transpose(0, 2, 1, 3) for value in (x, y))
    expected = (rows @ columns).transpose(0, 2, 1, 3)
    check(
        lambda x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"),
        {"x": x, "y": y},
        expected,
        dynamic={"x": [1], "y": [3]} if dynamic else (),
    )


@pytest.mark.parametrize("equation", ["chw,whr->chr", "abc, cbd -> abd"])
def test_einsum_of_rank_3(rng, equation):
    x, y = rng.normal(size=(3, 4, 5)).astype(np.float32), rng.normal(size=(5, 4, 6)).astype(np.float32)
    expected = np.einsum("chw,whr->chr", x.astype(np.float64), y.astype(np.float64))
    check(lambda x, y: mb.einsum(values=(x, y), equation=equation.replace(" ", "")), {"x": x, "y": y}, expected)


def test_extents_that_do_not_fit_are_refused_before_running(rng):
    """The program says [?, 4] and gets [2, 5]: an error, not a read behind the weights."""
    w = rng.normal(size=(3, 4)).astype(np.float32)
    with pytest.raises(EngineError):
        run(lambda x: mb.linear(x=x, weight=w), {"x": np.zeros((2, 5), np.float32)}, dynamic={"x": [0, 1]}, opset=IOS15)
