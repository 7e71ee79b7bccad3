"""avg_pool, l2_pool and max_pool against a window-by-window reference in float64."""

import itertools

import numpy as np
import pytest
import torch
from op_testing import IOS15, IOS16, check, mb


def output_size(size, k, s, begin, end, ceil):
    """As MIL counts windows."""
    if not ceil:
        return (size + begin + end - k) // s + 1
    n = (size + begin + end - k + s - 1) // s + 1
    return n - 1 if (n - 1) * s >= size + begin and begin + end > 0 else n


def pool_reference(x, kind, kernel, strides, pads, ceil=False, exclude=False):
    """pads: (begin, end) per axis. The divisor of an average counts the padding asked for, not what ceil adds."""
    x = x.astype(np.float64)
    sizes = [output_size(n, k, s, *p, ceil) for n, k, s, p in zip(x.shape[2:], kernel, strides, pads)]
    y = np.empty((*x.shape[:2], *sizes))
    for position in itertools.product(*map(range, sizes)):
        window, padded_count = [slice(None)] * 2, 1
        for i, p in enumerate(position):
            start = p * strides[i] - pads[i][0]
            stop = start + kernel[i]
            padded_count *= min(stop, x.shape[i + 2] + pads[i][1]) - start
            window.append(slice(max(start, 0), min(stop, x.shape[i + 2])))
        part = x[tuple(window)].reshape(*x.shape[:2], -1)
        if kind == "max":
            value = part.max(-1)
        elif kind == "l2":
            value = np.sqrt((part**2).sum(-1))
        else:
            value = part.sum(-1) / (part.shape[-1] if exclude else padded_count)
        y[(slice(None), slice(None), *position)] = value
    return y


BUILDERS = {"avg": mb.avg_pool, "max": mb.max_pool, "l2": mb.l2_pool}
KERNELS = {1: ([3], [2]), 2: ([3, 2], [2, 1]), 3: ([2, 3, 2], [1, 2, 2])}


@pytest.mark.parametrize("kind", ["avg", "max", "l2"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("pad_type", ["valid", "custom", "same", "same_lower"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_pool(rng, kind, n, pad_type, dynamic):
    if kind == "l2" and n == 3:
        return  # MIL has no such operation.
    x = rng.normal(size=(2, 3, *[8, 7, 6][:n])).astype(np.float32)
    kernel, strides = KERNELS[n]
    flat = [1, 0, 0, 1, 1, 1][: 2 * n]
    if pad_type == "custom":
        pads = [(flat[2 * i], flat[2 * i + 1]) for i in range(n)]
    elif pad_type == "valid":
        pads = [(0, 0)] * n
    else:
        totals = [max((-(-size // s) - 1) * s + k - size, 0) for size, k, s in zip(x.shape[2:], kernel, strides)]
        pads = [((t + 1) // 2, t // 2) if pad_type == "same_lower" else (t // 2, (t + 1) // 2) for t in totals]
    attributes = {"pad": flat} if pad_type == "custom" else {}
    check(
        lambda x: BUILDERS[kind](x=x, kernel_sizes=kernel, strides=strides, pad_type=pad_type, **attributes),
        {"x": x},
        pool_reference(x, kind, kernel, strides, pads),
        opset=IOS16 if pad_type == "same_lower" else IOS15,
        dynamic={"x": list(range(2, n + 2))} if dynamic else (),
    )


@pytest.mark.parametrize("pad_type", ["custom", "same"])
def test_avg_pool_excludes_padding(rng, pad_type):
    x = rng.normal(size=(1, 2, 7, 6)).astype(np.float32)
    pads = [(1, 1), (1, 0)] if pad_type == "custom" else [(1, 1), (0, 1)]
    attributes = {"pad": [1, 1, 1, 0]} if pad_type == "custom" else {}
    check(
        lambda x: mb.avg_pool(
            x=x,
            kernel_sizes=[3, 2],
            strides=[2, 1],
            pad_type=pad_type,
            exclude_padding_from_average=True,
            **attributes,
        ),
        {"x": x},
        pool_reference(x, "avg", [3, 2], [2, 1], pads, exclude=True),
    )


@pytest.mark.parametrize("kind", ["avg", "max", "l2"])
@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("size", [5, 8])
@pytest.mark.parametrize("kernel, stride, pad", [(3, 2, 1), (3, 3, 1), (2, 3, 0), (2, 3, 1), (4, 3, 2)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_ceil_mode(rng, kind, exclude, size, kernel, stride, pad, dynamic):
    """engine.md, pitfall 4: with padding included, OpenVINO's ceil_torch differs from torch by up to 0.3."""
    if exclude and kind != "avg":
        return
    x = rng.normal(size=(1, 2, size)).astype(np.float32)
    n = output_size(size, kernel, stride, pad, pad, True)
    if (n - 1) * stride - pad >= size:
        return  # A window over nothing: MIL does not say what it gives.
    attributes = {"exclude_padding_from_average": exclude} if kind == "avg" else {}
    check(
        lambda x: BUILDERS[kind](
            x=x,
            kernel_sizes=[kernel],
            strides=[stride],
            pad_type="custom",
            pad=[pad, pad],
            ceil_mode=True,
            **attributes,
        ),
        {"x": x},
        pool_reference(x, kind, [kernel], [stride], [(pad, pad)], ceil=True, exclude=exclude),
        dynamic={"x": [2]} if dynamic else (),
    )


@pytest.mark.parametrize("include", [True, False])
def test_ceil_mode_is_torchs(rng, include):
    x = rng.normal(size=(1, 3, 10, 9)).astype(np.float32)
    expected = torch.nn.functional.avg_pool2d(
        torch.from_numpy(x).double(), 3, 2, 1, ceil_mode=True, count_include_pad=include
    ).numpy()
    check(
        lambda x: mb.avg_pool(
            x=x,
            kernel_sizes=[3, 3],
            strides=[2, 2],
            pad_type="custom",
            pad=[1, 1, 1, 1],
            ceil_mode=True,
            exclude_padding_from_average=not include,
        ),
        {"x": x},
        expected,
    )


def test_strides_default_to_one(rng):
    x = rng.normal(size=(1, 1, 5)).astype(np.float32)
    check(
        lambda x: mb.max_pool(x=x, kernel_sizes=[2], pad_type="valid"),
        {"x": x},
        pool_reference(x, "max", [2], [1], [(0, 0)]),
    )
