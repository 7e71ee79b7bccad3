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
