"""Resizing, cropping and sampling against references in float64; non_maximum_suppression against a plain loop."""

import numpy as np
import pytest
import torch
from op_testing import IOS15, IOS16, IOS17, IOS18, EngineError, check, mb, run

MODES = ["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"]


def grid(mode, size, out):
    """coremltools' description of sampling_mode."""
    i = np.arange(out, dtype=np.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if out == 1:
            return np.array([(size - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0])
        points = i * (size - 1) / (out - 1)
    elif mode == "DEFAULT":
        points = i * size / out
    elif mode == "OFFSET_CORNERS":
        points = (i + 0.5) * max(1, size - 1) / out
    else:
        points = (i + 0.5) * size / out - 0.5
    return np.clip(points, 0, size - 1)


def linear_along(x, points, axis):
    low = np.floor(points).astype(int)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    weight = (points - low).reshape(shape)
    return np.take(x, low, axis) * (1 - weight) + np.take(x, high, axis) * weight


def resized(x, mode, sizes):
    y = x.astype(np.float64)
    for k, out in enumerate(sizes):
        axis = x.ndim - len(sizes) + k
        y = linear_along(y, grid(mode, x.shape[axis], out), axis)
    return y


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", [(10, 7), (3, 4), (1, 1), (5, 1)])
@pytest.mark.parametrize("rank", [3, 4, 5])
def test_resize_bilinear(rng, mode, sizes, rank):
    x = rng.normal(size=(2, 2, 3, 5, 4)[5 - rank :]).astype(np.float32)
    check(
        lambda x: mb.resize_bilinear(x=x, target_size_height=sizes[0], target_size_width=sizes[1], sampling_mode=mode),
        {"x": x},
        resized(x, mode, sizes),
        eps=256,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("how", ["constant", "inherit", "input"])
def test_resize_linear(rng, mode, dims, how):
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    sizes = [7, 6, 9][-dims:]
    shape = np.array([1, *sizes], np.int32)[-max(dims, 2) :]
    if how == "inherit":
        sizes = [*sizes[:-1], x.shape[-1]]
        shape[-1] = 0
    inputs = {"x": x} | ({"shape": shape} if how == "input" else {})
    check(
        lambda x, shape=shape: mb.resize(
            x=x, shape=shape, resized_dims=np.uint32(dims), interpolation_mode="LINEAR", sampling_mode=mode
        ),
        inputs,
        resized(x, mode, sizes),
        opset=IOS17,
        eps=256,
    )


def nearest(x, rule, sizes):
    """rule(i, size, out): the index as a fraction (numerator, denominator)."""
    y = x
    for k, out in enumerate(sizes):
        axis = x.ndim - len(sizes) + k
        size = x.shape[axis]
        indices = [min(max(n // d, 0), size - 1) for n, d in (rule(i, size, out) for i in range(out))]
        y = np.take(y, indices, axis)
    return y


def floor_rule(i, size, out):
    return i * size, out


def center_rule(i, size, out):
    return (2 * i + 1) * size, 2 * out


def align_rule(i, size, out):
    return (2 * i * (size - 1) + out - 1, 2 * (out - 1)) if out > 1 else (0, 1)


def offset_rule(i, size, out):
    return (2 * i + 1) * max(1, size - 1) + out, 2 * out


@pytest.mark.parametrize("scale", [(2, 3), (1, 2), (2.5, 1.4), (0.5, 0.75), (1.0, 3.0)])
@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("dynamic", [False, True])
def test_upsample_nearest_neighbor(rng, scale, rank, dynamic):
    x = rng.normal(size=(2, 2, 3, 6, 8)[5 - rank :]).astype(np.float32)
    sizes = [int(np.floor(n * np.float32(s))) for n, s in zip(x.shape[-2:], scale)]
    check(
        lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=scale[0], scale_factor_width=scale[1]),
        {"x": x},
        nearest(x, floor_rule, sizes),
        dynamic={"x": [rank - 2, rank - 1]} if dynamic else (),
        eps=0,
    )


@pytest.mark.parametrize("size, out", [(6, 10), (10, 6), (3, 49), (49, 3), (100, 70)])
def test_nearest_has_no_rounding_errors(rng, size, out):
    """i / (out / size) in float32 is now and then just below the integer it should be."""
    x = rng.normal(size=(1, 2, 1, size)).astype(np.float32)
    check(
        lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=1, target_size_width=out),
        {"x": x},
        nearest(x, center_rule, [1, out]),
        eps=0,
    )


@pytest.mark.parametrize(
    "mode, rule",
    [
        ("DEFAULT", center_rule),
        ("UNALIGN_CORNERS", center_rule),
        ("STRICT_ALIGN_CORNERS", align_rule),
        ("OFFSET_CORNERS", offset_rule),
    ],
)
@pytest.mark.parametrize("sizes", [(4, 6), (7, 5), (1, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("as_input", [False, True])
def test_resize_nearest(rng, mode, rule, sizes, dtype, as_input):
    x = (rng.normal(size=(1, 2, 2, 3)) * 100).astype(dtype)
    shape = np.array(sizes, np.int32)
    inputs = {"x": x} | ({"shape": shape} if as_input else {})
    check(
        lambda x, shape=shape: mb.resize(
            x=x, shape=shape, resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR", sampling_mode=mode
        ),
        inputs,
        nearest(x, rule, sizes),
        opset=IOS17,
        eps=0,
    )


@pytest.mark.parametrize(
    "align, half, mode", [(True, None, MODES[0]), (False, None, MODES[4]), (False, False, MODES[2]), (False, True, MODES[4])]
)
@pytest.mark.parametrize("scale", [(2, 3), (2.6, 1.0), (0.5, 0.75)])
@pytest.mark.parametrize("dynamic", [False, True])
def test_upsample_bilinear(rng, align, half, mode, scale, dynamic):
    x = rng.normal(size=(1, 2, 4, 8)).astype(np.float32)
    sizes = [int(np.floor(n * np.float32(s))) for n, s in zip(x.shape[-2:], scale)]
    attributes = {} if half is None else {"half_pixel_centers": half}
    check(
        lambda x: mb.upsample_bilinear(
            x=x, scale_factor_height=scale[0], scale_factor_width=scale[1], align_corners=align, **attributes
        ),
        {"x": x},
        resized(x, mode, sizes),
        opset=IOS16,
        dynamic={"x": [2, 3]} if dynamic else (),
        eps=256,
    )


def test_align_corners_and_half_pixels_exclude_each_other(rng):
    with pytest.raises(EngineError) as caught:
        run(
            lambda x: mb.upsample_bilinear(
                x=x, scale_factor_height=2, scale_factor_width=2, align_corners=True, half_pixel_centers=True, name="up"
            ),
            {"x": np.zeros((1, 1, 2, 2), np.float32)},
            opset=IOS16,
        )
    assert "upsample_bilinear -> up (CoreML6)" in str(caught.value)


@pytest.mark.parametrize("height, width", [((1, 2), (0, 1)), ((0, 0), (3, 0))])
@pytest.mark.parametrize("dynamic", [False, True])
def test_crop(rng, height, width, dynamic):
    x = rng.normal(size=(1, 2, 6, 7)).astype(np.float32)
    check(
        lambda x: mb.crop(x=x, crop_height=height, crop_width=width),
        {"x": x},
        x[:, :, height[0] : 6 - height[1], width[0] : 7 - width[1]],
        dynamic={"x": [2, 3]} if dynamic else (),
        eps=0,
    )


# --- sampling at points ---


def fetch(x, b, r, c, padding, value):
    h, w = x.shape[-2:]
    if padding == "constant" and not (0 <= r < h and 0 <= c < w):
        return np.full(x.shape[1], value)
    return x[b, :, int(min(max(r, 0), h - 1)), int(min(max(c, 0), w - 1))]


def bilinear(x, b, r, c, padding="inside", value=0.0):
    r0, c0 = np.floor(r), np.floor(c)
    fr, fc = r - r0, c - c0
    return (
        fetch(x, b, r0, c0, padding, value) * (1 - fr) * (1 - fc)
        + fetch(x, b, r0, c0 + 1, padding, value) * (1 - fr) * fc
        + fetch(x, b, r0 + 1, c0, padding, value) * fr * (1 - fc)
        + fetch(x, b, r0 + 1, c0 + 1, padding, value) * fr * fc
    )


def mirror(p, low, high):
    span = high - low
    if span == 0:
        return low
    t = abs(p - low) % (2 * span)
    return low + min(t, 2 * span - t)


def resample_reference(x, coordinates, sampling, padding, value, space, align):
    n, ch, h, w = x.shape
    y = np.empty((n, ch, *coordinates.shape[1:3]))
    for b, i, j in np.ndindex(n, *coordinates.shape[1:3]):
        position = []
        for component, size in ((1, h), (0, w)):
            p = float(coordinates[b, i, j, component])
            if space == "normalized_minus_one_to_one":
                p = (p + 1) / 2 * (size - 1) if align else ((p + 1) * size - 1) / 2
            elif space == "normalized_zero_to_one":
                p = p * (size - 1) if align else p * size - 0.5
            if padding == "border":
                p = min(max(p, 0), size - 1)
            elif padding == "reflection":
                p = mirror(p, 0, size - 1)
            elif padding == "symmetric":
                p = min(max(mirror(p, -0.5, size - 0.5), 0), size - 1)
            position.append(p)
        r, c = position
        if sampling == "nearest":
            y[b, :, i, j] = fetch(x, b, np.rint(r), np.rint(c), padding, value)
        else:
            y[b, :, i, j] = bilinear(x, b, r, c, padding, value)
    return y


@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    "padding, value", [("constant", 0.0), ("constant", 6.17), ("border", 0.0), ("reflection", 0.0), ("symmetric", 0.0)]
)
@pytest.mark.parametrize("space", ["unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one"])
@pytest.mark.parametrize("align", [False, True])
def test_resample(rng, sampling, padding, value, space, align):
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    spread = {"unnormalized": (-6, 10), "normalized_minus_one_to_one": (-3, 3), "normalized_zero_to_one": (-2, 3)}[space]
    # Multiples of 1/64 keep positions exact, and odd ones away from the ties of nearest.
    coordinates = (np.round(rng.uniform(*spread, size=(2, 3, 6, 2)) * 32) * 2 + 1) / 64
    coordinates = coordinates.astype(np.float32)
    check(
        lambda x, c: mb.resample(
            x=x,
            coordinates=c,
            sampling_mode=sampling,
            padding_mode=padding,
            padding_value=np.float32(value),
            coordinates_mode=space,
            align_corners=align,
        ),
        {"x": x, "c": coordinates},
        resample_reference(x.astype(np.float64), coordinates, sampling, padding, value, space, align),
        eps=256,
    )


def test_resample_survives_coordinates_that_are_no_numbers(rng):
    x = rng.normal(size=(1, 1, 3, 3)).astype(np.float32)
    coordinates = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2**31, 1, 1], np.float32).reshape(1, 2, 2, 2)
    for padding in ("constant", "border", "reflection", "symmetric"):
        (y,) = run(
            lambda x, c, padding=padding: mb.resample(
                x=x,
                coordinates=c,
                sampling_mode="bilinear",
                padding_mode=padding,
                padding_value=np.float32(2),
                coordinates_mode="unnormalized",
                align_corners=False,
            ),
            {"x": x, "c": coordinates},
        )
        assert y[0, 0, 1, 1] == x[0, 0, 1, 1]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("out", [(3, 4), (1, 5)])
def test_affine(rng, shared, out):
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    m = (rng.normal(size=(1 if shared else 2, 6)) * 0.7).astype(np.float32)
    ys, xs = (np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in out)
    theta = np.broadcast_to(m.reshape(-1, 2, 3), (2, 2, 3)).astype(np.float64)
    points = np.stack([*np.meshgrid(xs, ys), np.ones(out)], -1)
    coordinates = np.einsum("nij,hwj->nhwi", theta, points)
    expected = resample_reference(
        x.astype(np.float64), coordinates, "bilinear", "constant", 0.0, "normalized_minus_one_to_one", True
    )
    check(
        lambda x, m: mb.affine(
            x=x,
            transform_matrix=m,
            output_height=out[0],
            output_width=out[1],
            sampling_mode="bilinear",
            padding_mode="constant",
            padding_value=np.float32(0),
            coordinates_mode="normalized_minus_one_to_one",
            align_corners=True,
        ),
        {"x": x, "m": m},
        expected,
        eps=512,
    )


def box_points(mode, start, end, out):
    reach = end - start
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if out == 1:
            return np.array([(start + end) / 2 if mode == "ALIGN_CORNERS" else start])
        return start + np.arange(out) * reach / (out - 1)
    i, sign, d = np.arange(out), -1 if reach < 0 else 1, abs(reach)
    if mode == "DEFAULT":
        offset = i * (d + 1) / out
    elif mode == "OFFSET_CORNERS":
        offset = (i + 0.5) * max(1, d) / out
    else:
        offset = (i + 0.5) * (d + 1) / out - 0.5
    return start + sign * np.clip(offset, 0, d)


def crop_resize_reference(x, boxes, images, mode, out, pad):
    """boxes: corners in pixels, height first. One crop per box, of image images[n]."""
    y = np.empty((len(boxes), x.shape[1], *out))
    for n, (box, image) in enumerate(zip(boxes, images)):
        rows, columns = box_points(mode, box[0], box[2], out[0]), box_points(mode, box[1], box[3], out[1])
        for i, r in enumerate(rows):
            for j, c in enumerate(columns):
                inside = 0 <= r <= x.shape[2] - 1 and 0 <= c <= x.shape[3] - 1
                y[n, :, i, j] = bilinear(x, image, r, c) if inside else pad
    return y


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("out", [(3, 4), (1, 1)])
@pytest.mark.parametrize(
    "convention", ["CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST"]
)
@pytest.mark.parametrize("normalized", [False, True])
def test_crop_resize_ios17(rng, mode, out, convention, normalized):
    x = rng.normal(size=(2, 3, 8, 9)).astype(np.float32)
    # height first, corners, in pixels; the last is turned around, the third leaves the image.
    corners = np.array([[1, 2, 5, 6.5], [0, 0, 7, 8], [-2, 3, 4, 10], [6, 5, 2, 1]], np.float64)
    extent = np.array([7, 8, 7, 8])
    boxes = corners / extent if normalized else corners
    if convention.startswith("CENTER"):
        boxes = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
    if convention.endswith("WIDTH_FIRST"):
        boxes = boxes[:, [1, 0, 3, 2]]
    boxes = boxes.astype(np.float32)
    # What the rounded boxes mean; points at the very edge of the image are decided by rounding, so they are avoided by shrinking.
    images = np.array([0, 1, 1, 0], np.int32)
    expected = crop_resize_reference(x.astype(np.float64), corners, images, mode, out, 10.0)
    keep = [0, 3] if normalized or convention.startswith("CENTER") else [0, 1, 2, 3]
    check(
        lambda x, boxes: mb.crop_resize(
            x=x,
            boxes=boxes,
            box_indices=images[keep],
            target_height=out[0],
            target_width=out[1],
            normalized_coordinates=normalized,
            box_coordinate_mode=convention,
            sampling_mode=mode,
            pad_value=np.float32(10),
        ),
        {"x": x, "boxes": boxes[keep]},
        expected[keep],
        opset=IOS17,
        eps=512,
    )


@pytest.mark.parametrize("opset", [IOS15, IOS16])
@pytest.mark.parametrize("indexed", [False, True])
def test_crop_resize_roi(rng, opset, indexed):
    """Before iOS 17: five numbers per box name the image, four crop all images."""
    x = rng.normal(size=(1 if indexed else 2, 3, 6, 6)).astype(np.float32)
    boxes = np.array([[1, 1, 4, 3], [0, 2, 5, 5]], np.float32)
    roi = np.concatenate([np.zeros((2, 1), np.float32), boxes], 1) if indexed else boxes
    roi = roi.reshape(2, 1, -1, 1, 1)
    expected = np.stack(
        [
            crop_resize_reference(x.astype(np.float64), boxes, [image] * 2, "ALIGN_CORNERS", (3, 3), 0.0)
            for image in range(x.shape[0])
        ],
        1,
    )
    check(
        lambda x: mb.crop_resize(x=x, roi=roi, target_height=3, target_width=3, sampling_mode="ALIGN_CORNERS"),
        {"x": x},
        expected,
        opset=opset,
        eps=256,
    )


def test_crop_resize_spatial_scale(rng):
    x = rng.normal(size=(1, 2, 8, 8)).astype(np.float32)
    boxes = np.array([[2, 4, 10, 12]], np.float32)
    expected = crop_resize_reference(x.astype(np.float64), boxes * 0.5, [0], "STRICT_ALIGN_CORNERS", (4, 4), 0.0)
    check(
        lambda x: mb.crop_resize(
            x=x,
            boxes=boxes,
            target_height=4,
            target_width=4,
            spatial_scale=np.float32(0.5),
            sampling_mode="STRICT_ALIGN_CORNERS",
        ),
        {"x": x},
        expected,
        opset=IOS17,
        eps=256,
    )


# --- non_maximum_suppression ---


def nms_reference(boxes, scores, iou, threshold, limit, per_class):
    n, _, classes = scores.shape
    out = [np.zeros((n, limit, 4)), np.zeros((n, limit, classes)), np.full((n, limit), -1), np.zeros(n, np.int64)]

    def overlap(a, b):
        lengths = [min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2) - max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2) for k in (0, 1)]
        area = max(lengths[0], 0) * max(lengths[1], 0)
        return area / (a[2] * a[3] + b[2] * b[3] - area)

    for b in range(n):
        best, label = scores[b].max(-1), scores[b].argmax(-1)
        kept = []
        for i in np.argsort(-best, kind="stable"):
            if best[i] < threshold or len(kept) == limit:
                break
            if all((per_class and label[i] != label[j]) or overlap(boxes[b, i], boxes[b, j]) <= iou for j in kept):
                kept.append(int(i))
        kept = kept or [int(best.argmax())]
        out[0][b, : len(kept)], out[1][b, : len(kept)] = boxes[b, kept], scores[b, kept]
        out[2][b, : len(kept)], out[3][b] = kept, len(kept)
    return out


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("threshold", [-10.0, 0.4, 10.0])
@pytest.mark.parametrize("limit", [3, 40])
@pytest.mark.parametrize("opset", [IOS15, IOS17])
@pytest.mark.parametrize("dynamic", [False, True])
def test_non_maximum_suppression(rng, per_class, threshold, limit, opset, dynamic):
    centers = rng.uniform(0, 20, size=(2, 30, 2))
    boxes = np.concatenate([centers, rng.uniform(2, 8, size=(2, 30, 2))], -1).astype(np.float32)
    scores = rng.normal(size=(2, 30, 3)).astype(np.float32)
    if opset == IOS17:
        threshold = -np.inf
    expected = nms_reference(boxes.astype(np.float64), scores, 0.3, threshold, limit, per_class)
    attributes = {"iou_threshold": np.float32(0.3), "max_boxes": limit, "per_class_suppression": per_class}
    if opset == IOS17:
        boxes, scores = boxes.transpose(0, 2, 1).copy(), scores.transpose(0, 2, 1).copy()
        expected = [expected[0].transpose(0, 2, 1), expected[1].transpose(0, 2, 1), expected[2]]
    else:
        attributes["score_threshold"] = np.float32(threshold)
    box_axis = 2 if opset == IOS17 else 1
    check(
        lambda boxes, scores: mb.non_maximum_suppression(boxes=boxes, scores=scores, **attributes),
        {"boxes": boxes, "scores": scores},
        expected,
        opset=opset,
        dynamic={"boxes": [box_axis], "scores": [box_axis]} if dynamic else (),
        eps=0,
    )


def test_torchs_interpolate_of_halves(rng):
    """What torch models lower to, in a float16 program."""
    x = rng.normal(size=(1, 3, 5, 6)).astype(np.float16)

    def build(x):
        y = mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=2, align_corners=False)
        return mb.cast(x=y, dtype="fp32")

    expected = torch.nn.functional.interpolate(torch.from_numpy(x).double(), scale_factor=2, mode="bilinear").numpy()
    check(build, {"x": x}, expected, opset=IOS18, eps=256)
