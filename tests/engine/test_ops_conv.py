"""conv and conv_transpose against torch in float64."""

import numpy as np
import pytest
import torch
from op_testing import IOS15, IOS16, IOS17, IOS18, EngineError, _engine, check, mb, run, save_program

CONV = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
CONV_TRANSPOSE = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}


def f64(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float64))


def conv_reference(x, w, bias=None, strides=None, pads=None, dilations=None, groups=1):
    """pads: (begin, end) per spatial axis."""
    n = x.ndim - 2
    pads = pads or [(0, 0)] * n
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    return CONV[n](f64(padded), f64(w), None if bias is None else f64(bias), strides or 1, 0, dilations or 1, groups).numpy()


def same_pads(shape, kernel, strides, dilations, lower=False):
    pads = []
    for size, k, s, d in zip(shape, kernel, strides, dilations):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        half = total // 2
        pads.append((total - half, half) if lower else (half, total - half))
    return pads


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dynamic", [False, True])
def test_conv_custom_pads(rng, n, groups, dynamic):
    x = rng.normal(size=(2, 4, *[9, 8, 7][:n])).astype(np.float32)
    w = rng.normal(size=(8, 4 // groups, *[3, 2, 3][:n])).astype(np.float32)
    b = rng.normal(size=8).astype(np.float32)
    strides, dilations, pads = [2, 1, 1][:n], [1, 2, 1][:n], [1, 0, 2, 1, 0, 1][: 2 * n]
    check(
        lambda x: mb.conv(x=x, weight=w, bias=b, strides=strides, dilations=dilations, pad_type="custom", pad=pads, groups=groups),
        {"x": x},
        conv_reference(x, w, b, strides, [(pads[2 * i], pads[2 * i + 1]) for i in range(n)], dilations, groups),
        dynamic={"x": [0, *range(2, n + 2)]} if dynamic else (),
    )


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dynamic", [False, True])
def test_conv_same(rng, pad_type, n, dynamic):
    x = rng.normal(size=(1, 3, *[9, 8, 7][:n])).astype(np.float32)
    w = rng.normal(size=(5, 3, *[4, 3, 2][:n])).astype(np.float32)
    strides, dilations = [2, 3, 1][:n], [1, 1, 2][:n]
    pads = same_pads(x.shape[2:], w.shape[2:], strides, dilations, pad_type == "same_lower")
    check(
        lambda x: mb.conv(x=x, weight=w, strides=strides, dilations=dilations, pad_type=pad_type),
        {"x": x},
        conv_reference(x, w, None, strides, pads, dilations),
        opset=IOS16,
        dynamic={"x": list(range(2, n + 2))} if dynamic else (),
    )


def network_layer(rng):
    """A 3x3 convolution of the size that networks have, with what follows one: the program, its inputs, and the result."""
    x = rng.normal(size=(2, 32, 19, 22)).astype(np.float32)
    shortcut = rng.normal(size=(2, 64, 19, 22)).astype(np.float32)
    w = rng.normal(size=(64, 32, 3, 3)).astype(np.float32)
    b = rng.normal(size=64).astype(np.float32)

    def build(x, shortcut):
        y = mb.conv(x=x, weight=w, bias=b, pad_type="same", name="convolution")
        return mb.relu(x=mb.add(x=y, y=shortcut, name="sum"), name="activation")

    expected = np.maximum(conv_reference(x, w, b, pads=[(1, 1), (1, 1)]) + shortcut, 0)
    return build, {"x": x, "shortcut": shortcut}, expected


@pytest.mark.parametrize("mode", ["float32", "low_precision"])
def test_conv_of_a_network(rng, mode):
    build, inputs, expected = network_layer(rng)
    check(build, inputs, expected, mode=mode, eps=8)


def test_what_follows_a_conv_is_one_operation_of_the_profile(rng, tmp_path):
    build, inputs, _ = network_layer(rng)
    model = _engine.load(save_program(build, inputs, tmp_path), threads=1)
    _, events, _ = model.inspect(inputs, timings=True)
    operations = {event[1]: event[2] for event in events if event[0] == "operation" and event[2]}
    assert operations == {"activation": "relu"}


def test_conv_defaults(rng):
    x, w = rng.normal(size=(1, 2, 5)).astype(np.float32), rng.normal(size=(3, 2, 3)).astype(np.float32)
    check(lambda x: mb.conv(x=x, weight=w), {"x": x}, conv_reference(x, w))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_conv_weight_is_an_input(rng, groups):
    x = rng.normal(size=(1, 6, 8, 8)).astype(np.float32)
    w = rng.normal(size=(6, 6 // groups, 3, 3)).astype(np.float32)
    check(
        lambda x, w: mb.conv(x=x, weight=w, pad_type="custom", pad=[1, 1, 1, 1], groups=groups),
        {"x": x, "w": w},
        conv_reference(x, w, None, None, [(1, 1), (1, 1)], None, groups),
    )


def test_conv_ios17_weight_of_another_type(rng):
    x, w = rng.normal(size=(1, 2, 6, 6)).astype(np.float32), rng.normal(size=(3, 2, 3, 3)).astype(np.float16)
    b = rng.normal(size=3).astype(np.float16)
    check(lambda x: mb.conv(x=x, weight=w, bias=b), {"x": x}, conv_reference(x, w, b), opset=IOS17)


def test_conv_followed_by_batch_norm_and_relu(rng):
    x, w = rng.normal(size=(1, 3, 8, 8)).astype(np.float32), rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    mean, var = rng.normal(size=4).astype(np.float32), rng.uniform(0.5, 2, size=4).astype(np.float32)
    gamma, beta = rng.normal(size=4).astype(np.float32), rng.normal(size=4).astype(np.float32)
    y = conv_reference(x, w)
    shape = (1, 4, 1, 1)
    norm = (y - mean.reshape(shape)) / np.sqrt(var.reshape(shape).astype(np.float64) + np.float32(1e-5))
    expected = np.maximum(norm * gamma.reshape(shape) + beta.reshape(shape), 0)
    check(
        lambda x: mb.relu(
            x=mb.batch_norm(x=mb.conv(x=x, weight=w), mean=mean, variance=var, gamma=gamma, beta=beta, epsilon=np.float32(1e-5))
        ),
        {"x": x},
        expected,
    )


def transposed_reference(x, w, strides, dilations, groups, begin, out):
    """The full transposed convolution, from `begin` on for `out` elements per axis; zeros beyond its end."""
    n = x.ndim - 2
    y = CONV_TRANSPOSE[n](f64(x), f64(w), None, strides, 0, 0, groups, dilations).numpy()
    pads = [(0, max(b + o - size, 0)) for b, o, size in zip(begin, out, y.shape[2:])]
    y = np.pad(y, [(0, 0), (0, 0), *pads])
    for axis in range(n):
        y = np.take(y, np.arange(begin[axis], begin[axis] + out[axis]), axis + 2)
    return y


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dynamic", [False, True])
def test_conv_transpose_custom(rng, n, groups, dynamic):
    x = rng.normal(size=(2, 4, *[5, 4, 3][:n])).astype(np.float32)
    w = rng.normal(size=(4, 6 // groups, *[3, 2, 3][:n])).astype(np.float32)
    b = rng.normal(size=6).astype(np.float32)
    strides, dilations, pads = [2, 3, 1][:n], [1, 2, 1][:n], [1, 0, 0, 1, 1, 1][: 2 * n]
    full = [(s - 1) * st + (k - 1) * d + 1 for s, st, k, d in zip(x.shape[2:], strides, w.shape[2:], dilations)]
    out = [f - pads[2 * i] - pads[2 * i + 1] for i, f in enumerate(full)]
    expected = transposed_reference(x, w, strides, dilations, groups, pads[::2], out)
    check(
        lambda x: mb.conv_transpose(
            x=x, weight=w, bias=b, strides=strides, dilations=dilations, pad_type="custom", pad=pads, groups=groups
        ),
        {"x": x},
        expected + b.reshape(1, -1, *[1] * n),
        dynamic={"x": list(range(2, n + 2))} if dynamic else (),
    )


@pytest.mark.parametrize("kernel, stride", [(1, 2), (2, 3), (3, 3), (3, 2), (4, 2)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_conv_transpose_same(rng, kernel, stride, dynamic):
    """As many outputs as input * stride, also where the kernel is smaller than the stride."""
    x = rng.normal(size=(1, 2, 4, 5)).astype(np.float32)
    w = rng.normal(size=(2, 3, kernel, kernel)).astype(np.float32)
    begin = max(kernel - stride, 0) // 2
    check(
        lambda x: mb.conv_transpose(x=x, weight=w, strides=[stride, stride], pad_type="same"),
        {"x": x},
        transposed_reference(x, w, stride, 1, 1, [begin, begin], [4 * stride, 5 * stride]),
        dynamic={"x": [2, 3]} if dynamic else (),
    )


@pytest.mark.parametrize("output", [(7, 9), (8, 10), (9, 11)])
def test_conv_transpose_output_shape(rng, output):
    x = rng.normal(size=(1, 2, 4, 5)).astype(np.float32)
    w = rng.normal(size=(2, 3, 3, 3)).astype(np.float32)
    check(
        lambda x: mb.conv_transpose(x=x, weight=w, strides=[2, 2], pad_type="valid", output_shape=[1, 3, *output]),
        {"x": x},
        transposed_reference(x, w, 2, 1, 1, [0, 0], output),
    )


def test_conv_transpose_output_shape_beyond_the_result(rng):
    """Rows that no input reaches are zero, plus the bias."""
    x, w = rng.normal(size=(1, 1, 3)).astype(np.float32), rng.normal(size=(1, 1, 2)).astype(np.float32)
    check(
        lambda x: mb.conv_transpose(
            x=x, weight=w, bias=np.array([0.5], np.float32), strides=[2], pad_type="valid", output_shape=[1, 1, 7]
        ),
        {"x": x},
        transposed_reference(x, w, 2, 1, 1, [0], [7]) + 0.5,
    )


def test_conv_transpose_weight_is_an_input(rng):
    x, w = rng.normal(size=(1, 4, 5, 5)).astype(np.float32), rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    check(
        lambda x, w: mb.conv_transpose(x=x, weight=w, pad_type="valid"),
        {"x": x, "w": w},
        transposed_reference(x, w, 1, 1, 1, [0, 0], [7, 7]),
        opset=IOS17,
    )


@pytest.mark.parametrize("opset", [IOS15, IOS17, IOS18])
def test_float16_mode_rounds_the_result(rng, opset):
    x, w = rng.normal(size=(1, 2, 6)).astype(np.float32), rng.normal(size=(3, 2, 3)).astype(np.float16)

    def build(x):
        y = mb.conv(x=mb.cast(x=x, dtype="fp16"), weight=w)
        return mb.cast(x=y, dtype="fp32")

    (y,) = run(build, {"x": x}, opset=opset, mode="float16")
    np.testing.assert_array_equal(y, y.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(y, conv_reference(x.astype(np.float16), w), rtol=2e-3, atol=2e-3)


def test_a_refusal_names_the_operation_the_output_and_the_opset(rng):
    x, w = rng.normal(size=(1, 2, 6)).astype(np.float32), rng.normal(size=(2, 2, 3)).astype(np.float32)

    def build(x):
        return mb.conv_transpose(x=x, weight=w, strides=[2], output_shape=[1, 2, 13], name="deconvolved")

    with pytest.raises(EngineError) as caught:
        run(build, {"x": x}, dynamic={"x": [2]})
    assert "conv_transpose -> deconvolved (CoreML5)" in str(caught.value)
