"""Elementwise and activation operations against NumPy, torch and math in float64; integers exactly."""

import math

import numpy as np
import pytest
import torch
from op_testing import IOS15, IOS16, IOS17, IOS18, OPSETS, EngineError, check, mb, run

I32_MIN, I32_MAX = np.iinfo(np.int32).min, np.iinfo(np.int32).max

UNARY = {
    "abs": (np.abs, -5, 5),
    "acos": (np.arccos, -1, 1),
    "asin": (np.arcsin, -1, 1),
    "atan": (np.arctan, -8, 8),
    "atanh": (np.arctanh, -0.99, 0.99),
    "ceil": (np.ceil, -5, 5),
    "cos": (np.cos, -10, 10),
    "cosh": (np.cosh, -4, 4),
    "erf": (np.vectorize(math.erf), -3, 3),
    "exp": (np.exp, -10, 10),
    "exp2": (np.exp2, -10, 10),
    "floor": (np.floor, -5, 5),
    "round": (np.round, -5, 5),
    "sign": (np.sign, -5, 5),
    "sin": (np.sin, -10, 10),
    "sinh": (np.sinh, -4, 4),
    "sqrt": (np.sqrt, 0, 50),
    "square": (np.square, -9, 9),
    "tan": (np.tan, -1.5, 1.5),
    "tanh": (np.tanh, -4, 4),
    "relu": (lambda x: np.maximum(x, 0), -5, 5),
    "relu6": (lambda x: np.clip(x, 0, 6), -9, 9),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -9, 9),
    "silu": (lambda x: x / (1 + np.exp(-x)), -9, 9),
    "softplus": (lambda x: np.logaddexp(x, 0), -20, 20),
    "softsign": (lambda x: x / (1 + np.abs(x)), -9, 9),
}


def spread(low: float, high: float, shape=(3, 5, 7)) -> np.ndarray:
    return np.linspace(low, high, math.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("name", sorted(UNARY))
@pytest.mark.parametrize("dynamic", [False, True])
def test_unary(name, dynamic):
    function, low, high = UNARY[name]
    x = spread(low, high)
    check(lambda x: getattr(mb, name)(x=x), {"x": x}, function(x.astype(np.float64)), dynamic={"x": [0, 2]} if dynamic else ())


@pytest.mark.parametrize("name", ["round", "floor", "ceil"])
def test_halves_round_to_even(name):
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 8388607.5, -1e9], np.float32)
    check(lambda x: getattr(mb, name)(x=x), {"x": x}, getattr(np, name)(x), eps=0)


@pytest.mark.parametrize("name", ["abs", "sign", "square", "exp2"])
def test_unary_int32(name):
    x = np.array([-70000, -3, 0, 1, 5, 30, I32_MAX], np.int32)
    wide = x.astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = {
            "abs": lambda: np.abs(wide),
            "sign": lambda: np.sign(wide),
            "square": lambda: wide * wide,
            "exp2": lambda: np.array([2**v if 0 <= v < 64 else 0 for v in wide.tolist()], np.int64),
        }[name]().astype(np.int32)
    check(lambda x: getattr(mb, name)(x=x), {"x": x}, expected)


@pytest.mark.parametrize("opset", OPSETS)
def test_epsilons(opset):
    x = spread(0.001, 4)
    wide = x.astype(np.float64)
    check(lambda x: mb.inverse(x=x), {"x": x}, 1 / (wide + 1e-4), opset=opset)
    check(lambda x: mb.inverse(x=x, epsilon=0.5), {"x": x}, 1 / (wide + 0.5), opset=opset)
    check(lambda x: mb.rsqrt(x=x), {"x": x}, 1 / np.sqrt(wide + 1e-12), opset=opset)
    check(lambda x: mb.rsqrt(x=x, epsilon=0.25), {"x": x}, 1 / np.sqrt(wide + 0.25), opset=opset)
    check(lambda x: mb.log(x=x), {"x": x}, np.log(wide), opset=opset)
    check(lambda x: mb.log(x=x, epsilon=1.0), {"x": x}, np.log(wide + 1), opset=opset)


def test_log_of_zero_is_the_log_of_epsilon():
    x = np.zeros((2, 2), np.float32)
    check(lambda x: mb.log(x=x, epsilon=1e-6), {"x": x}, np.full((2, 2), np.log(np.float32(1e-6))))


@pytest.mark.parametrize("low, high", [(-1.0, 2.0), (0.0, 6.0), (-np.inf, 1.0), (0.5, np.inf)])
def test_clip_and_threshold(low, high):
    x = spread(-9, 9)
    check(lambda x: mb.clip(x=x, alpha=np.float32(low), beta=np.float32(high)), {"x": x}, np.clip(x, low, high), eps=0)
    if np.isfinite(low):
        check(lambda x: mb.threshold(x=x, alpha=low), {"x": x}, np.maximum(x, low), eps=0)


def test_clip_with_crossed_limits():
    x = spread(-9, 9)
    check(lambda x: mb.clip(x=x, alpha=3.0, beta=-1.0), {"x": x}, np.minimum(np.maximum(x, 3), -1), eps=0)


def test_threshold_int32():
    x = np.array([-5, 0, 7, I32_MAX - 1], np.int32)
    check(lambda x: mb.threshold(x=x, alpha=2**24 + 1), {"x": x}, np.maximum(x, 2**24 + 1))


def test_logical_operations():
    x = np.array([[0, 1, 0, 1], [1, 1, 0, 0]], np.int32)
    y = np.array([[0, 0, 1, 1], [1, 0, 0, 1]], np.int32)
    a, b = x.astype(bool), y.astype(bool)

    def build(x, y):
        p, q = mb.cast(x=x, dtype="bool"), mb.cast(x=y, dtype="bool")
        results = [mb.logical_and(x=p, y=q), mb.logical_or(x=p, y=q), mb.logical_xor(x=p, y=q), mb.logical_not(x=p)]
        return [mb.cast(x=r, dtype="int32") for r in results]

    check(build, {"x": x, "y": y}, [(v).astype(np.int32) for v in (a & b, a | b, a ^ b, ~a)])


BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "real_div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "pow": np.power,
    "floor_div": np.floor_divide,
    "mod": np.mod,
}
COMPARE = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


@pytest.mark.parametrize("name", sorted(BINARY))
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((5,), ())])
def test_binary_broadcasts(rng, name, shapes):
    x = rng.uniform(0.5, 4, shapes[0] or (1,)).astype(np.float32)
    y = rng.uniform(0.5, 4, shapes[1] or (1,)).astype(np.float32)

    def build(x, y):
        # Rank 0 exists inside a program only.
        p = x if shapes[0] else mb.squeeze(x=x)
        q = y if shapes[1] else mb.squeeze(x=y)
        return getattr(mb, name)(x=p, y=q)

    expected = BINARY[name](x.reshape(shapes[0]).astype(np.float64), y.reshape(shapes[1]).astype(np.float64))
    check(build, {"x": x, "y": y}, expected)


@pytest.mark.parametrize("name", sorted(BINARY))
def test_binary_dynamic(rng, name):
    x, y = rng.uniform(0.5, 4, (2, 3, 4)).astype(np.float32), rng.uniform(0.5, 4, (3, 4)).astype(np.float32)
    check(
        lambda x, y: getattr(mb, name)(x=x, y=y),
        {"x": x, "y": y},
        BINARY[name](x.astype(np.float64), y.astype(np.float64)),
        dynamic={"x": [0, 1], "y": [0]},
    )


LARGE = np.array([I32_MAX, I32_MIN, 2**24 + 1, -(2**24) - 3, 7, -7, 7, -7, 0, 123456789, I32_MIN], np.int32)
OTHER = np.array([2, -3, 3, -5, 2, 2, -2, -2, 5, 1000, -1], np.int32)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "maximum", "minimum", "floor_div", "mod", "pow", "real_div"])
def test_integers_are_exact_above_24_bits(name):
    x, y = LARGE.astype(np.int64), OTHER.astype(np.int64)
    if name == "pow":
        y = np.array([2, 1, 2, 3, 5, 4, 0, 1, 0, 2, 1])
        expected = np.array([pow(int(a), int(b)) % 2**32 for a, b in zip(x, y)], np.uint32).astype(np.int32)
    elif name == "real_div":
        expected = np.trunc(x / y).astype(np.int64).astype(np.int32)
    else:
        expected = BINARY[name](x, y).astype(np.int32)
    check(lambda x, y: getattr(mb, name)(x=x, y=y), {"x": LARGE, "y": y.astype(np.int32)}, expected)


@pytest.mark.parametrize("name", ["floor_div", "mod"])
def test_integers_divided_by_zero_end_in_a_number(name):
    x, y = np.array([5, -5, 0], np.int32), np.zeros(3, np.int32)
    check(lambda x, y: getattr(mb, name)(x=x, y=y), {"x": x, "y": y}, np.zeros(3, np.int32))


@pytest.mark.parametrize("name", ["floor_div", "mod"])
def test_float_division_has_numpys_signs_and_steps(name):
    """A product with the rounded reciprocal would give floor(49 / 49) == 0 and 1e10 mod 3 == 0."""
    x = np.array([5.5, -5.5, 5.5, -5.5, 49, 49, 1e10, 0.3, 1.0, -0.0, 6], np.float32)
    y = np.array([2, 2, -2, -2, 49, -49, 3, 0.1, 0.1, 2, 3], np.float32)
    check(lambda x: getattr(mb, name)(x=x, y=y), {"x": x}, BINARY[name](x, y), eps=0)


@pytest.mark.parametrize("name", sorted(COMPARE))
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_compare(name, dtype):
    x = np.array([1, 2, 3, I32_MAX if dtype == np.int32 else 4, 5], dtype)
    y = np.array([1, 3, 2, I32_MAX - 1 if dtype == np.int32 else 4, 5], dtype)
    check(
        lambda x, y: mb.cast(x=getattr(mb, name)(x=x, y=y), dtype="int32"),
        {"x": x, "y": y},
        COMPARE[name](x, y).astype(np.int32),
    )


@pytest.mark.parametrize("name", sorted(COMPARE))
def test_nan_compares_unequal(name):
    """OpenVINO's Greater and GreaterEqual are true for NaN."""
    x, y = np.array([np.nan, 1, np.nan, 1], np.float32), np.array([1, np.nan, np.nan, 1], np.float32)
    check(
        lambda x, y: mb.cast(x=getattr(mb, name)(x=x, y=y), dtype="int32"),
        {"x": x, "y": y},
        COMPARE[name](x, y).astype(np.int32),
    )


@pytest.mark.parametrize("opset", OPSETS)
def test_cast(opset):
    x = np.array([-2.7, -0.5, 0.0, 0.5, 2.7, 300.9], np.float32)
    check(lambda x: mb.cast(x=x, dtype="int32"), {"x": x}, np.trunc(x).astype(np.int32), opset=opset)
    check(lambda x: mb.cast(x=mb.cast(x=x, dtype="bool"), dtype="int32"), {"x": x}, (x != 0).astype(np.int32), opset=opset)
    check(lambda x: mb.cast(x=mb.cast(x=x, dtype="bool"), dtype="fp32"), {"x": x}, (x != 0).astype(np.float32), opset=opset)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("opset", [IOS17, IOS18])
def test_cast_to_small_integers(dtype, opset):
    """In range: as is. From int32 out of range: the low bits."""
    inside = np.array([0, 1, 5, 100, 127], np.int32)
    check(lambda x: mb.cast(x=mb.cast(x=x, dtype=dtype), dtype="int32"), {"x": inside}, inside, opset=opset)
    outside = np.array([-1, 255, 256, 40000, 70000, -40000], np.int32)
    check(
        lambda x: mb.cast(x=mb.cast(x=x, dtype=dtype), dtype="int32"),
        {"x": outside},
        outside.astype(dtype).astype(np.int32),
        opset=opset,
    )


def test_bool_of_nan_is_true():
    x = np.array([np.nan, 0, 1], np.float32)
    check(lambda x: mb.cast(x=mb.cast(x=x, dtype="bool"), dtype="int32"), {"x": x}, np.array([1, 0, 1], np.int32))


@pytest.mark.parametrize("opset", OPSETS)
def test_activations_with_parameters(opset):
    x = spread(-6, 6, (2, 3, 4, 5))
    w = x.astype(np.float64)
    cases = [
        (lambda x: mb.clamped_relu(x=x, alpha=0.3, beta=2.0), np.minimum(np.where(w >= 0, w, 0.3 * w), 2)),
        (lambda x: mb.clamped_relu(x=x, alpha=0.3, beta=-1.0), np.minimum(np.where(w >= 0, w, 0.3 * w), -1)),
        (lambda x: mb.elu(x=x, alpha=1.5), np.where(w > 0, w, 1.5 * np.expm1(w))),
        (lambda x: mb.leaky_relu(x=x, alpha=0.2), np.where(w >= 0, w, 0.2 * w)),
        (lambda x: mb.linear_activation(x=x, alpha=2.0, beta=-3.0), 2 * w - 3),
        (lambda x: mb.scaled_tanh(x=x, alpha=1.7, beta=0.6), 1.7 * np.tanh(0.6 * w)),
        (lambda x: mb.sigmoid_hard(x=x, alpha=0.2, beta=0.5), np.clip(0.2 * w + 0.5, 0, 1)),
        (lambda x: mb.thresholded_relu(x=x, alpha=1.0), np.where(w >= 1, w, 0)),
        (lambda x: mb.thresholded_relu(x=x, alpha=-2.0), np.where(w >= -2, w, 0)),
        (lambda x: mb.softmax(x=x), np.exp(w) / np.exp(w).sum(-1, keepdims=True)),
        (lambda x: mb.softmax(x=x, axis=1), np.exp(w) / np.exp(w).sum(1, keepdims=True)),
        (lambda x: mb.softmax(x=x, axis=-3), np.exp(w) / np.exp(w).sum(1, keepdims=True)),
    ]
    for build, expected in cases:
        check(build, {"x": x}, expected, opset=opset)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_per_channel_activations(rng, rank):
    x = rng.normal(size=(2, 3, 4, 5, 2)[:rank]).astype(np.float32)
    shape = (1, 3) + (1,) * (rank - 2)
    alpha, beta = np.float32([0.1, 0.4, -0.3]), np.float32([0.5, 1.5, 2.0])
    if rank != 4:
        alpha = np.float32([0.25, 0.25, 0.25])  # coremltools' own rule for prelu.
    w = x.astype(np.float64)
    check(lambda x: mb.prelu(x=x, alpha=alpha), {"x": x}, np.where(w > 0, w, w * alpha.reshape(shape)))
    check(
        lambda x: mb.softplus_parametric(x=x, alpha=alpha, beta=beta),
        {"x": x},
        alpha.reshape(shape) * np.logaddexp(w * beta.reshape(shape), 0),
    )


def test_prelu_channels_are_axis_1_also_where_the_last_axis_is_as_long(rng):
    x = rng.normal(size=(1, 3, 3, 3)).astype(np.float32)
    alpha = np.float32([0.1, 0.4, -0.3])
    check(lambda x: mb.prelu(x=x, alpha=alpha), {"x": x}, np.where(x > 0, x, x * alpha.reshape(1, 3, 1, 1)))


@pytest.mark.parametrize("mode", ["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"])
def test_gelu(mode):
    x = spread(-5, 5)
    t = torch.from_numpy(x.astype(np.float64))
    expected = {
        "EXACT": torch.nn.functional.gelu(t),
        "TANH_APPROXIMATION": torch.nn.functional.gelu(t, approximate="tanh"),
        "SIGMOID_APPROXIMATION": t * torch.sigmoid(1.702 * t),
    }[mode].numpy()
    check(lambda x: mb.gelu(x=x, mode=mode), {"x": x}, expected)


def test_softmax_of_large_and_masked_logits():
    x = np.array([[1e4, 1e4 - 1, -1e4], [-np.inf, 0, 1]], np.float32)
    shifted = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    check(lambda x: mb.softmax(x=x), {"x": x}, shifted / shifted.sum(-1, keepdims=True))


@pytest.mark.parametrize("alpha", [np.float32(1 / 6), np.float32(np.float16(1 / 6))])
@pytest.mark.parametrize("thresholded", [False, True])
def test_hardswish_is_exact_for_the_stored_constant(alpha, thresholded):
    """Fused to OpenVINO's HSwish, for 1/6 rounded to float16 too."""
    x = spread(-8, 8, (2, 3, 4, 40))
    w = x.astype(np.float64)
    expected = (np.where(w >= -3, w, 0) if thresholded else w) * np.clip(w * float(alpha) + 0.5, 0, 1)

    def build(x):
        factor = mb.sigmoid_hard(x=x, alpha=alpha, beta=np.float32(0.5))
        return mb.mul(x=mb.thresholded_relu(x=x, alpha=np.float32(-3)) if thresholded else x, y=factor)

    # Between -3 and the zero of the factor the threshold is lost: 3 * |1/2 - 3 alpha|, none in float32.
    lost = 3 * abs(0.5 - 3 * float(alpha)) if thresholded else 0
    check(build, {"x": x}, expected, eps=64 + lost / (8 * np.finfo(np.float32).eps))


def test_select(rng):
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    y = rng.normal(size=(3, 1)).astype(np.float32)
    check(
        lambda x, y: mb.select(cond=mb.greater(x=x, y=np.float32(0)), a=x, b=y),
        {"x": x, "y": y},
        np.where(x > 0, x, y),
        eps=0,
    )
    i = np.array([[1, I32_MAX], [-3, 0]], np.int32)
    check(
        lambda i: mb.select(cond=mb.greater(x=i, y=np.int32(0)), a=i, b=np.int32(5)),
        {"i": i},
        np.where(i > 0, i, 5).astype(np.int32),
    )


def test_select_among_bools_by_one_of_them():
    x, y = np.float32([1, -1, 2, -2]), np.float32([-1, 1, 3, -3])

    def build(x, y):
        first, second = (mb.greater(x=v, y=np.float32(0)) for v in (x, y))
        chosen = mb.select(cond=first, a=second, b=first), mb.select(cond=first, a=first, b=second)
        return tuple(mb.cast(x=c, dtype="int32") for c in chosen)

    check(build, {"x": x, "y": y}, [np.int32([0, 0, 1, 0]), np.int32([1, 1, 1, 0])])


def test_thresholded_relu_of_infinity_below_the_threshold():
    x = np.array([-np.inf, -1, 2, np.inf], np.float32)
    check(lambda x: mb.thresholded_relu(x=x, alpha=1.0), {"x": x}, np.array([0, 0, 2, np.inf]))


def test_an_input_that_is_an_output(rng):
    """OpenVINO leaves the output buffer untouched when nothing lies between."""
    x = rng.normal(size=(2, 3)).astype(np.float32)
    check(lambda x: mb.identity(x=x), {"x": x}, x, eps=0)
    (first, second) = run(lambda x: [mb.identity(x=x), mb.relu(x=x)], {"x": x})
    np.testing.assert_array_equal(first, x)
    np.testing.assert_array_equal(second, np.maximum(x, 0))


def test_shapes_that_do_not_broadcast_are_refused_when_executed(rng):
    x, y = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    with pytest.raises(EngineError):
        run(lambda x, y: mb.add(x=x, y=y), {"x": x, "y": y}, dynamic={"x": [1], "y": [1]}, opset=IOS16)


def test_opsets_are_all_known(rng):
    x = rng.normal(size=(2, 3)).astype(np.float32)
    for opset in (IOS15, IOS16, IOS17, IOS18):
        check(lambda x: mb.relu(x=x), {"x": x}, np.maximum(x, 0), opset=opset)


def test_softplus_is_exact_to_some_units_wherever_it_lies():
    x = np.concatenate([np.linspace(-87, 100, 2001), np.linspace(-1, 1, 501), [1e-40, -1e-40, 1e-10, -1e-10, 0.0, -0.0]])
    x = x.astype(np.float32).reshape(1, 2, -1)
    beta, alpha = np.array([2.0, 0.25], np.float32), np.array([0.5, 4.0], np.float32)
    column = lambda v: v.astype(np.float64).reshape(1, 2, 1)  # noqa: E731
    plain, parametric = run(
        lambda x: (mb.softplus(x=x), mb.softplus_parametric(x=x, alpha=alpha, beta=beta)),
        {"x": x},
    )
    assert (plain >= 0).all() and (parametric >= 0).all()
    np.testing.assert_allclose(plain, np.logaddexp(0, x.astype(np.float64)), rtol=4 * np.finfo(np.float32).eps, atol=1.2e-38)
    expected = column(alpha) * np.logaddexp(0, column(beta) * x)
    np.testing.assert_allclose(parametric, expected, rtol=4 * np.finfo(np.float32).eps, atol=1.2e-38)


def test_mish_is_exact_where_the_exponential_is_small():
    x = np.array([-60, -30, -17, -5, -1, 0, 1, 5, 30], np.float32)
    expected = x * np.tanh(np.logaddexp(0, x.astype(np.float64)))
    (result,) = run(lambda x: mb.mul(x=x, y=mb.tanh(x=mb.softplus(x=x))), {"x": x})
    np.testing.assert_allclose(result, expected, rtol=8 * np.finfo(np.float32).eps)


def test_erf_and_elu_are_exact_near_zero():
    x = np.array([-0.7, -0.4, -0.3, -0.1, -1e-3, -1e-7, -1e-30, 0, 1e-30, 1e-7, 1e-3, 0.1, 0.49, 0.51, 2], np.float32)
    erf, elu = run(lambda x: (mb.erf(x=x), mb.elu(x=x, alpha=np.float32(1.5))), {"x": x})
    wide = x.astype(np.float64)
    np.testing.assert_allclose(erf, torch.erf(torch.from_numpy(wide)).numpy(), rtol=8 * np.finfo(np.float32).eps)
    np.testing.assert_allclose(elu, np.where(wide > 0, wide, 1.5 * np.expm1(wide)), rtol=8 * np.finfo(np.float32).eps)


GELU_BY_ERF, GELU_BY_TANH = (np.sqrt(0.5),), (np.sqrt(2 / np.pi), 0.044715)


@pytest.mark.parametrize("constants", [GELU_BY_ERF, (0.7075,), (float(np.float16(np.sqrt(0.5))),)])
def test_what_is_nearly_a_gelu_by_erf_is_computed_as_it_says(constants):
    x = np.linspace(-6, 6, 401).astype(np.float32)
    half, one, scale = np.float32(0.5), np.float32(1), np.float32(constants[0])
    expected = x * 0.5 * (1 + torch.erf(torch.from_numpy(x.astype(np.float64) * scale)).numpy())
    check(lambda x: mb.mul(x=mb.mul(x=x, y=half), y=mb.add(x=mb.erf(x=mb.mul(x=x, y=scale)), y=one)), {"x": x}, expected, eps=8)


@pytest.mark.parametrize("constants", [GELU_BY_TANH, (0.7975, 0.044715), (np.sqrt(2 / np.pi), 0.0447)])
def test_what_is_nearly_a_gelu_by_tanh_is_computed_as_it_says(constants):
    x = np.linspace(-6, 6, 401).astype(np.float32)
    outer, inner = (np.float32(constant) for constant in constants)
    wide = x.astype(np.float64)
    expected = wide * 0.5 * (1 + np.tanh(float(outer) * (wide + float(inner) * wide**3)))

    def build(x):
        cube = mb.mul(x=mb.pow(x=x, y=np.float32(3)), y=inner)
        bend = mb.tanh(x=mb.mul(x=mb.add(x=x, y=cube), y=outer))
        return mb.mul(x=mb.mul(x=x, y=np.float32(0.5)), y=mb.add(x=bend, y=np.float32(1)))

    check(build, {"x": x}, expected, eps=8)


@pytest.mark.parametrize("sixth", [1 / 6, 0.1667, float(np.float16(1 / 6))])
def test_what_is_nearly_a_hard_swish_is_computed_as_it_says(sixth):
    x = np.linspace(-6, 6, 401).astype(np.float32)
    factor = np.float32(sixth)
    expected = x.astype(np.float64) * np.clip(x.astype(np.float64) + 3, 0, 6) * float(factor)
    check(
        lambda x: mb.mul(x=x, y=mb.mul(x=mb.relu6(x=mb.add(x=x, y=np.float32(3))), y=factor)),
        {"x": x},
        expected,
        eps=8,
    )


def test_constants_of_a_chain_are_not_put_together_where_that_changes_the_result():
    x = np.array([1, 3, 7, 1e-7, 123456.7, 1e10, -1e12], np.float32)
    large, factor = np.float32(1e8), np.float32(1e30)
    check(lambda x: mb.sub(x=mb.add(x=x, y=large), y=large), {"x": x}, (x + large) - large, eps=0)
    check(lambda x: mb.sub(x=large, y=mb.sub(x=large, y=x)), {"x": x}, large - (large - x), eps=0)
    with np.errstate(over="ignore"):
        expected = (x * factor) * np.float32(1e-30)
    check(lambda x: mb.mul(x=mb.mul(x=x, y=factor), y=np.float32(1e-30)), {"x": x}, expected, eps=2)
    # Within a rounding they may.
    check(lambda x: mb.mul(x=mb.real_div(x=x, y=np.float32(1e6)), y=np.float32(1e3)), {"x": x}, x.astype(np.float64) / 1e3, eps=2)
