"""Compositions with layers: convolution, pooling, norms, attention, recurrence, resizing, einsum, control flow."""

from __future__ import annotations

from typing import Any

import torch
from drawing import Draw, Unfit
from from_samples import fitted
from idioms import FLOATS, INTEGERS, mask_of, size, some


def image(draw: Draw, rank: int) -> str:
    """A float value of this rank, of no less than a few rows."""
    rng = draw.rng
    if rng.random() < 0.6:
        found = draw.tensors(lambda t: t.is_floating_point() and t.dim() == rank and 0 not in t.shape)
        if found:
            return rng.choice(found)
    shape = [rng.choice((1, 2)), rng.choice((1, 2, 4)), *(rng.choice((4, 5, 7, 8)) for _ in range(rank - 2))]
    dims: dict[str, str] = {}
    for name, extent in draw.example.items():
        if rng.random() < 0.7:
            position = rng.randrange(rank)
            shape[position], dims[str(position)] = extent, name
    if not draw.example and rng.random() < 0.3:
        return fitted(draw, torch.float32, shape)
    return draw.leaf(rng.choice(FLOATS), shape, kind="input", dims=dims, scale=1.0)


def convolution(draw: Draw) -> None:
    rng = draw.rng
    rank = rng.choice((3, 4, 4, 5))
    name = image(draw, rank)
    channels = draw.shape(name)[1]
    dtype = draw.dtype(name)
    groups = rng.choice((1, 1, channels))
    kernel = [rng.choice((1, 2, 3)) for _ in range(rank - 2)]
    transposed = rng.random() < 0.25
    out = groups * rng.choice((1, 2))
    weight = draw.constant(
        dtype, [channels, out // groups, *kernel] if transposed else [out, channels // groups, *kernel], scale=0.3
    )
    bias = draw.constant(dtype, [out], scale=0.3) if rng.random() < 0.6 else None
    options: dict[str, Any] = {"stride": rng.choice((1, 1, 2, [2])), "padding": rng.choice((0, 1, [1])), "groups": groups}
    if rng.random() < 0.2 and not transposed:
        options["padding"] = rng.choice(("same", "valid"))
        options["stride"] = 1
    if rng.random() < 0.3:
        options["dilation"] = 2
    draw.emit(f"F.conv{'_transpose' if transposed else ''}{rank - 2}d", name, weight, bias, **options)


def pooling(draw: Draw) -> None:
    rng = draw.rng
    rank = rng.choice((3, 4, 4, 4, 5))
    name = image(draw, rank)
    dims = rank - 2

    def extents(*choices: int) -> Any:
        roll = rng.random()
        return (
            rng.choice(choices)
            if roll < 0.4
            else [rng.choice(choices)]
            if roll < 0.6
            else [rng.choice(choices) for _ in range(dims)]
        )

    roll = rng.choice(("max", "max", "avg", "avg", "adaptive_avg", "adaptive_max", "lp"))
    if roll == "max":
        args = [extents(1, 2, 3), extents(1, 2), extents(0, 1)][: rng.choice((1, 2, 3))]
        options = {"dilation": extents(1, 2)} if rng.random() < 0.2 else {}
        if rng.random() < 0.3:
            options["ceil_mode"] = True
        draw.emit(f"F.max_pool{dims}d", name, *args, **options)
    elif roll == "avg":
        options = {}
        if rng.random() < 0.5:
            options["padding"] = extents(0, 1)
        if rng.random() < 0.4:
            options["ceil_mode"] = True
        if rng.random() < 0.3:
            options["count_include_pad"] = False
        draw.emit(f"F.avg_pool{dims}d", name, extents(2, 3), *([extents(1, 2)] if rng.random() < 0.7 else []), **options)
    elif roll == "lp" and dims < 3:
        draw.emit(f"F.lp_pool{dims}d", name, 2.0, rng.choice((2, 3)))
    else:
        kind = "max" if roll == "adaptive_max" else "avg"
        draw.emit(f"F.adaptive_{kind}_pool{dims}d", name, rng.choice((1, 1, 2, 3)))


def norms(draw: Draw) -> None:
    rng = draw.rng
    name = image(draw, rng.choice((2, 3, 4, 4)))
    shape, dtype = draw.shape(name), draw.dtype(name)
    roll = rng.choice(("layer", "layer", "group", "batch", "instance", "rms", "normalize", "local"))
    if roll in ("layer", "rms"):
        if draw.example and shape[-1] in draw.example.values():
            raise Unfit
        weight = draw.constant(dtype, [shape[-1]], scale=1.0) if rng.random() < 0.6 else None
        draw.emit("F.layer_norm" if roll == "layer" else "F.rms_norm", name, (shape[-1],), weight)
    elif roll == "group":
        draw.emit("F.group_norm", name, rng.choice((1, shape[1])))
    elif roll == "batch":
        made = draw.module(f"torch.nn.BatchNorm{max(1, len(shape) - 2)}d({shape[1]})")
        draw.emit(made, name)
    elif roll == "instance" and len(shape) > 2:
        draw.emit("F.instance_norm", name)
    elif roll == "local":
        draw.emit("F.local_response_norm", name, rng.choice((2, 3)))
    else:
        draw.emit("F.normalize", name, dim=rng.randrange(len(shape)))


def resizing(draw: Draw) -> None:
    rng = draw.rng
    rank = rng.choice((3, 4, 4, 4, 5))
    name = image(draw, rank)
    mode = rng.choice(
        {
            3: ("nearest", "linear", "area"),
            4: ("nearest", "bilinear", "bilinear", "bicubic", "area", "nearest-exact"),
            5: ("nearest", "trilinear"),
        }[rank]
    )
    options: dict[str, Any] = {"mode": mode}
    if rng.random() < 0.6:
        options["scale_factor"] = rng.choice((2, 2.0, 0.5, 0.7, 1.5, 3, 1.0))
    else:
        options["size"] = rng.choice((3, 5, 8, [rng.choice((2, 6, 9))] * (rank - 2)))
    if mode in ("linear", "bilinear", "bicubic", "trilinear"):
        if rng.random() < 0.4:
            options["align_corners"] = True
        if rng.random() < 0.1:
            options["antialias"] = True
    draw.emit("F.interpolate", name, **options)


def attention(draw: Draw) -> None:
    """scaled_dot_product_attention with masks of every make, and grouped heads."""
    rng = draw.rng
    heads, width, length = rng.choice((1, 2, 4)), rng.choice((2, 4, 8)), rng.choice((1, 3, 5))
    dims: dict[str, str] = {}
    if draw.example:
        extent = rng.choice(list(draw.example))
        length, dims = draw.example[extent], {"2": extent}
    dtype = rng.choice(FLOATS)
    query = draw.leaf(dtype, [1, heads, length, width], kind="input", scale=1.0, dims=dims)
    if rng.random() < 0.5 and not draw.example:
        query = fitted(draw, dtype, [1, heads, length, width])
    groups = rng.choice((1, 1, 2)) if heads > 1 else 1
    key = draw.leaf(dtype, [1, heads // groups, length, width], kind="input", scale=1.0, dims=dims)
    value = draw.leaf(dtype, [1, heads // groups, length, width], kind="input", scale=1.0, dims=dims)
    if groups > 1:
        repeat = rng.random()
        if repeat < 0.6:
            key, value = (draw.emit(".repeat_interleave", v, groups, 1) for v in (key, value))
        else:
            key, value = (draw.emit(".repeat", v, 1, groups, 1, 1) for v in (key, value))
    roll = rng.choice(("none", "causal", "bool", "float", "long", "tril"))
    options: dict[str, Any] = {}
    extent = size(draw, query, 2)
    if roll == "causal":
        options["is_causal"] = True
    elif roll == "tril":
        ones = draw.emit("torch.ones", extent, extent, dtype=torch.bool)
        options["attn_mask"] = draw.emit("torch.tril", ones)
    elif roll in ("bool", "float"):
        kept = draw.leaf(torch.bool, [1, length], kind="input", low=0, high=2, dims={"1": dims["2"]} if dims else None)
        kept = draw.emit("[]", kept, slice(None), None, None, slice(None))
        options["attn_mask"] = kept
        if roll == "float":
            zeros = draw.emit("torch.zeros_like", kept, dtype=dtype)
            options["attn_mask"] = draw.emit(".masked_fill", zeros, kept, rng.choice((float("-inf"), -1e4)))
    elif roll == "long":
        ids = draw.leaf(
            rng.choice(INTEGERS),
            [length, length] if not dims else [1, length],
            kind="input",
            low=0,
            high=3,
            dims={"1": dims["2"]} if dims else None,
        )
        zeros = draw.emit("torch.zeros_like", ids, dtype=dtype)
        options["attn_mask"] = draw.emit(".masked_fill", zeros, draw.emit("==", ids, 0), float("-inf"))
    if rng.random() < 0.2:
        options["scale"] = rng.choice((0.5, 1.0))
    draw.emit("F.scaled_dot_product_attention", query, key, value, **options)


def transformer(draw: Draw) -> None:
    """nn.MultiheadAttention and the encoder layer, with and without masks."""
    rng = draw.rng
    heads, width, length, batch = rng.choice((1, 2)), rng.choice((4, 8)), rng.choice((1, 3, 5)), rng.choice((1, 2))
    dims: dict[str, str] = {}
    if draw.example:
        extent = rng.choice(list(draw.example))
        length, dims = draw.example[extent], {"1": extent}
    x = draw.leaf(torch.float32, [batch, length, width], kind="input", scale=1.0, dims=dims)
    padding = draw.leaf(torch.bool, [batch, length], kind="input", low=0, high=2, dims=dims) if rng.random() < 0.6 else None
    if rng.random() < 0.6:
        module = draw.module(f"torch.nn.MultiheadAttention({width}, {heads}, batch_first=True)")
        options: dict[str, Any] = {"need_weights": rng.random() < 0.3}
        if padding:
            options["key_padding_mask"] = padding
        if rng.random() < 0.3 and not dims:
            options["attn_mask"] = draw.leaf(torch.bool, [length, length], kind="buffer", low=0, high=2)
        draw.emit("[]", draw.emit(module, x, x, x, **options), 0)
    else:
        options = {"src_key_padding_mask": padding} if padding else {}
        module = draw.module(f"torch.nn.TransformerEncoderLayer({width}, {heads}, {2 * width}, dropout=0.0, batch_first=True)")
        draw.emit(module, x, **options)


def recurrent(draw: Draw) -> None:
    rng = draw.rng
    kind = rng.choice(("LSTM", "LSTM", "GRU", "RNN"))
    width, hidden, layers, length, batch = (
        rng.choice((2, 5)),
        rng.choice((3, 4)),
        rng.choice((1, 1, 2)),
        rng.choice((1, 3, 6)),
        rng.choice((1, 2)),
    )
    both, projected = rng.random() < 0.3, kind == "LSTM" and rng.random() < 0.25
    text = f"torch.nn.{kind}({width}, {hidden}, {layers}, batch_first=True"
    text += (
        (", bidirectional=True" if both else "")
        + (", proj_size=2" if projected else "")
        + (", bias=False" if rng.random() < 0.15 else "")
    )
    module = draw.module(text + ")")
    dims = {"1": rng.choice(list(draw.example))} if draw.example else {}
    length = draw.example[dims["1"]] if dims else length
    x = draw.leaf(torch.float32, [batch, length, width], kind="input", scale=1.0, dims=dims)
    args: list[Any] = [x]
    if rng.random() < 0.5:
        first = draw.leaf(torch.float32, [layers * (1 + both), batch, 2 if projected else hidden], scale=1.0)
        second = draw.leaf(torch.float32, [layers * (1 + both), batch, hidden], scale=1.0)
        args.append((first, second) if kind == "LSTM" else first)
    made = draw.emit(module, *args)
    draw.emit("[]", made, 0)
    if rng.random() < 0.5:
        last = draw.emit("[]", made, 1)
        if kind == "LSTM":
            draw.emit("[]", last, 0)
            draw.emit("[]", last, 1)


def products(draw: Draw) -> None:
    rng = draw.rng
    first = some(draw, (torch.float32, torch.float32, torch.float16, torch.int32, torch.int64), 1)
    shape, dtype = draw.shape(first), draw.dtype(first)
    if draw.example and shape[-1] in draw.example.values():
        if len(shape) != 2:
            raise Unfit
        draw.emit("@", draw.emit(".t", first), first)
        return
    inner = shape[-1]
    options: dict[str, Any] = {"scale": 0.3} if dtype.is_floating_point else {"low": -9, "high": 9}
    roll = rng.choice(("linear", "linear", "matmul", "matmul", "vector", "addmm", "batch"))
    if roll == "linear":
        out = rng.choice((1, 2, 3, 8))
        draw.emit(
            "F.linear",
            first,
            draw.constant(dtype, [out, inner], **options),
            draw.constant(dtype, [out], **options) if rng.random() < 0.5 else None,
        )
    elif roll == "matmul":
        draw.emit("@", first, draw.leaf(dtype, [inner, rng.choice((1, 2, 3))], **options))
    elif roll == "vector":
        draw.emit("torch.matmul", first, draw.leaf(dtype, [inner], **options))
    elif roll == "addmm" and len(shape) == 2:
        draw.emit(
            "torch.addmm",
            draw.leaf(dtype, [3], **options),
            first,
            draw.leaf(dtype, [inner, 3], **options),
            beta=rng.choice((1, 2, 0)),
            alpha=rng.choice((1, 3)),
        )
    else:
        draw.emit("torch.matmul", first, draw.emit(".transpose", first, -1, -2))


def shared_weight(draw: Draw) -> None:
    """One weight read in several roles: as a matrix and its transpose, as a table and a projection, as a filter both ways."""
    rng = draw.rng
    dtype = rng.choice((torch.float32, torch.float32, torch.float16))
    if rng.random() < 0.6:
        width = rng.choice((2, 3, 4, 8))
        shape = [width, width] if rng.random() < 0.7 else [rng.choice((2, 5)), width]
        kept = [name for name in draw.tensors(lambda t: t.dim() == 2 and t.dtype is dtype and 0 not in t.shape) if "self." in name]
        weight = rng.choice(kept) if kept and rng.random() < 0.4 else draw.constant(dtype, shape, scale=0.3)
        rows, columns = draw.shape(weight)
        turned = draw.emit(".t", weight) if rng.random() < 0.7 else ""
        roles = [
            lambda: draw.emit("@", operand(draw, dtype, rows), weight),
            lambda: draw.emit("F.linear", operand(draw, dtype, columns), weight),
            lambda: draw.emit("@", operand(draw, dtype, columns), turned or draw.emit(".transpose", weight, 0, 1)),
            lambda: draw.emit("F.embedding", draw.leaf(rng.choice(INTEGERS), [rng.choice((1, 3))], low=0, high=rows), weight),
            lambda: draw.emit("*", operand(draw, dtype, columns), draw.emit("[]", weight, 0)),
            lambda: draw.emit("F.linear", operand(draw, dtype, rows), turned or draw.emit(".t", weight)),
        ]
    else:
        channels = rng.choice((1, 2, 4))
        kernel = [rng.choice((1, 2, 3))] * 2
        weight = draw.constant(dtype, [channels, channels, *kernel], scale=0.3)

        def filtered(function: str, **options: Any) -> str:
            edge = rng.choice((4, 7))
            return draw.emit(function, draw.leaf(dtype, [1, channels, edge, edge], kind="input", scale=1.0), weight, **options)

        roles = [
            lambda: filtered("F.conv2d", padding=rng.choice((0, 1))),
            lambda: filtered("F.conv2d", stride=2),
            lambda: filtered("F.conv_transpose2d", stride=rng.choice((1, 2))),
        ]
    for role in rng.sample(roles, rng.choice((2, 2, 3))):
        role()


def operand(draw: Draw, dtype: torch.dtype, inner: int) -> str:
    """Rows of this many numbers: a value that there is, or an input."""
    found = draw.tensors(lambda t: t.dtype is dtype and t.dim() > 1 and t.shape[-1] == inner and 0 not in t.shape)
    if found and draw.rng.random() < 0.5 and not draw.example:
        return draw.rng.choice(found)
    rows = [draw.rng.choice((1, 2, 3, 33))]
    dims = {"0": draw.rng.choice(list(draw.example))} if draw.example and draw.rng.random() < 0.5 else {}
    return draw.leaf(dtype, [draw.example[dims["0"]] if dims else rows[0], inner], kind="input", scale=1.0, dims=dims)


_EINSUMS = (
    "ij,jk->ik",
    "bij,bjk->bik",
    "ii->",
    "ii->i",
    "ij->ji",
    "i,j->ij",
    "...f,f->...f",
    "bhqd,bhkd->bhqk",
    "ij->",
    "ij,ij->",
    "... f, f -> ... f",
    "i,i->",
    "bn,anm,bm->ba",
)


def einsum(draw: Draw) -> None:
    rng = draw.rng
    equation = rng.choice(_EINSUMS)
    extents = {letter: rng.choice((1, 2, 3, 4)) for letter in "abcdefhijkmnq"}
    operands = []
    dtype = rng.choice((torch.float32, torch.float32, torch.float32, torch.float16, torch.int64))
    for term in equation.split("->")[0].split(","):
        shape = [extents[letter] for letter in term.replace(" ", "").replace("...", "ij")]
        operands.append(fitted(draw, dtype, shape) if rng.random() < 0.6 else draw.leaf(dtype, shape))
    draw.emit("torch.einsum", equation, *operands)


_ACTIVATIONS_TEXT = """
    relu gelu silu sigmoid tanh softplus elu leaky_relu hardswish hardsigmoid mish selu celu logsigmoid relu6 softsign
    tanhshrink hardtanh softshrink hardshrink glu
"""
_ACTIVATIONS = _ACTIVATIONS_TEXT.split()
_FUNCTIONS_TEXT = """
    abs neg exp log sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh asinh acosh atanh floor ceil round trunc frac
    sign erf expm1 log1p log2 log10 square exp2 isnan isinf isfinite signbit logical_not bitwise_not sinc nan_to_num deg2rad
"""
_FUNCTIONS = _FUNCTIONS_TEXT.split()


def elementwise(draw: Draw) -> None:
    rng = draw.rng
    if rng.random() < 0.4:
        draw.emit(f"F.{rng.choice(_ACTIVATIONS)}", some(draw, FLOATS))
    else:
        draw.emit(f"torch.{rng.choice(_FUNCTIONS)}", draw.pick())


def waves(draw: Draw) -> None:
    """A phase summed over many samples, and harmonics of it."""
    rng = draw.rng
    name = draw.leaf(torch.float32, [1, rng.choice((100, 3000, 12000))], kind="input", scale=rng.choice((0.1, 0.5)))
    phase = draw.emit("torch.cumsum", name, -1)
    draw.emit(rng.choice(("torch.sin", "torch.cos")), draw.emit("*", phase, rng.choice((1.0, 3.0, 9.0))))


def _branch(draw: Draw, name: str, sign: str) -> dict[str, Any]:
    """A function of one tensor that keeps its shape and dtype."""
    value: Any = draw.rng.choice((1.5, 2.0, 0.5)) if draw.dtype(name).is_floating_point else draw.rng.choice((1, 2, 3))
    calls = [{"out": "w0", "function": draw.rng.choice("+*-"), "args": [{"v": "a"}, value], "kwargs": {}}]
    if draw.rng.random() < 0.5 and draw.dtype(name).is_floating_point:
        calls.append(
            {"out": "w1", "function": draw.rng.choice(("torch.sin", "F.relu", "torch.tanh")), "args": [{"v": "w0"}], "kwargs": {}}
        )
    return {"def": {"name": sign, "parameters": ["a"], "calls": calls, "result": [{"v": calls[-1]["out"]}]}}


def conditional(draw: Draw) -> None:
    """torch.cond on a computed predicate."""
    rng = draw.rng
    name = some(draw, (torch.float32, torch.float32, torch.int64, torch.float16))
    total = draw.emit(".sum", draw.pick())
    predicate = draw.emit(rng.choice(("<", ">")), total, 0)
    if draw.value(predicate).dim():
        raise Unfit
    number = len(draw.program.calls)
    made = draw.emit("cond", predicate, _branch(draw, name, f"yes_{number}"), _branch(draw, name, f"no_{number}"), (name,))
    draw.emit("[]", made, 0)


def loop(draw: Draw) -> None:
    """torch.while_loop that counts."""
    rng = draw.rng
    name = some(draw, (torch.float32,))
    number = len(draw.program.calls)
    count = draw.emit("torch.zeros", (), dtype=torch.int64)
    condition = {
        "def": {
            "name": f"go_on_{number}",
            "parameters": ["i", "a"],
            "calls": [{"out": "w0", "function": "<", "args": [{"v": "i"}, rng.choice((1, 2, 3))], "kwargs": {}}],
            "result": {"v": "w0"},
        }
    }
    body = {
        "def": {
            "name": f"body_{number}",
            "parameters": ["i", "a"],
            "calls": [
                {"out": "w0", "function": "+", "args": [{"v": "i"}, 1], "kwargs": {}},
                {"out": "w1", "function": "*", "args": [{"v": "a"}, 0.5], "kwargs": {}},
            ],
            "result": {"tuple": [{"v": "w0"}, {"v": "w1"}]},
        }
    }
    made = draw.emit("while_loop", condition, body, (count, name))
    draw.emit("[]", made, 1)


def scanned(draw: Draw) -> None:
    """scan along the first dimension: a leaky sum, and something of each step."""
    rng = draw.rng
    if draw.example:
        raise Unfit
    name = some(draw, (torch.float32, torch.float32, torch.int32), 1)
    # ExecuTorch makes int64 of what a literal does to a scalar of int32.
    if not draw.shape(name)[0] or (draw.dtype(name) is torch.int32 and draw.value(name).dim() == 1):
        raise Unfit
    number = len(draw.program.calls)
    is_float = draw.dtype(name).is_floating_point
    start = draw.emit("torch.zeros", tuple(draw.shape(name)[1:]), dtype=draw.dtype(name))
    step = [
        {"out": "w0", "function": "*", "args": [{"v": "c"}, 0.5 if is_float else 1], "kwargs": {}},
        {"out": "w1", "function": rng.choice(("+", "torch.maximum")), "args": [{"v": "w0"}, {"v": "a"}], "kwargs": {}},
        {
            "out": "w2",
            "function": rng.choice(("torch.tanh", "torch.neg") if is_float else ("torch.neg",)),
            "args": [{"v": "w1"}],
            "kwargs": {},
        },
    ]
    combine = {
        "def": {
            "name": f"step_{number}",
            "parameters": ["c", "a"],
            "calls": step,
            "result": {"tuple": [{"v": "w1"}, {"v": "w2"}]},
        }
    }
    made = draw.emit("scan", combine, start, name)
    draw.emit("[]", made, 0)
    draw.emit("[]", made, 1)


def chosen(draw: Draw) -> None:
    """A value kept where a mask says so, normalized."""
    name = some(draw, FLOATS, 1)
    condition = mask_of(draw, name)
    draw.emit("*", name, condition)


LAYERS = {
    "elementwise": [elementwise, elementwise, elementwise, chosen],
    "convolution": [convolution],
    "pooling": [pooling],
    "norms": [norms],
    "resizing": [resizing],
    "attention": [attention, transformer],
    "recurrent": [recurrent],
    "products": [products, products, shared_weight],
    "einsum": [einsum],
    "waves": [waves],
    "control flow": [conditional, conditional, loop, scanned],
}
