"""reduce_* against NumPy in float64; integers exactly."""

import numpy as np
import pytest
from op_testing import IOS15, IOS17, OPSETS, check, mb, run

REDUCTIONS = {
    "reduce_sum": np.sum,
    "reduce_mean": np.mean,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_l1_norm": lambda x, **k: np.sum(np.abs(x), **k),
    "reduce_l2_norm": lambda x, **k: np.sqrt(np.sum(x * x, **k)),
    "reduce_log_sum": lambda x, **k: np.log(np.sum(x, **k)),
    "reduce_log_sum_exp": lambda x, **k: np.log(np.sum(np.exp(x), **k)),
    "reduce_sum_square": lambda x, **k: np.sum(x * x, **k),
}


@pytest.mark.parametrize("name", sorted(REDUCTIONS))
@pytest.mark.parametrize("keep_dims", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_reduce(rng, name, keep_dims, dynamic):
    x = rng.uniform(0.5, 2, (2, 3, 4)).astype(np.float32)
    for axes in (None, [1], [-1, 0]):
        options = {} if axes is None else {"axes": axes}
        expected = REDUCTIONS[name](x.astype(np.float64), axis=None if axes is None else tuple(axes), keepdims=keep_dims)
        build = lambda x: getattr(mb, name)(x=x, keep_dims=keep_dims, **options)  # noqa: E731
        if np.ndim(expected) == 0:  # Core ML has no output of rank 0.
            check(
                lambda x: mb.expand_dims(x=build(x), axes=[0]), {"x": x}, np.reshape(expected, 1), dynamic=["x"] if dynamic else ()
            )
        else:
            check(build, {"x": x}, expected, dynamic=["x"] if dynamic else ())


@pytest.mark.parametrize("name", ["reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum_square", "reduce_l1_norm"])
def test_reduce_int32_is_exact_above_24_bits(name):
    x = np.array([[2**24 + 1, 3, -5], [2**30, 2**24, -(2**24) - 3]], np.int32)
    wide = x.astype(np.int64)
    with np.errstate(over="ignore"):
        expected = REDUCTIONS[name](wide, axis=1).astype(np.int32)
    check(lambda x: getattr(mb, name)(x=x, axes=[1]), {"x": x}, expected)


def test_reduce_mean_int32_goes_towards_zero():
    x = np.array([[1, 2, 5], [-1, -2, -5]], np.int32)
    check(lambda x: mb.reduce_mean(x=x, axes=[1]), {"x": x}, np.array([2, -2], np.int32))


@pytest.mark.parametrize("name", ["reduce_argmax", "reduce_argmin"])
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("keep_dims", [False, True])
def test_argmax(rng, name, opset, keep_dims):
    x = rng.integers(0, 5, (3, 4, 6)).astype(np.float32)
    function = np.argmax if name == "reduce_argmax" else np.argmin
    for axis in (0, 1, -1):
        expected = function(x, axis=axis, keepdims=keep_dims).astype(np.int32)
        check(lambda x: getattr(mb, name)(x=x, axis=axis, keep_dims=keep_dims), {"x": x}, expected, opset=opset)
        check(
            lambda x: getattr(mb, name)(x=mb.cast(x=x, dtype="int32"), axis=axis, keep_dims=keep_dims),
            {"x": x},
            expected,
            opset=opset,
            dynamic=["x"],
        )


def test_argmax_as_uint16():
    x = np.float32([[1, 5, 2], [7, 0, 7]])
    check(
        lambda x: mb.cast(x=mb.reduce_argmax(x=x, axis=1, output_dtype="uint16"), dtype="int32"),
        {"x": x},
        np.int32([1, 0]),
        opset=IOS17,
    )


def test_log_sum_exp_of_large_and_infinite_numbers():
    x = np.float32([[1000, 1001, -1000], [-np.inf, 0, 1]])
    expected = [1001 + np.log1p(np.exp(-1)), np.log(1 + np.e)]
    check(lambda x: mb.reduce_log_sum_exp(x=x, axes=[1]), {"x": x}, np.array(expected), opset=IOS15)


@pytest.mark.parametrize("name, infinity", [("reduce_max", -np.inf), ("reduce_min", np.inf)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_extremum_of_infinite_rows(name, infinity, dynamic):
    """Rows of infinities give an infinity, rows that hold the largest finite number too give that."""
    finite = np.finfo(np.float32).max * np.sign(infinity)
    x = np.array([[infinity] * 3, [infinity, finite, infinity], [finite] * 3, [infinity, 1, 2], [1e-45, 1, -1]], np.float32)
    expected = REDUCTIONS[name](x, axis=1)
    check(lambda x: getattr(mb, name)(x=x, axes=[1]), {"x": x}, expected, dynamic=["x"] if dynamic else ())


@pytest.mark.parametrize("shape, axes", [((1, 24000, 4), [1]), ((1, 4, 24000), [2]), ((3, 20000, 5), [0, 1]), ((400000,), [0])])
@pytest.mark.parametrize("name", ["reduce_sum", "reduce_mean", "reduce_l1_norm", "reduce_sum_square"])
def test_long_sums_are_as_exact_as_one_rounding(rng, name, shape, axes):
    x = rng.random(shape, dtype=np.float32)
    expected = REDUCTIONS[name](x.astype(np.float64), axis=tuple(axes), keepdims=True)
    (result,) = run(lambda x: getattr(mb, name)(x=x, axes=axes, keep_dims=True), {"x": x})
    assert np.abs(result / expected - 1).max() < np.finfo(np.float32).eps
