"""Compositions as people write them, over values that are there: masks, casts, views, writes, pads, reductions, indexing."""

from __future__ import annotations

from typing import Any

import torch
from drawing import Draw, Unfit
from from_schema import another, any_dtype

LOWEST = -3.4028234663852886e38
FLOATS = (torch.float32, torch.float32, torch.float32, torch.float16)
INTEGERS = (torch.int64, torch.int64, torch.int32)


def some(draw: Draw, dtypes: tuple[torch.dtype, ...], least_rank: int = 0) -> str:
    """A value of one of these dtypes, or a new input."""
    try:
        if draw.rng.random() < 0.75:
            return draw.pick(lambda t: t.dtype in dtypes and t.dim() >= least_rank)
    except Unfit:
        pass
    # Of a shape that the draw chooses where extents are dynamic.
    shape = None if draw.example else draw.new_shape(tuple(rank for rank in (0, 1, 2, 2, 3, 4) if rank >= least_rank))
    made = draw.leaf(draw.rng.choice(dtypes), shape)
    if draw.value(made).dim() < least_rank:
        raise Unfit
    return made


def size(draw: Draw, name: str, dim: int) -> Any:
    """An extent of a value: as it stands, or read from the value where it is dynamic."""
    extent = draw.shape(name)[dim]
    return {"size": [name, dim]} if draw.example and extent in draw.example.values() else extent


def mask_of(draw: Draw, name: str) -> str:
    """A bool value that goes with `name`."""
    rng = draw.rng
    roll = rng.random()
    if roll < 0.35:
        compared = rng.choice((">", "<", ">=", "<=", "==", "!="))
        return draw.emit(compared, name, draw.number(draw.dtype(name)) if draw.dtype(name) is not torch.bool else True)
    if roll < 0.5:
        return draw.emit(rng.choice((">", "<=", "==", "!=")), name, another(draw, name))
    if roll < 0.6:
        return draw.emit("torch.logical_not", name)
    shape = [1 if rng.random() < 0.2 else extent for extent in draw.shape(name)]
    if draw.example and any(extent in draw.example.values() for extent in shape):
        return draw.pick(lambda t: t.dtype is torch.bool and t.dim() <= len(shape))
    return draw.leaf(torch.bool, shape)


def filled_mask(draw: Draw) -> None:
    """An additive mask from a bool or integer one."""
    rng = draw.rng
    kept = some(draw, (torch.bool, torch.bool, torch.int64, torch.int32, torch.float32), 1)
    base = draw.emit(rng.choice(("torch.zeros_like", "torch.zeros_like", "torch.ones_like")), kept, dtype=rng.choice(FLOATS))
    condition = kept if draw.dtype(kept) is torch.bool else draw.emit(rng.choice(("==", "!=")), kept, 0)
    made = draw.emit(
        rng.choice((".masked_fill", "torch.masked_fill")),
        base,
        condition,
        rng.choice((float("-inf"), float("-inf"), LOWEST, -1e4, float("inf"))),
    )
    if rng.random() < 0.5:
        scores = some(draw, (draw.dtype(made),), 1)
        total = draw.emit("+", scores, made)
        draw.emit("torch.softmax", total, -1)


def where(draw: Draw) -> None:
    rng = draw.rng
    base = some(draw, (torch.float32, torch.int64, torch.int32, torch.bool, torch.float16))
    condition = mask_of(draw, base)
    roll = rng.random()
    if roll < 0.3:
        draw.emit(
            "torch.where", condition, rng.choice((0.0, 1.0, float("-inf"), 5)), rng.choice((LOWEST, float("-inf"), 2.5, 0, True))
        )
    elif roll < 0.6:
        draw.emit("torch.where", condition, another(draw, base), rng.choice((0.0, 1, float("-inf"), 70000)))
    else:
        draw.emit("torch.where", condition, another(draw, base), another(draw, base))


def masked_fill(draw: Draw) -> None:
    base = some(draw, (torch.float32, torch.int64, torch.int32, torch.float16, torch.bool))
    value = draw.number(draw.dtype(base)) if draw.rng.random() < 0.6 or not draw.dtype(base).is_floating_point else float("-inf")
    draw.emit(".masked_fill", base, mask_of(draw, base), value)


def casts(draw: Draw) -> None:
    name = some(draw, (torch.float32, torch.int64, torch.int32, torch.bool, torch.float16))
    if draw.rng.random() < 0.2:
        for dtype in (draw.rng.choice(INTEGERS), torch.bool, any_dtype(draw)):
            name = draw.emit(".to", name, dtype)
        draw.emit(draw.rng.choice("*+-"), name, draw.number(draw.dtype(name)))
        return
    for _ in range(draw.rng.choice((1, 2, 2, 3))):
        name = draw.emit(".to", name, any_dtype(draw))
    if draw.rng.random() < 0.6:
        draw.emit(draw.rng.choice("*+-"), name, draw.number(draw.dtype(name)))


def arithmetic(draw: Draw) -> None:
    """Two operands, whatever their dtypes."""
    rng = draw.rng
    first = draw.pick()
    sign = rng.choice(("+", "-", "*", "+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>"))
    roll = rng.random()
    if roll < 0.3:
        draw.emit(sign, first, draw.number(draw.dtype(first)))
    elif roll < 0.45:
        draw.emit(sign, rng.choice((2, 3, 1.5, -1, 10, 2)), first)
    else:
        draw.emit(sign, first, another(draw, first))


def large_integers(draw: Draw) -> None:
    """Integers that no float16, float32 or int16 holds, through calls that only move them or bound them."""
    rng = draw.rng
    low, high = rng.choice(((0, 70000), (2**24 - 9, 2**24 + 9), (-(2**31), 2**31 - 1), (2040, 4100), (32760, 32775), (0, 31)))
    name = draw.leaf(rng.choice(INTEGERS), low=low, high=high)
    roll = rng.choice(("index", "clamp", "pad", "power", "cast", "compare", "nothing"))
    if roll == "index" and draw.value(name).dim() and draw.shape(name)[0]:
        gathered(draw, name)
    elif roll == "clamp":
        bounds = rng.choice(({"min": 0}, {"max": 5000}, {"min": -3, "max": 40000}, {"min": 2**24 + 1}, {"max": 70001}))
        draw.emit("torch.clamp", name, **bounds)
    elif roll == "pad" and draw.value(name).dim():
        draw.emit("F.pad", name, (rng.choice((0, 1)), rng.choice((1, 3))), value=rng.choice((0, 50256, 16777217, -1)))
    elif roll == "power":
        draw.emit("**", 2, draw.emit("torch.clamp", name, 0, 30))
    elif roll == "cast":
        draw.emit(".to", name, rng.choice((torch.float32, torch.bool, torch.int32)))
    elif roll == "compare":
        draw.emit(rng.choice(("==", "!=", ">", "<=")), name, another(draw, name))


def gathered(draw: Draw, name: str | None = None) -> None:
    rng = draw.rng
    name = name or draw.pick(lambda t: t.dim() > 0 and 0 not in t.shape)
    shape = draw.shape(name)
    dim = rng.randrange(len(shape))
    if not shape[dim]:
        raise Unfit
    index = draw.leaf(rng.choice(INTEGERS), rng.choice(([1], [2], [3], [2, 2])), low=rng.choice((0, -shape[0])), high=shape[0])
    flat = draw.leaf(rng.choice(INTEGERS), [rng.choice((1, 2, 4))], low=0, high=shape[dim])
    roll = rng.choice(("index", "index", "select", "gather", "embedding", "take", "narrow", "element", "sort", "scatter"))
    if roll == "index":
        draw.emit("[]", name, index)
    elif roll == "select":
        draw.emit("torch.index_select", name, dim, flat)
    elif roll == "gather":
        draw.emit("torch.gather", name, dim, draw.leaf(torch.int64, shape, low=0, high=shape[dim]))
    elif roll == "embedding" and len(shape) == 2:
        draw.emit("F.embedding", draw.leaf(rng.choice(INTEGERS), [2, 3], low=0, high=shape[0]), name)
    elif roll == "take":
        draw.emit("torch.take_along_dim", name, draw.leaf(torch.int64, shape, low=0, high=shape[dim]), dim)
    elif roll == "narrow":
        start = rng.choice((0, 1, -1, -2))
        draw.emit("[]", name, slice(start, rng.choice((None, None, -1, 2)), rng.choice((None, None, 2))))
    elif roll == "element":
        draw.emit("[]", name, rng.choice((0, -1)))
    elif roll == "sort":
        pair = draw.emit("torch.sort", name, dim) if rng.random() < 0.5 else draw.emit("torch.topk", name, min(2, shape[dim]), dim)
        draw.emit("[]", pair, 0)
        draw.emit("[]", pair, 1)
    else:
        source = draw.leaf(draw.dtype(name), shape)
        draw.emit(
            rng.choice(("torch.scatter", "torch.scatter_add")),
            name,
            dim,
            draw.leaf(torch.int64, shape, low=0, high=shape[dim]),
            source,
        )


def put(draw: Draw) -> None:
    """index_put with one index for each of some dimensions, and accumulate."""
    rng = draw.rng
    name = draw.pick(lambda t: t.dim() > 0 and 0 not in t.shape)
    shape = draw.shape(name)
    count = rng.randrange(1, len(shape) + 1)
    length = rng.choice((1, 2, 3))
    indices = [draw.leaf(torch.int64, [length], low=0, high=extent) for extent in shape[:count]]
    values = draw.leaf(draw.dtype(name), [length, *shape[count:]])
    draw.emit(rng.choice((".index_put", ".index_put_")), owned(draw, name), tuple(indices), values, accumulate=rng.random() < 0.5)


def owned(draw: Draw, name: str) -> str:
    """A copy that may be written."""
    return draw.emit(".clone", name) if draw.rng.random() < 0.8 else draw.emit("*", name, 1)


def written(draw: Draw) -> None:
    """In-place calls on a copy, or on a view of it."""
    rng = draw.rng
    base = owned(draw, draw.pick(lambda t: t.dim() > 0 and 0 not in t.shape))
    target = base
    for _ in range(rng.choice((0, 1, 1, 2))):
        target = view(draw, target)
    roll = rng.random()
    if roll < 0.3:
        draw.emit(rng.choice((".add_", ".mul_", ".sub_")), target, draw.number(draw.dtype(base)))
    elif roll < 0.45:
        draw.emit(".copy_", target, another(draw, target))
    elif roll < 0.6:
        draw.emit(".fill_", target, draw.number(draw.dtype(base)))
    elif roll < 0.7:
        draw.emit(".masked_fill_", target, mask_of(draw, target), draw.number(draw.dtype(base)))
    elif draw.value(base).dim() > 1 and rng.random() < 0.5:
        draw.emit("[]=", base, slice(None), rng.choice((0, -1, slice(None, 1))), draw.number(draw.dtype(base)))
    else:
        draw.emit("[]=", base, rng.choice((0, -1, slice(1, None), slice(None, None, 2))), draw.number(draw.dtype(base)))
    draw.emit("+", base, draw.number(draw.dtype(base)))


def view(draw: Draw, name: str | None = None) -> str:
    rng = draw.rng
    name = name or draw.pick(lambda t: t.dim() > 0)
    shape = draw.shape(name)
    rank = len(shape)
    roll = rng.choice(
        ("t", "permute", "unsqueeze", "squeeze", "slice", "select", "flatten", "expand", "reshape", "chunk", "diagonal", "unfold")
    )
    if roll == "t" and rank > 1:
        return draw.emit(".transpose", name, *rng.sample(range(rank), 2))
    if roll == "permute" and rank > 1:
        return draw.emit(".permute", name, *rng.sample(range(rank), rank))
    if roll == "squeeze":
        return draw.emit(".squeeze", name)
    if roll == "slice" and rank:
        return draw.emit("[]", name, slice(rng.choice((None, 1, -2)), rng.choice((None, -1)), rng.choice((None, None, 2))))
    if roll == "select" and rank:
        return draw.emit(".select", name, rng.randrange(-rank, rank), rng.choice((0, -1)))
    if roll == "flatten" and rank > 1:
        return draw.emit(".flatten", name, rng.randrange(rank - 1))
    if roll == "expand":
        return draw.emit(".expand", draw.emit(".unsqueeze", name, 0), rng.choice((2, 3)), *([-1] * rank))
    if roll == "reshape" and rank > 1:
        return draw.emit(".reshape", name, rng.choice(([-1], [size(draw, name, 0), -1], [-1, size(draw, name, rank - 1)], [1, -1])))
    if roll == "chunk" and rank:
        return draw.emit("[]", draw.emit(rng.choice(("torch.chunk", "torch.split")), name, 2, rng.randrange(rank)), 0)
    if roll == "diagonal" and rank > 1:
        return draw.emit(".diagonal", name, rng.choice((0, 1)), 0, rank - 1)
    if roll == "unfold" and rank:
        return draw.emit(".unfold", name, rng.randrange(rank), 2, 1)
    return draw.emit(".unsqueeze", name, rng.randrange(-rank - 1, rank + 1))


def views(draw: Draw) -> None:
    name = view(draw)
    for _ in range(draw.rng.choice((0, 1, 2))):
        name = view(draw, name)


def pads(draw: Draw) -> None:
    rng = draw.rng
    name = draw.pick(lambda t: t.dim() > 0)
    sides = [rng.choice((0, 1, 1, 2, 3, -1)) for _ in range(2 * rng.randrange(1, draw.value(name).dim() + 1))]
    mode = rng.choice(("constant", "constant", "constant", "replicate", "reflect", "circular"))
    options = {"value": draw.number(draw.dtype(name))} if mode == "constant" and rng.random() < 0.7 else {}
    draw.emit("F.pad", name, tuple(sides), mode, **options)


def reductions(draw: Draw) -> None:
    rng = draw.rng
    name = draw.pick()
    if rng.random() < 0.25:
        name = mask_of(draw, name)
    rank = draw.value(name).dim()
    function = rng.choice(
        (
            "sum",
            "mean",
            "amax",
            "amin",
            "prod",
            "any",
            "all",
            "var",
            "std",
            "argmax",
            "argmin",
            "cumsum",
            "logsumexp",
            "norm",
            "count_nonzero",
            "cumprod",
            "max",
            "min",
            "median",
            "softmax",
        )
    )
    if function in ("sum", "mean", "cumsum", "prod", "cumprod") and rng.random() < 0.35:
        draw.emit(f"torch.{function}", name, rng.randrange(-rank, rank) if rank else 0, dtype=any_dtype(draw))
        return
    if function in ("cumsum", "logsumexp", "cumprod", "softmax") or rng.random() < 0.6:
        dim = rng.randrange(-rank, rank) if rank else 0
        options = (
            {"keepdim": True} if rng.random() < 0.3 and function not in ("cumsum", "cumprod", "softmax", "count_nonzero") else {}
        )
        made = draw.emit(f"torch.{function}", name, dim, **options)
        if isinstance(draw.value(made), tuple):
            draw.emit("[]", made, 0)
            draw.emit("[]", made, 1)
        return
    draw.emit(f"torch.{function}", name)


def counted(draw: Draw) -> None:
    """How many there are, and what stands there: the pooling of the last token."""
    rng = draw.rng
    if rng.random() < 0.3:
        # More than float16 counts to.
        name = draw.leaf(rng.choice(INTEGERS), [rng.choice((1, 2)), rng.choice((2100, 4100, 6000))], kind="input")
    else:
        name = some(draw, INTEGERS, 1)
    condition = draw.emit("!=", name, rng.choice((0, 1)))
    total = draw.emit(".sum", condition, -1) if rng.random() < 0.7 else draw.emit("torch.count_nonzero", condition, -1)
    last = draw.emit("-", total, 1)
    if draw.value(last).dim() == 0:
        draw.emit("[]", name, last) if rng.random() < 0.5 else None


def joined(draw: Draw) -> None:
    rng = draw.rng
    first = draw.pick(lambda t: t.dim() > 0)
    dim = rng.randrange(draw.value(first).dim())
    second = another(draw, first)
    roll = rng.random()
    if roll < 0.3:
        extents = [size(draw, first, d) for d in range(draw.value(first).dim())]
        extents[dim] = rng.choice((0, 1, 2))
        second = draw.emit(rng.choice((".new_zeros", ".new_ones")), first, extents)
    made = (
        draw.emit("torch.cat", [first, second] if rng.random() < 0.8 else [first, second, first], dim)
        if roll < 0.75
        else draw.emit("torch.stack", [first, second], dim)
    )
    if rng.random() < 0.4:
        draw.emit("torch.cumsum", made, dim)


def filled_to(draw: Draw) -> None:
    """Padded to a fixed length by concatenation: the missing extent is derived."""
    name = draw.pick(lambda t: t.dim() > 0)
    dim = draw.rng.randrange(draw.value(name).dim())
    extents = [size(draw, name, d) for d in range(draw.value(name).dim())]
    extents[dim] = {"py": f"32 - {name}.size({dim})"}
    zeros = draw.emit(".new_zeros", name, extents)
    made = draw.emit("torch.cat", [name, zeros], dim)
    if draw.rng.random() < 0.6:
        draw.emit(draw.rng.choice(("torch.cumsum", "torch.sum", "torch.amax")), made, dim)


def created(draw: Draw) -> None:
    """Constants made by the program, of extents that it reads."""
    rng = draw.rng
    name = draw.pick()
    rank = draw.value(name).dim()
    extent = size(draw, name, rng.randrange(rank)) if rank else 3
    dtype = any_dtype(draw)
    roll = rng.choice(("arange", "arange", "full", "full_like", "zeros", "ones", "eye", "linspace", "tensor"))
    if roll == "arange":
        made = draw.emit("torch.arange", extent, **({"dtype": dtype} if rng.random() < 0.4 else {}))
    elif roll == "full":
        made = draw.emit("torch.full", (extent,), draw.number(dtype), dtype=dtype)
    elif roll == "full_like":
        made = draw.emit("torch.full_like", name, draw.number(dtype), **({"dtype": dtype} if rng.random() < 0.6 else {}))
    elif roll == "eye":
        made = draw.emit("torch.eye", extent)
    elif roll == "linspace":
        made = draw.emit("torch.linspace", -1.0, 1.0, extent)
    elif roll == "tensor":
        made = draw.emit("torch.tensor", rng.choice(([1, 2, 3], [0.5], [True, False], 3, 2.5)))
    else:
        made = draw.emit(f"torch.{roll}", (extent, 2), dtype=dtype)
    if rng.random() < 0.6:
        draw.emit(rng.choice(("+", "*", "<", ">=", "==")), name, made)


def lengths_to_mask(draw: Draw) -> None:
    rng = draw.rng
    name = some(draw, FLOATS, 2)
    extent = size(draw, name, 1)
    lengths = (
        draw.leaf(rng.choice(INTEGERS), [draw.shape(name)[0]], kind="input", low=1, high=max(2, draw.shape(name)[1] + 1))
        if not draw.example
        else draw.emit("[]", draw.emit(".to", draw.emit("torch.abs", name), torch.int64), slice(None), 0)
    )
    made = draw.emit(
        "<", draw.emit("[]", draw.emit("torch.arange", extent), None, slice(None)), draw.emit("[]", lengths, slice(None), None)
    )
    if len(draw.shape(name)) == 2:
        draw.emit("*", name, made) if rng.random() < 0.5 else draw.emit(
            ".masked_fill", name, draw.emit("~", made), rng.choice((0.0, float("-inf"), -1e4))
        )


def mixed_constants(draw: Draw) -> None:
    """A constant of a dtype that Core ML has not, cast before it is used."""
    rng = draw.rng
    dtype = rng.choice((torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.float64, torch.float16))
    base = some(draw, FLOATS)
    shape = draw.shape(base)
    extents = [] if draw.example else shape[rng.randrange(len(shape) + 1) :]
    made = draw.emit(".to", draw.constant(dtype, extents), draw.dtype(base))
    draw.emit(rng.choice("*+-"), base, made)


def state(draw: Draw) -> None:
    """A mutable buffer, read and written in either order."""
    rng = draw.rng
    if draw.example:
        raise Unfit
    dtype = rng.choice((torch.float32, torch.float32, torch.float32, torch.int64, torch.int32, torch.float16))
    existing = [leaf.name for leaf in draw.program.leaves if leaf.kind == "mutable"]
    name = (
        rng.choice(existing)
        if existing and rng.random() < 0.5
        else draw.leaf(dtype, kind="mutable", **({"high": 9, "low": 0} if not dtype.is_floating_point else {"scale": 1.0}))
    )
    dtype, shape = draw.dtype(name), draw.shape(name)
    before = draw.emit("*", name, 1) if rng.random() < 0.6 else ""
    source = draw.leaf(dtype, shape, kind="input", **({"high": 9, "low": 0} if not dtype.is_floating_point else {"scale": 1.0}))
    roll = rng.random()
    if roll < 0.4:
        draw.emit(".copy_", name, draw.emit("+", source, before) if before and rng.random() < 0.5 else source)
    elif roll < 0.6:
        draw.emit(".add_", name, source if rng.random() < 0.7 else 1)
    elif roll < 0.8 and shape and shape[0]:
        draw.emit("[]=", name, rng.choice((0, slice(None, 1))), draw.emit("[]", source, rng.choice((0,))))
    else:
        draw.emit(".mul_", name, 0 if not dtype.is_floating_point else 0.5)
    if rng.random() < 0.7:
        draw.emit("+", name, before or source)


BASIC = {
    "masks": [filled_mask, filled_mask, where, where, masked_fill, lengths_to_mask],
    "casts": [casts, casts, mixed_constants],
    "arithmetic": [arithmetic, arithmetic, large_integers, large_integers],
    "indexing": [gathered, gathered, put],
    "writes": [written],
    "views": [views, views],
    "pads": [pads],
    "reductions": [reductions, reductions, counted],
    "joining": [joined, filled_to],
    "creation": [created],
}
STATE = {"state": [state]}
