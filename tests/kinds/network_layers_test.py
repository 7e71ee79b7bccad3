"""Every kind of layer that is translated, against NumPy and PyTorch."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from network_testing import MATRIX, RNN, TOLERANCE, network, normal, run, t, w


def border(top: int, bottom: int, left: int, right: int) -> dict[str, Any]:
    return {"borderAmounts": [{"startEdgeSize": top, "endEdgeSize": bottom}, {"startEdgeSize": left, "endEdgeSize": right}]}


IMAGE = normal(2, 4, 7, 9)
POSITIVE = np.abs(normal(3, 5)) + np.float32(0.1)
K = normal(6, 4, 3, 3)
K_GROUPED = normal(6, 2, 3, 3)
K_DE = normal(4, 5, 3, 3)
B6, B5, C4 = normal(6), normal(5), normal(4)
C4_POSITIVE = np.abs(normal(4)) + np.float32(0.1)
CUBE = normal(1, 2, 5, 6, 7)
K3 = normal(3, 2, 2, 2, 2)


def conv(extra: dict[str, Any] | None = None, kernel: np.ndarray = K) -> dict[str, Any]:
    fields = {
        "outputChannels": 6,
        "kernelChannels": kernel.shape[1],
        "kernelSize": [3, 3],
        "hasBias": True,
        "weights": w(kernel),
        "bias": w(B6),
    }
    return {**fields, **(extra or {})}


def deconv(extra: dict[str, Any] | None = None) -> dict[str, Any]:
    fields = {"outputChannels": 5, "kernelChannels": 4, "kernelSize": [3, 3], "isDeconvolution": True, "weights": w(K_DE)}
    return {**fields, "hasBias": True, "bias": w(B5), "stride": [2, 2], **(extra or {})}


def pool(x: np.ndarray, mode: str, kernel: int, stride: int, pad: tuple[int, int, int, int], exclude: bool = False) -> np.ndarray:
    """Windows one by one; pad: top, bottom, left, right."""
    fill = -np.inf if mode == "max" else 0.0
    padded = np.pad(x, [(0, 0), (0, 0), pad[:2], pad[2:]], constant_values=fill)
    inside = np.pad(np.ones_like(x), [(0, 0), (0, 0), pad[:2], pad[2:]])
    rows, columns = ((extent - kernel) // stride + 1 for extent in padded.shape[2:])
    result = np.zeros((*x.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = np.s_[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            values = padded[window].reshape(*x.shape[:2], -1)
            if mode == "max":
                result[:, :, i, j] = values.max(-1)
            elif mode == "l2":
                result[:, :, i, j] = np.sqrt((values**2).sum(-1))
            else:
                count = inside[window].reshape(*x.shape[:2], -1).sum(-1) if exclude else values.shape[-1]
                result[:, :, i, j] = values.sum(-1) / count
    return result


def sampled(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Linearly at real coordinates."""
    result = np.zeros((*x.shape[:-2], len(rows), len(columns)))
    for i, r in enumerate(np.clip(rows, 0, x.shape[-2] - 1)):
        for j, c in enumerate(np.clip(columns, 0, x.shape[-1] - 1)):
            r0, c0 = int(r), int(c)
            r1, c1 = min(r0 + 1, x.shape[-2] - 1), min(c0 + 1, x.shape[-1] - 1)
            a, b = r - r0, c - c0
            result[..., i, j] = (1 - a) * ((1 - b) * x[..., r0, c0] + b * x[..., r0, c1]) + a * (
                (1 - b) * x[..., r1, c0] + b * x[..., r1, c1]
            )
    return result


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def standardized(x: np.ndarray, axes: tuple, epsilon: float) -> np.ndarray:
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def depth_to_space(x: np.ndarray, block: int) -> np.ndarray:
    n, c, h, v = x.shape
    return (
        x.reshape(n, block, block, c // block**2, h, v).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // block**2, h * block, v * block)
    )


def lrn(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    result = np.zeros(x.shape)
    for c in range(x.shape[1]):
        low, high = max(0, c - (size - 1) // 2), c + size // 2 + 1
        result[:, c] = x[:, c] / (k + alpha / size * (x[:, low:high] ** 2).sum(1)) ** beta
    return result


PRELU = np.float32([0.1, 0.2, 0.3, -0.4])[:, None, None]
ACTIVATIONS = {
    "linear": ({"alpha": 2, "beta": 0.5}, lambda x: 2 * x + 0.5),
    "ReLU": ({}, lambda x: np.maximum(x, 0)),
    "leakyReLU": ({"alpha": 0.25}, lambda x: np.where(x > 0, x, 0.25 * x)),
    "thresholdedReLU": ({"alpha": 0.5}, lambda x: np.where(x >= 0.5, x, 0)),
    "PReLU": ({"alpha": w(PRELU)}, lambda x: np.where(x > 0, x, PRELU * x)),
    "tanh": ({}, np.tanh),
    "scaledTanh": ({"alpha": 1.7, "beta": 0.6}, lambda x: 1.7 * np.tanh(0.6 * x)),
    "sigmoid": ({}, lambda x: 1 / (1 + np.exp(-x))),
    "sigmoidHard": ({"alpha": 0.2, "beta": 0.5}, lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    "ELU": ({"alpha": 1.5}, lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))),
    "softsign": ({}, lambda x: x / (1 + np.abs(x))),
    "softplus": ({}, lambda x: np.log1p(np.exp(x))),
    "parametricSoftplus": ({"alpha": w(PRELU), "beta": w([2.0])}, lambda x: PRELU * np.log1p(np.exp(2 * x))),
}
UNARY = {
    "SQRT": lambda x: np.sqrt(x),
    "RSQRT": lambda x: 1 / np.sqrt(x + 1e-3),
    "INVERSE": lambda x: 1 / (x + 1e-3),
    "POWER": lambda x: x**1.5,
    "EXP": np.exp,
    "LOG": np.log,
    "ABS": np.abs,
    "THRESHOLD": lambda x: np.maximum(x, 1.5),
}
UNIT = np.tanh(normal(3, 5)) * np.float32(0.9)
FUNCTIONS = {
    "ceil": (MATRIX, np.ceil), "floor": (MATRIX, np.floor), "sign": (MATRIX, np.sign), "round": (MATRIX, np.round),
    "exp2": (MATRIX, np.exp2), "sin": (MATRIX, np.sin), "cos": (MATRIX, np.cos), "tan": (UNIT, np.tan), "asin": (UNIT, np.arcsin),
    "acos": (UNIT, np.arccos), "atan": (MATRIX, np.arctan), "sinh": (MATRIX, np.sinh), "cosh": (MATRIX, np.cosh), "tanh": (MATRIX, np.tanh),
    "asinh": (MATRIX, np.arcsinh), "acosh": (POSITIVE + 1, np.arccosh), "atanh": (UNIT, np.arctanh), "copy": (MATRIX, lambda x: x),
    "erf": (MATRIX, lambda x: torch.erf(t(x)).numpy()),
}  # fmt: skip
ROW, COLUMN = normal(1, 5), normal(3, 1)
PAIRS = {
    "addBroadcastable": np.add, "subtractBroadcastable": np.subtract, "multiplyBroadcastable": np.multiply, "divideBroadcastable": np.divide,
    "maxBroadcastable": np.maximum, "minBroadcastable": np.minimum, "floorDivBroadcastable": np.floor_divide, "modBroadcastable": np.mod,
    "powBroadcastable": lambda a, b: np.power(a, b),
}  # fmt: skip
COMPARISONS = {
    "equal": np.equal, "notEqual": np.not_equal, "lessThan": np.less, "lessEqual": np.less_equal, "greaterThan": np.greater,
    "greaterEqual": np.greater_equal,
}  # fmt: skip
STEPS = np.round(MATRIX)
FLAGS_A, FLAGS_B = np.float32([[1, 0, 2], [0, 0, 5]]), np.float32([[1, 1, 0], [0, 3, 0]])
REDUCTIONS = {
    "reduceSum": np.sum, "reduceMean": np.mean, "reduceMax": np.max, "reduceMin": np.min, "reduceProd": np.prod,
    "reduceLogSum": lambda x, axis, keepdims: np.log(x).sum(axis=axis, keepdims=keepdims),
    "reduceSumSquare": lambda x, axis, keepdims: (x**2).sum(axis=axis, keepdims=keepdims),
    "reduceL1": lambda x, axis, keepdims: np.abs(x).sum(axis=axis, keepdims=keepdims),
    "reduceL2": lambda x, axis, keepdims: np.sqrt((x**2).sum(axis=axis, keepdims=keepdims)),
    "reduceLogSumExp": lambda x, axis, keepdims: np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)),
}  # fmt: skip
OLD_REDUCTIONS = {
    "SUM": "reduceSum", "AVG": "reduceMean", "PROD": "reduceProd", "SUMSQUARE": "reduceSumSquare", "L1": "reduceL1", "L2": "reduceL2",
    "MAX": "reduceMax", "MIN": "reduceMin",
}  # fmt: skip
POSITIVES = np.abs(normal(2, 3, 4, 5)) + np.float32(0.2)
INDEX = np.float32([2, 0, -1])
SEQ_LENGTHS = np.float32([2, 0, 4])


# (identifier, kind, parameters, inputs, reference; with several outputs a list)
CASES: list[tuple[str, str, dict[str, Any], list[np.ndarray], Any]] = [
    ("conv valid", "convolution", conv(), [IMAGE], lambda x: F.conv2d(t(x), t(K), t(B6))),
    ("conv padded", "convolution", conv({"valid": {"paddingAmounts": border(1, 2, 0, 3)}, "stride": [2, 1]}), [IMAGE],
     lambda x: F.conv2d(F.pad(t(x), (0, 3, 1, 2)), t(K), t(B6), stride=(2, 1))),
    ("conv same", "convolution", conv({"same": {}, "stride": [2, 2]}), [IMAGE],
     # 7 and 9 rows and columns by 2: 4 and 5 results, 2 of padding in all.
     lambda x: F.conv2d(F.pad(t(x), (1, 1, 1, 1)), t(K), t(B6), stride=2)),
    ("conv same of even size", "convolution", conv({"same": {}, "stride": [2, 2]}), [IMAGE[:, :, :6, :8]],
     lambda x: F.conv2d(F.pad(t(x), (0, 1, 0, 1)), t(K), t(B6), stride=2)),
    ("conv same, top heavy", "convolution", conv({"same": {"asymmetryMode": "TOP_LEFT_HEAVY"}, "stride": [2, 2]}), [IMAGE[:, :, :6, :8]],
     lambda x: F.conv2d(F.pad(t(x), (1, 0, 1, 0)), t(K), t(B6), stride=2)),
    ("conv dilated", "convolution", conv({"dilationFactor": [2, 3]}), [IMAGE], lambda x: F.conv2d(t(x), t(K), t(B6), dilation=(2, 3))),
    ("conv grouped", "convolution", conv({"nGroups": 2}, K_GROUPED), [IMAGE], lambda x: F.conv2d(t(x), t(K_GROUPED), t(B6), groups=2)),
    ("conv of rank 5", "convolution", conv(), [IMAGE[:, None]], lambda x: F.conv2d(t(x[:, 0]), t(K), t(B6))[:, None]),
    ("conv by a value", "convolution", {"outputChannels": 6, "kernelChannels": 4}, [IMAGE, K], lambda x, k: F.conv2d(t(x), t(k))),
    ("deconv valid", "convolution", deconv(), [IMAGE], lambda x: F.conv_transpose2d(t(x), t(K_DE), t(B5), stride=2)),
    ("deconv cut", "convolution", deconv({"valid": {"paddingAmounts": border(1, 0, 2, 1)}}), [IMAGE],
     lambda x: F.conv_transpose2d(t(x), t(K_DE), t(B5), stride=2)[:, :, 1:, 2:-1]),
    ("deconv same", "convolution", deconv({"same": {}}), [IMAGE], lambda x: F.conv_transpose2d(t(x), t(K_DE), t(B5), stride=2)[:, :, :-1, :-1]),
    ("deconv of wide strides", "convolution", deconv({"same": {}, "stride": [4, 4]}), [IMAGE],
     lambda x: F.pad(F.conv_transpose2d(t(x), t(K_DE), None, stride=4), (0, 1, 0, 1)) + t(B5)[:, None, None]),
    ("deconv grouped", "convolution", {**deconv(), "outputChannels": 10, "nGroups": 2, "bias": w(np.tile(B5, 2))}, [IMAGE],
     lambda x: F.conv_transpose2d(t(x), t(K_DE), t(np.tile(B5, 2)), stride=2, groups=2)),
    ("deconv of a size", "convolution", deconv({"outputShape": [13, 18]}), [IMAGE],
     lambda x: F.conv_transpose2d(t(x), t(K_DE), t(B5), stride=2)[:, :, 1:14, 0:18]),
    ("conv 3d", "convolution3d", {"outputChannels": 3, "inputChannels": 2, "nGroups": 1, **{f"kernel{a}": 2 for a in ("Depth", "Height", "Width")},
     "weights": w(K3), "paddingType": "CUSTOM", "customPaddingFront": 1, "customPaddingRight": 2}, [CUBE],
     lambda x: F.conv3d(F.pad(t(x), (0, 2, 0, 0, 1, 0)), t(K3))),
    ("conv 3d same", "convolution3d", {"outputChannels": 3, "inputChannels": 2, "nGroups": 1, **{f"kernel{a}": 2 for a in ("Depth", "Height", "Width")},
     "weights": w(K3), "paddingType": "SAME"}, [CUBE], lambda x: F.conv3d(F.pad(t(x), (0, 1, 0, 1, 0, 1)), t(K3))),
    ("pool max", "pooling", {"type": "MAX", "stride": [2, 2], "valid": {"paddingAmounts": border(1, 1, 1, 1)}}, [IMAGE],
     lambda x: pool(x, "max", 3, 2, (1, 1, 1, 1))),
    ("pool average", "pooling", {"type": "AVERAGE", "stride": [2, 2], "valid": {"paddingAmounts": border(1, 1, 1, 1)}}, [IMAGE],
     lambda x: pool(x, "average", 3, 2, (1, 1, 1, 1))),
    ("pool average without padding", "pooling",
     {"type": "AVERAGE", "stride": [2, 2], "avgPoolExcludePadding": True, "valid": {"paddingAmounts": border(1, 1, 1, 1)}}, [IMAGE],
     lambda x: pool(x, "average", 3, 2, (1, 1, 1, 1), exclude=True)),
    ("pool l2", "pooling", {"type": "L2", "stride": [2, 2]}, [IMAGE], lambda x: pool(x, "l2", 3, 2, (0, 0, 0, 0))),
    ("pool global", "pooling", {"type": "AVERAGE", "globalPooling": True}, [IMAGE], lambda x: x.mean((2, 3), keepdims=True)),
    ("pool same", "pooling", {"type": "MAX", "kernelSize": [2, 2], "stride": [2, 2], "same": {}}, [IMAGE],
     lambda x: pool(x, "max", 2, 2, (0, 1, 0, 1))),
    ("pool with the last pixel", "pooling", {"type": "MAX", "kernelSize": [2, 2], "stride": [2, 2], "includeLastPixel": {"paddingAmounts": [0, 0]}},
     [IMAGE], lambda x: pool(x, "max", 2, 2, (0, 1, 0, 1))),
    ("pool average with the last pixel", "pooling",
     {"type": "AVERAGE", "stride": [2, 2], "includeLastPixel": {"paddingAmounts": [0, 0]}}, [IMAGE[:, :, :6, :8]],
     # Windows that reach beyond are divided by what they have: torch's ceil_mode.
     lambda x: F.avg_pool2d(t(x), 3, 2, ceil_mode=True)),
    ("pool 3d", "pooling3d", {"type": "MAX", **{f"{n}{a}": 2 for n in ("kernel", "stride") for a in ("Depth", "Height", "Width")}, "paddingType": "VALID"},
     [CUBE], lambda x: F.max_pool3d(t(x), 2)),
    ("pool 3d average", "pooling3d", {"type": "AVERAGE", **{f"{n}{a}": 2 for n in ("kernel", "stride") for a in ("Depth", "Height", "Width")},
     "paddingType": "CUSTOM", **{f"customPadding{s}": 1 for s in ("Front", "Back", "Top", "Bottom", "Left", "Right")}}, [CUBE],
     lambda x: F.avg_pool3d(t(x), 2, 2, 1)),
    ("pool 3d global", "globalPooling3d", {"type": "AVERAGE"}, [CUBE], lambda x: x.mean((2, 3, 4), keepdims=True)),
    ("upsample nearest", "upsample", {"scalingFactor": [2, 3]}, [IMAGE], lambda x: x.repeat(2, 2).repeat(3, 3)),
    ("upsample bilinear", "upsample", {"scalingFactor": [2, 3], "mode": "BILINEAR"}, [IMAGE[0]],
     lambda x: sampled(x, np.arange(14) * (7 - 0.5) / 13, np.arange(27) * (9 - 1 / 3) / 26)),
    ("upsample with corners", "upsample", {"scalingFactor": [2, 2], "mode": "BILINEAR", "linearUpsampleMode": "ALIGN_CORNERS_TRUE"}, [IMAGE],
     lambda x: F.interpolate(t(x), scale_factor=2, mode="bilinear", align_corners=True)),
    ("upsample without corners", "upsample", {"fractionalScalingFactor": [2.0, 2.0], "mode": "BILINEAR", "linearUpsampleMode": "ALIGN_CORNERS_FALSE"},
     [IMAGE], lambda x: F.interpolate(t(x), scale_factor=2, mode="bilinear", align_corners=False)),
    ("resize", "resizeBilinear", {"targetSize": [5, 4], "mode": {"samplingMethod": "STRICT_ALIGN_ENDPOINTS_MODE"}}, [IMAGE],
     lambda x: F.interpolate(t(x), (5, 4), mode="bilinear", align_corners=True)),
    ("resize as upsample", "resizeBilinear", {"targetSize": [14, 6], "mode": {"samplingMethod": "UPSAMPLE_MODE"}}, [IMAGE],
     lambda x: sampled(x, np.linspace(0, 7 - 7 / 14, 14), np.linspace(0, 9 - 9 / 6, 6))),
    ("resize as regions", "resizeBilinear", {"targetSize": [3, 5], "mode": {"samplingMethod": "ROI_ALIGN_MODE"}}, [IMAGE],
     lambda x: sampled(x, (np.arange(3) + 0.5) * 6 / 3, (np.arange(5) + 0.5) * 8 / 5)),
    ("resize to one", "resizeBilinear", {"targetSize": [1, 1], "mode": {"samplingMethod": "ALIGN_ENDPOINTS_MODE"}}, [IMAGE],
     lambda x: x[:, :, 3:4, 4:5]),
    ("crops", "cropResize", {"targetSize": [2, 3], "mode": {"samplingMethod": "STRICT_ALIGN_ENDPOINTS_MODE"}, "boxIndicesMode": {"boxMode": "CORNERS_HEIGHT_FIRST"},
     "spatialScale": 1.0}, [IMAGE[None], np.float32([[0, 1, 2, 4, 6], [1, 0, 0, 6, 8]]).reshape(2, 1, 5, 1, 1)],
     lambda x, b: np.stack([sampled(x[0, 0], np.linspace(1, 4, 2), np.linspace(2, 6, 3)), sampled(x[0, 1], np.linspace(0, 6, 2), np.linspace(0, 8, 3))])[:, None]),
    ("pad constant", "padding", {"constant": {"value": 1.5}, "paddingAmounts": border(1, 0, 2, 3)}, [IMAGE],
     lambda x: F.pad(t(x), (2, 3, 1, 0), value=1.5)),
    ("pad reflection", "padding", {"reflection": {}, "paddingAmounts": border(1, 2, 2, 3)}, [IMAGE], lambda x: F.pad(t(x), (2, 3, 1, 2), mode="reflect")),
    ("pad replication", "padding", {"replication": {}, "paddingAmounts": border(1, 2, 2, 3)}, [IMAGE], lambda x: F.pad(t(x), (2, 3, 1, 2), mode="replicate")),
    ("crop", "crop", {"cropAmounts": border(1, 2, 0, 3)}, [IMAGE], lambda x: x[:, :, 1:-2, :-3]),
    ("crop like", "crop", {"offset": [1, 2]}, [IMAGE, IMAGE[:, :, :3, :4]], lambda x, y: x[:, :, 1:4, 2:6]),
    *((f"activation {name}", "activation", {name: fields}, [IMAGE], reference) for name, (fields, reference) in ACTIVATIONS.items()),
    ("clamped relu", "clampedReLU", {"alpha": 0.25, "beta": 1.0}, [MATRIX], lambda x: np.minimum(np.where(x >= 0, x, 0.25 * x), 1)),
    *((f"unary {name}", "unary", {"type": name, "alpha": 1.5, "epsilon": 1e-3}, [POSITIVE], f) for name, f in UNARY.items()),
    ("unary scaled", "unary", {"type": "ABS", "scale": 2.0, "shift": -1.0}, [MATRIX], lambda x: np.abs(2 * x - 1)),
    *((f"function {kind}", kind, {}, [x], f) for kind, (x, f) in FUNCTIONS.items()),
    ("gelu", "gelu", {"mode": "EXACT"}, [MATRIX], lambda x: F.gelu(t(x))),
    ("gelu tanh", "gelu", {"mode": "TANH_APPROXIMATION"}, [MATRIX], lambda x: F.gelu(t(x), approximate="tanh")),
    ("clip", "clip", {"minVal": -0.5, "maxVal": 0.25}, [MATRIX], lambda x: np.clip(x, -0.5, 0.25)),
    ("add", "add", {}, [MATRIX, MATRIX * 2, MATRIX * 3], lambda a, b, c: a + b + c),
    ("add a number", "add", {"alpha": 2.5}, [MATRIX], lambda x: x + 2.5),
    ("multiply", "multiply", {}, [IMAGE, IMAGE[:, :, :1, :1]], lambda a, b: a * b),
    ("multiply by a number", "multiply", {"alpha": -2}, [MATRIX], lambda x: -2 * x),
    ("max", "max", {}, [MATRIX, ROW + 0 * MATRIX], np.maximum),
    ("min", "min", {}, [MATRIX, ROW + 0 * MATRIX], np.minimum),
    ("average", "average", {}, [MATRIX, 2 * MATRIX, MATRIX + 1], lambda a, b, c: (a + b + c) / 3),
    *((f"pair {kind}", kind, {}, [POSITIVE if kind == "powBroadcastable" else MATRIX, ROW], f) for kind, f in PAIRS.items()),
    *((f"compare {kind}", kind, {}, [STEPS, np.round(ROW)], f) for kind, f in COMPARISONS.items()),
    ("compare with a number", "greaterThan", {"alpha": 0.5}, [MATRIX], lambda x: x > 0.5),
    ("and", "logicalAnd", {}, [FLAGS_A, FLAGS_B], np.logical_and),
    ("or", "logicalOr", {}, [FLAGS_A, FLAGS_B], np.logical_or),
    ("xor", "logicalXor", {}, [FLAGS_A, FLAGS_B], np.logical_xor),
    ("not", "logicalNot", {}, [FLAGS_A], np.logical_not),
    ("where", "whereBroadcastable", {}, [np.float32([[1, 0, 2, 0, 3]]), MATRIX, COLUMN], lambda c, a, b: np.where(c != 0, a, b)),
    ("bias", "bias", {"shape": [4], "bias": w(C4)}, [IMAGE], lambda x: x + C4[:, None, None]),
    ("bias of an image", "bias", {"shape": [1, 7, 9], "bias": w(IMAGE[0, 0])}, [IMAGE], lambda x: x + IMAGE[0, 0]),
    ("scale", "scale", {"shapeScale": [4], "scale": w(C4), "hasBias": True, "shapeBias": [1], "bias": w([0.5])}, [IMAGE],
     lambda x: x * C4[:, None, None] + 0.5),
    ("flatten", "flatten", {}, [IMAGE], lambda x: x.reshape(2, -1, 1, 1)),
    ("flatten channels last", "flatten", {"mode": "CHANNEL_LAST"}, [IMAGE], lambda x: x.transpose(0, 2, 3, 1).reshape(2, -1, 1, 1)),
    ("reshape", "reshape", {"targetShape": [9, 4, 7]}, [IMAGE[:, None]], lambda x: x.reshape(2, 1, 9, 4, 7)),
    ("reshape channels last", "reshape", {"targetShape": [9, 4, 7], "mode": "CHANNEL_LAST"}, [IMAGE[:, None]],
     lambda x: x.transpose(0, 1, 3, 4, 2).reshape(2, 1, 4, 7, 9).transpose(0, 1, 4, 2, 3)),
    ("reshape into a sequence", "reshape", {"targetShape": [4, 2, 7, 9]}, [IMAGE[:, None]], lambda x: x.reshape(4, 1, 2, 7, 9)),
    ("permute", "permute", {"axis": [0, 3, 1, 2]}, [IMAGE[:, None]], lambda x: x.transpose(0, 1, 4, 2, 3)),
    ("permute with the sequence", "permute", {"axis": [2, 1, 0, 3]}, [IMAGE[:, None]], lambda x: x.transpose(3, 1, 2, 0, 4)),
    ("transpose", "transpose", {"axes": [2, 0, 1]}, [IMAGE[0]], lambda x: x.transpose(2, 0, 1)),
    ("depth to space", "reorganizeData", {"mode": "DEPTH_TO_SPACE", "blockSize": 2}, [normal(2, 8, 3, 4)], lambda x: depth_to_space(x, 2)),
    ("space to depth", "reorganizeData", {"mode": "SPACE_TO_DEPTH", "blockSize": 2}, [depth_to_space(normal(2, 8, 3, 4), 2)],
     lambda x: x.reshape(2, 2, 3, 2, 4, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 8, 3, 4)),
    ("pixel shuffle", "reorganizeData", {"mode": "PIXEL_SHUFFLE", "blockSize": 2}, [normal(2, 8, 3, 4)], lambda x: F.pixel_shuffle(t(x), 2)),
    ("slice", "slice", {"startIndex": 1, "endIndex": -1, "stride": 2, "axis": "WIDTH_AXIS"}, [IMAGE], lambda x: x[..., 1:-1:2]),
    ("slice of channels", "slice", {"startIndex": 0, "endIndex": 3, "stride": 1, "axis": "CHANNEL_AXIS"}, [IMAGE], lambda x: x[:, 0:3]),
    ("slice static", "sliceStatic", {"beginIds": [1, 0, -1], "beginMasks": [False, True, False], "endIds": [4, 0, 0], "endMasks": [False, True, False],
     "strides": [2, 1, -3], "squeezeMasks": [False, False, False]}, [IMAGE[0]], lambda x: x[1:4:2, :, -1:0:-3]),
    ("slice backwards to the end", "sliceStatic", {"beginIds": [0, 3], "beginMasks": [True, False], "endIds": [0, 0], "endMasks": [True, True],
     "strides": [1, -1]}, [MATRIX], lambda x: x[:, 3::-1]),
    ("slice squeezed", "sliceStatic", {"beginIds": [-1, 1], "beginMasks": [False, False], "endIds": [0, 4], "endMasks": [False, False], "strides": [1, 1],
     "squeezeMasks": [True, False]}, [MATRIX], lambda x: x[-1, 1:4]),
    ("concat", "concat", {}, [IMAGE, IMAGE * 2], lambda a, b: np.concatenate([a, b], 1)),
    ("concat of sequences", "concat", {"sequenceConcat": True}, [RNN, RNN * 2], lambda a, b: np.concatenate([a, b], 0)),
    ("concat nd", "concatND", {"axis": -1}, [MATRIX, MATRIX * 2], lambda a, b: np.concatenate([a, b], -1)),
    ("concat interleaved", "concatND", {"axis": 0, "interleave": True}, [MATRIX, MATRIX * 2], lambda a, b: np.stack([a, b], 1).reshape(6, 5)),
    ("stack", "stack", {"axis": -1}, [MATRIX, MATRIX * 2], lambda a, b: np.stack([a, b], -1)),
    ("split", "split", {"nOutputs": 2}, [IMAGE], lambda x: np.split(x, 2, 1)),
    ("split nd", "splitND", {"axis": 1, "splitSizes": [1, 4]}, [MATRIX], lambda x: [x[:, :1], x[:, 1:]]),
    ("repeat", "sequenceRepeat", {"nRepetitions": 3}, [RNN], lambda x: np.tile(x, (3, 1, 1, 1, 1))),
    ("tile", "tile", {"reps": [2, 3]}, [IMAGE[0]], lambda x: np.tile(x, (1, 2, 3))),
    ("reverse", "reverse", {"reverseDim": [True, False]}, [MATRIX], lambda x: x[::-1]),
    ("reverse sequences", "reverseSeq", {"batchAxis": 0, "sequenceAxis": 1}, [MATRIX, SEQ_LENGTHS],
     lambda x, n: np.stack([np.concatenate([row[: int(k)][::-1], row[int(k) :]]) for row, k in zip(x, n)])),
    ("squeeze", "squeeze", {"axes": [-1]}, [RNN], lambda x: x[..., 0]),
    ("squeeze all", "squeeze", {"squeezeAll": True}, [RNN], lambda x: x[..., 0, 0]),
    ("expand", "expandDims", {"axes": [0, -1]}, [MATRIX], lambda x: x[None, ..., None]),
    ("flatten to 2d", "flattenTo2D", {"axis": -1}, [IMAGE], lambda x: x.reshape(-1, 9)),
    ("reshape static", "reshapeStatic", {"targetShape": [0, -1, 9]}, [IMAGE], lambda x: x.reshape(2, -1, 9)),
    ("reshape like", "reshapeLike", {}, [IMAGE, np.zeros((8, 63), np.float32)], lambda x, y: x.reshape(8, 63)),
    ("reshape of the same rank", "rankPreservingReshape", {"targetShape": [0, 2, -1, 9]}, [IMAGE], lambda x: x.reshape(2, 2, 14, 9)),
    ("shape", "getShape", {}, [IMAGE], lambda x: np.float32(x.shape)),
    ("constant", "loadConstant", {"shape": [1, 3, 5], "data": w(MATRIX)}, [], lambda: MATRIX.reshape(1, 1, 1, 3, 5)),
    ("constant nd", "loadConstantND", {"shape": [5, 3], "data": w(MATRIX)}, [], lambda: MATRIX.reshape(5, 3)),
    ("fill", "fillStatic", {"value": 1.5, "targetShape": [2, 3]}, [], lambda: np.full((2, 3), 1.5)),
    ("fill like", "fillLike", {"value": 1.5}, [MATRIX], lambda x: np.full((3, 5), 1.5)),
    ("broadcast", "broadcastToStatic", {"targetShape": [2, 3, 5]}, [ROW], lambda x: np.broadcast_to(x, (2, 3, 5))),
    ("broadcast like", "broadcastToLike", {}, [ROW, MATRIX], lambda x, y: np.broadcast_to(x, (3, 5))),
    ("range", "rangeStatic", {"startValue": -1.0, "endValue": 4.0, "stepSizeValue": 1.5}, [], lambda: np.arange(-1, 4, 1.5)),
    ("pad nd", "constantPad", {"value": 7.0, "padAmounts": [1, 0, 0, 2]}, [MATRIX], lambda x: np.pad(x, [(1, 0), (0, 2)], constant_values=7)),
    ("pad to a size", "constantPad", {"value": 7.0, "padAmounts": [0, 6, 8, 0], "padToGivenOutputSizeMode": True}, [MATRIX],
     lambda x: np.pad(x, [(0, 3), (3, 0)], constant_values=7)),
    ("windows", "slidingWindows", {"axis": 1, "windowSize": 3, "step": 2}, [MATRIX], lambda x: np.stack([x[:, 0:3], x[:, 2:5]], 1)),
    ("batchnorm", "batchnorm", {"channels": 4, "gamma": w(C4), "beta": w(C4 * 2), "mean": w(C4 * 3), "variance": w(C4_POSITIVE), "epsilon": 1e-3}, [IMAGE],
     lambda x: F.batch_norm(t(x), t(C4 * 3), t(C4_POSITIVE), t(C4), t(C4 * 2), eps=1e-3)),
    ("instance norm", "batchnorm", {"channels": 4, "computeMeanVar": True, "instanceNormalization": True, "gamma": w(C4), "beta": w(C4 * 2)}, [IMAGE],
     lambda x: F.instance_norm(t(x), weight=t(C4), bias=t(C4 * 2), eps=1e-5)),
    ("norm of the batch", "batchnorm", {"channels": 4, "computeMeanVar": True, "gamma": w(C4), "beta": w(C4 * 2)}, [IMAGE],
     lambda x: F.batch_norm(t(x), None, None, t(C4), t(C4 * 2), training=True, eps=1e-5)),
    ("mvn", "mvn", {"normalizeVariance": True, "epsilon": 1e-3}, [IMAGE], lambda x: standardized(x, (2, 3), 1e-3)),
    ("mvn across channels", "mvn", {"acrossChannels": True}, [IMAGE], lambda x: x - x.mean((1, 2, 3), keepdims=True)),
    ("l2 normalize", "l2normalize", {"epsilon": 1e-3}, [IMAGE], lambda x: x / np.sqrt((x**2).sum((1, 2, 3), keepdims=True) + 1e-3)),
    ("lrn", "lrn", {"alpha": 0.5, "beta": 0.75, "localSize": 3, "k": 2.0}, [IMAGE], lambda x: lrn(x, 3, 0.5, 0.75, 2.0)),
    ("softmax", "softmax", {}, [IMAGE], lambda x: softmax(x, -3)),
    ("softmax nd", "softmaxND", {"axis": 0}, [MATRIX], lambda x: softmax(x, 0)),
    ("layer norm", "layerNormalization", {"normalizedShape": [7, 9], "eps": 1e-4, "gamma": w(IMAGE[0, 0]), "beta": w(IMAGE[0, 1])}, [IMAGE],
     lambda x: F.layer_norm(t(x), (7, 9), t(IMAGE[0, 0]), t(IMAGE[0, 1]), 1e-4)),
    *((f"{kind} of axes", kind, {"axes": [1, -1], "keepDims": True}, [POSITIVES], lambda x, f=f: f(x, axis=(1, 3), keepdims=True)) for kind, f in REDUCTIONS.items()),
    ("reduce all", "reduceSum", {"reduceAll": True}, [POSITIVES], lambda x: x.sum().reshape(1)),
    ("reduce without the axis", "reduceMean", {"axes": [0]}, [POSITIVES], lambda x: x.mean(0)),
    *((f"reduce {mode}", "reduce", {"mode": mode, "axis": "HW"}, [POSITIVES], lambda x, k=k: REDUCTIONS[k](x, axis=(2, 3), keepdims=True)) for mode, k in OLD_REDUCTIONS.items()),
    ("reduce LOGSUM", "reduce", {"mode": "LOGSUM", "axis": "CHW", "epsilon": 1e-3}, [POSITIVES], lambda x: np.log(x + 1e-3).sum((1, 2, 3), keepdims=True)),
    ("reduce ARGMAX", "reduce", {"mode": "ARGMAX", "axis": "C"}, [POSITIVES], lambda x: x.argmax(1)[:, None]),
    ("dot", "dot", {}, [RNN, RNN * 2], lambda a, b: (a * b).sum(2, keepdims=True)),
    ("cosine", "dot", {"cosineSimilarity": True}, [RNN, RNN[::-1]],
     lambda a, b: (a * b).sum(2, keepdims=True) / np.sqrt((a**2).sum(2, keepdims=True) * (b**2).sum(2, keepdims=True))),
    ("cumsum", "cumSum", {"axis": -1}, [MATRIX], lambda x: x.cumsum(-1)),
    ("cumsum exclusive and reversed", "cumSum", {"axis": 1, "excludeFinalSum": True, "reverse": True}, [MATRIX],
     lambda x: x[:, ::-1].cumsum(1)[:, ::-1] - x),
    ("band", "matrixBandPart", {"numLower": 1, "numUpper": -1}, [IMAGE], lambda x: np.triu(x, -1)),
    ("lower", "lowerTriangular", {"k": 1}, [MATRIX], lambda x: np.tril(x, 1)),
    ("upper", "upperTriangular", {"k": -1}, [MATRIX], lambda x: np.triu(x, -1)),
    ("inner product", "innerProduct", {"inputChannels": 5, "outputChannels": 3, "hasBias": True, "weights": w(MATRIX), "bias": w(C4[:3])}, [normal(2, 5)],
     lambda x: x @ MATRIX.T + C4[:3]),
    ("inner product of images", "innerProduct", {"inputChannels": 252, "outputChannels": 2, "weights": w(IMAGE)}, [IMAGE[:1]],
     lambda x: (x.reshape(1, -1) @ IMAGE.reshape(2, -1).T).reshape(1, 2, 1, 1)),
    ("inner product of a vector", "innerProduct", {"inputChannels": 5, "outputChannels": 3, "weights": w(MATRIX)}, [normal(5)], lambda x: MATRIX @ x),
    ("embedding", "embedding", {"inputDim": 5, "outputChannels": 3, "weights": w(MATRIX), "hasBias": True, "bias": w(C4[:3])},
     [np.float32([4, 0, 2]).reshape(3, 1, 1, 1)], lambda x: (MATRIX.T[[4, 0, 2]] + C4[:3]).reshape(3, 3, 1, 1)),
    ("embedding nd", "embeddingND", {"vocabSize": 5, "embeddingSize": 3, "weights": w(MATRIX)}, [np.float32([[4], [1]])], lambda x: MATRIX.T[[4, 1]]),
    ("matmul", "batchedMatmul", {"transposeB": True}, [IMAGE, IMAGE[:1]], lambda a, b: a @ b.transpose(0, 1, 3, 2)),
    ("matmul with weights", "batchedMatmul", {"weightMatrixFirstDimension": 5, "weightMatrixSecondDimension": 3, "weights": w(MATRIX), "hasBias": True,
     "bias": w(C4[:3])}, [normal(2, 4, 5)], lambda x: x @ MATRIX.T + C4[:3]),  # Stored column by column.
    ("gather", "gather", {"axis": 1}, [IMAGE, INDEX], lambda x, i: x[:, [2, 0, -1]]),
    ("gather nd", "gatherND", {}, [MATRIX, np.float32([[0, 1], [2, 4]])], lambda x, i: x[[0, 2], [1, 4]]),
    ("gather along", "gatherAlongAxis", {"axis": 1}, [MATRIX, np.float32([[0, 1], [2, 4], [3, 3]])],
     lambda x, i: np.take_along_axis(x, i.astype(int), 1)),
    ("scatter", "scatter", {"axis": 0, "mode": "SCATTER_ADD"}, [MATRIX, np.float32([2, 0]), normal(2, 5)],
     lambda x, i, u: x + np.stack([u[1], 0 * u[0], u[0]])),
    ("scatter nd", "scatterND", {"mode": "SCATTER_UPDATE"}, [MATRIX, np.float32([[0, 1], [2, 4]]), np.float32([7, 8])],
     lambda x, i, u: np.where(np.float32([[0, 1, 0, 0, 0], [0] * 5, [0, 0, 0, 0, 1]]) > 0, np.float32([[7] * 5, [0] * 5, [8] * 5]), x)),
    ("scatter along", "scatterAlongAxis", {"axis": 0, "mode": "SCATTER_UPDATE"}, [MATRIX, np.float32([[2, 1, 0, 2, 0]]), normal(1, 5)],
     lambda x, i, u: np.where(np.arange(3)[:, None] == i, u, x)),
    ("top k", "topK", {"axis": 1, "K": 2}, [MATRIX], lambda x: [-np.sort(-x, 1)[:, :2], np.argsort(-x, 1)[:, :2]]),
    ("bottom k", "topK", {"axis": 1, "K": 2, "useBottomK": True}, [MATRIX], lambda x: [np.sort(x, 1)[:, :2], np.argsort(x, 1)[:, :2]]),
    ("arg max", "argMax", {"axis": 1}, [MATRIX], lambda x: x.argmax(1)[:, None]),
    ("arg min", "argMin", {"axis": 0, "removeDim": True}, [MATRIX], lambda x: x.argmin(0)),
    ("arg sort", "argSort", {"axis": 1, "descending": True}, [MATRIX], lambda x: np.argsort(-x, 1)),
    ("one hot", "oneHot", {"oneHotVectorSize": 4, "axis": 0, "onValue": 5.0, "offValue": -1.0}, [np.float32([2, -1, 9])],
     lambda x: np.where(np.arange(4)[:, None] == x, 5.0, -1.0)),
    ("non zero", "whereNonZero", {}, [FLAGS_A], lambda x: np.argwhere(x)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "fields", "inputs", "reference"), [case[1:] for case in CASES], ids=[case[0].replace(" ", "_") for case in CASES]
)
def test_layer(kind: str, fields: dict[str, Any], inputs: list[np.ndarray], reference: Any, tmp_path: pathlib.Path) -> None:
    expected = reference(*inputs)
    expected = [np.asarray(value, np.float64) for value in (expected if isinstance(expected, list) else [expected])]
    names = [f"x{index}" for index in range(len(inputs))]
    outputs = [f"y{index}" for index in range(len(expected))]
    message = network([(kind, fields, names, outputs)], {n: x.shape for n, x in zip(names, inputs)}, outputs)
    found = run(message, tmp_path, dict(zip(names, inputs)))
    for name, value in zip(outputs, expected):
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=TOLERANCE, atol=TOLERANCE)


def test_every_kind_that_is_translated_has_a_test() -> None:
    from executorch_coreml.engine.networks import translation
    from executorch_coreml.engine.networks.layer import HANDLERS

    assert len(translation.FAMILIES) == 6
    elsewhere = {
        "uniDirectionalLSTM", "biDirectionalLSTM", "gru", "simpleRecurrent", "fillDynamic", "reshapeDynamic", "broadcastToDynamic", "sliceDynamic",
        "rangeDynamic", "sliceBySize", "NonMaximumSuppression",
        *(f"random{name}{form}" for name in ("Normal", "Uniform", "Bernoulli") for form in ("Like", "Static", "Dynamic")),
    }  # fmt: skip
    assert {case[1] for case in CASES} | elsewhere == set(HANDLERS)
