"""scaled_dot_product_attention against its formula in float64."""

import numpy as np
import pytest
from op_testing import IOS18, check, mb


def reference(q, k, v, mask=None):
    scores = q.astype(np.float64) @ np.swapaxes(k, -1, -2).astype(np.float64) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


@pytest.mark.parametrize("batch", [(2,), (2, 3), (1, 2, 2)])
@pytest.mark.parametrize("mask", [None, "float", "bool"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_attention(rng, batch, mask, dynamic):
    q, k, v = (rng.normal(size=(*batch, *s)).astype(np.float32) for s in ((5, 8), (7, 8), (7, 6)))
    inputs = {"q": q, "k": k, "v": v}
    if mask == "float":
        inputs["m"] = rng.normal(size=(5, 7)).astype(np.float32)
    elif mask == "bool":
        # Programs have no boolean inputs: the mask is a comparison.
        inputs["m"] = (rng.random((5, 7)) > 0.3).astype(np.float32)
        inputs["m"][:, 0] = 1

    def build(q, k, v, m=None):
        if mask == "bool":
            m = mb.greater(x=m, y=np.float32(0.5))
        return mb.scaled_dot_product_attention(query=q, key=k, value=v, **({} if m is None else {"attn_mask": m}))

    known = None if mask is None else inputs["m"] > 0.5 if mask == "bool" else inputs["m"]
    axis = len(batch)
    check(
        build,
        inputs,
        reference(q, k, v, known),
        opset=IOS18,
        dynamic={"q": [0, axis], "k": [0, axis], "v": [0, axis], "m": [0, 1]} if dynamic else (),
    )


@pytest.mark.parametrize("shape", [(7,), (1, 7), (1, 1, 5, 7), (2, 1, 5, 7), (2, 3, 5, 7)])
def test_mask_broadcasts(rng, shape):
    q, k, v = (rng.normal(size=(2, 3, *s)).astype(np.float32) for s in ((5, 8), (7, 8), (7, 8)))
    m = rng.normal(size=shape).astype(np.float32)
    check(
        lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=m),
        {"q": q, "k": k, "v": v},
        reference(q, k, v, m),
        opset=IOS18,
    )


def test_half_mask_with_minus_infinity(rng):
    """Causal masks of float16 programs hold minus infinity."""
    q, k, v = (rng.normal(size=(1, 2, 4, 8)).astype(np.float16) for _ in range(3))
    m = np.triu(np.full((4, 4), -np.inf), 1).astype(np.float16)

    def build(q, k, v):
        return mb.cast(x=mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=m), dtype="fp32")

    check(build, {"q": q, "k": k, "v": v}, reference(q, k, v, m.astype(np.float64)), opset=IOS18)


# --- attention as torch lowers it: attention_fusion.h ---


def lowered_attention(q, k, v, mask, *, guard=True, batch=1, heads=2, rows=5, columns=7, width=8):
    """Rank 3 products, and a softmax that gives zeros for rows that are minus infinity throughout."""

    def merge(x, last):
        return mb.reshape(x=x, shape=[batch * heads, *last])

    scores = mb.matmul(x=merge(q, [rows, width]), y=merge(mb.transpose(x=k, perm=[0, 1, 3, 2]), [width, columns]))
    scores = mb.add(x=mb.reshape(x=scores, shape=[batch, heads, rows, columns]), y=mask)
    weights = mb.softmax(x=scores, axis=-1)
    if guard:
        differs = mb.logical_not(x=mb.equal(x=scores, y=np.float32(-np.inf)))
        some = mb.reduce_max(x=mb.cast(x=differs, dtype="int32"), axes=[-1], keep_dims=True)
        empty = mb.logical_not(x=mb.cast(x=some, dtype="bool"))
        empty = mb.tile(x=empty, reps=[1, 1, 1, columns])
        weights = mb.select(cond=empty, a=np.zeros((batch, heads, rows, columns), np.float32), b=weights)
    y = mb.matmul(x=merge(weights, [rows, columns]), y=merge(v, [columns, width]))
    return mb.reshape(x=y, shape=[batch, heads, rows, width]), scores


def guarded_reference(q, k, v, mask):
    scores = q.astype(np.float64) @ np.swapaxes(k, -1, -2) + mask
    largest = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = weights.sum(-1, keepdims=True)
    return np.where(total == 0, 0, weights / np.where(total == 0, 1, total)) @ v


@pytest.mark.parametrize("guard", [False, True])
@pytest.mark.parametrize("mask_shape", [(1, 1, 5, 7), (1, 1, 1, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("batch, heads", [(1, 2), (2, 3)])
@pytest.mark.parametrize("scores_are_read", [False, True])
def test_lowered_attention(rng, guard, mask_shape, batch, heads, scores_are_read):
    """Rewritten or, where something else reads the scores, not: the same numbers, zeros for masked rows included."""
    if mask_shape[0] not in (1, batch) or mask_shape[1] not in (1, heads):
        return
    shape = (batch, heads)
    q, k, v = (rng.normal(size=(*shape, n, 8)).astype(np.float32) for n in (5, 7, 7))
    mask = np.where(rng.random(mask_shape) > 0.4, 0, -np.inf).astype(np.float32)
    mask[..., 0] = 0
    if guard and mask_shape[2] > 1:
        mask[:, :, 2, :] = -np.inf  # A row without anything to attend to.

    def build(q, k, v, mask):
        y, scores = lowered_attention(q, k, v, mask, guard=guard, batch=batch, heads=heads)
        return (y, scores) if scores_are_read else y

    expected = [guarded_reference(q, k, v, mask)]
    if scores_are_read:
        expected.append(q.astype(np.float64) @ np.swapaxes(k, -1, -2) + mask)
    check(build, {"q": q, "k": k, "v": v, "mask": mask}, expected)


def test_a_guard_of_another_meaning_is_kept(rng):
    """Rows in which the smallest score is minus infinity, not all of them: not what the rewriting is about."""
    q, k, v = (rng.normal(size=(1, 2, n, 8)).astype(np.float32) for n in (5, 7, 7))
    mask = np.zeros((1, 1, 5, 7), np.float32)
    mask[0, 0, 1, 3] = -np.inf

    def build(q, k, v, mask):
        merge = lambda x, last: mb.reshape(x=x, shape=[2, *last])  # noqa: E731
        s = mb.matmul(x=merge(q, [5, 8]), y=merge(mb.transpose(x=k, perm=[0, 1, 3, 2]), [8, 7]))
        s = mb.add(x=mb.reshape(x=s, shape=[1, 2, 5, 7]), y=mask)
        finite = mb.cast(x=mb.logical_not(x=mb.equal(x=s, y=np.float32(-np.inf))), dtype="int32")
        every = mb.cast(x=mb.reduce_min(x=finite, axes=[-1], keep_dims=True), dtype="bool")
        drop = mb.tile(x=mb.logical_not(x=every), reps=[1, 1, 1, 7])
        w = mb.select(cond=drop, a=np.zeros((1, 2, 5, 7), np.float32), b=mb.softmax(x=s, axis=-1))
        y = mb.matmul(x=merge(w, [5, 7]), y=merge(v, [7, 8]))
        return mb.reshape(x=y, shape=[1, 2, 5, 8])

    expected = guarded_reference(q, k, v, mask)
    expected[:, :, 1, :] = 0
    check(build, {"q": q, "k": k, "v": v, "mask": mask}, expected)
