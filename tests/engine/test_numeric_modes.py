"""float16 mode is IEEE half after every float16-typed operation, as NumPy's float16 computes it; float32 mode is not."""

import numpy as np
import pytest
from op_testing import IOS16, IOS17, mb, run

HALF = np.float16
EDGES = np.array(
    [
        1.0001,
        65519.0,
        65520.0,
        -1e6,
        1e-7,
        6e-8,
        2.9e-8,
        2.98e-8,
        -2.99e-8,
        6.1e-5,
        2049.0,
        2051.0,
        0.1,
        np.inf,
        -np.inf,
        np.nan,
        0.0,
    ],
    np.float32,
)


def in_half(build, mode, **inputs):
    """Casts the inputs to float16, builds there, casts the result back."""

    def program(**values):
        halves = {name: mb.cast(x=value, dtype="fp16") for name, value in values.items()}
        return mb.cast(x=build(**halves), dtype="fp32")

    # coremltools wants the builder's parameter names.
    namespace = {"program": program}
    names = ", ".join(inputs)
    exec(f"def call({names}): return program({', '.join(f'{n}={n}' for n in inputs)})", namespace)
    return run(namespace["call"], inputs, mode=mode, opset=IOS17)[0]


def test_cast_rounds_to_the_nearest_half_with_overflow_denormals_and_nan():
    with np.errstate(over="ignore"):
        expected = EDGES.astype(HALF).astype(np.float32)
    np.testing.assert_array_equal(in_half(lambda x: mb.identity(x=x), "float16", x=EDGES), expected)


def test_float32_mode_keeps_what_does_not_fit_into_a_half():
    x = np.array([1e6, 1.0001, 1e-9], np.float32)
    np.testing.assert_array_equal(in_half(lambda x: mb.identity(x=x), "float32", x=x), x)


BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "real_div": np.divide, "maximum": np.maximum}


@pytest.mark.parametrize("name", sorted(BINARY))
def test_one_operation_is_numpys_half_operation(rng, name):
    x = (rng.normal(size=4000) * 10.0 ** rng.integers(-5, 4, 4000)).astype(HALF)
    y = (rng.normal(size=4000) * 10.0 ** rng.integers(-3, 3, 4000)).astype(HALF)
    with np.errstate(all="ignore"):
        expected = BINARY[name](x, y).astype(np.float32)
    actual = in_half(lambda x, y: getattr(mb, name)(x=x, y=y), "float16", x=x.astype(np.float32), y=y.astype(np.float32))
    np.testing.assert_array_equal(actual, expected)


def test_every_operation_of_a_chain_rounds(rng):
    """x * 3 + 1 - x, and an intermediate that overflows: in float32 mode it comes back, in float16 mode it does not."""
    x = rng.normal(size=500).astype(HALF)
    expected = ((x * HALF(3) + HALF(1)) - x).astype(np.float32)
    build = lambda x: mb.sub(x=mb.add(x=mb.mul(x=x, y=HALF(3)), y=HALF(1)), y=x)  # noqa: E731
    np.testing.assert_array_equal(in_half(build, "float16", x=x.astype(np.float32)), expected)

    big = np.array([60000.0, 100.0], np.float32)
    chain = lambda x: mb.mul(x=mb.add(x=x, y=x), y=HALF(0.5))  # noqa: E731
    np.testing.assert_array_equal(in_half(chain, "float16", x=big), [np.inf, 100])
    np.testing.assert_array_equal(in_half(chain, "float32", x=big), big)


@pytest.mark.parametrize("name", ["relu", "exp", "tanh", "sqrt", "sigmoid", "softmax"])
def test_results_are_halves(rng, name):
    x = np.abs(rng.normal(size=(4, 50))).astype(np.float32)
    actual = in_half(lambda x: getattr(mb, name)(x=x), "float16", x=x)
    np.testing.assert_array_equal(actual, actual.astype(HALF).astype(np.float32))
    assert not np.array_equal(in_half(lambda x: getattr(mb, name)(x=x), "float32", x=x), actual)


def test_hardswish_is_not_fused_in_float16_mode(rng):
    x = rng.normal(size=1000).astype(HALF) * HALF(3)
    alpha = HALF(1 / 6)
    # One rounding per operation: sigmoid_hard is one operation.
    factor = np.clip(x.astype(np.float32) * np.float32(alpha) + np.float32(0.5), 0, 1).astype(HALF)
    expected = (x * factor).astype(np.float32)
    build = lambda x: mb.mul(x=x, y=mb.sigmoid_hard(x=x, alpha=alpha, beta=HALF(0.5)))  # noqa: E731
    np.testing.assert_array_equal(in_half(build, "float16", x=x.astype(np.float32)), expected)


def test_dynamic_shapes_round_too(rng):
    x = rng.normal(size=(3, 5)).astype(np.float32)
    (actual,) = run(
        lambda x: mb.cast(x=mb.cast(x=x, dtype="fp16"), dtype="fp32"), {"x": x}, mode="float16", dynamic=["x"], opset=IOS16
    )
    np.testing.assert_array_equal(actual, x.astype(HALF).astype(np.float32))


def test_an_infinite_input_of_a_convolution_reaches_the_results_whose_window_holds_it():
    """Float16 mode shows where a model overflows. Faster ways to convolve mix neighbouring windows."""
    rng = np.random.default_rng(5)
    weight = rng.integers(1, 8, (32, 16, 3, 3)).astype(HALF)
    x = rng.integers(-8, 9, (1, 16, 14, 14)).astype(np.float32)
    x[0, 3, 6, 9] = 1e6
    result = in_half(lambda x: mb.conv(x=x, weight=weight, pad_type="same"), "float16", x=x)
    reached = np.zeros((14, 14), bool)
    reached[5:8, 8:11] = True
    np.testing.assert_array_equal(np.isposinf(result[0]), np.broadcast_to(reached, (32, 14, 14)))
    assert np.isfinite(result[0, :, ~reached]).all()
