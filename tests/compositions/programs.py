"""Programs that are right only where their calls agree: each gave wrong numbers, or an exception, while every call of it was right alone.

A program is one line or one module; its name says what it is about. `targets` and `outside` say what is known of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

INFINITY = float("inf")


@dataclasses.dataclass(frozen=True)
class Program:
    """function: of the inputs. dynamic: torch.export's shapes, by input. targets: the deployment targets that take it. outside: the ops
    that may stay outside Core ML; anything else there is a failure. conditioning: by how much the function magnifies the rounding of its
    inputs, at most."""

    function: Callable[..., Any]
    inputs: tuple[torch.Tensor, ...]
    dynamic: tuple[dict[int, Dim], ...] | None = None
    targets: tuple[str, ...] = ("iOS15", "iOS16", "iOS17", "iOS18")
    outside: frozenset[str] = frozenset()
    conditioning: float = 1.0


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) * 31 + len(shape)))


def _seeded(module: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return module().eval()


# Integers that float16 does not hold, as of indices, counts and token ids.
IDS = torch.tensor([[30001, 2049, 4097, 100001]])
MASK = torch.tensor([[True, False, True, False], [False, False, False, True]])
NO_MASK = torch.zeros(2, 4, dtype=torch.bool)
X = normal(2, 4, 16)
IMAGE = normal(1, 2, 8, 10)
ATTENTION = _seeded(lambda: nn.MultiheadAttention(16, 4, batch_first=True))
LAYER = _seeded(lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True))
LSTM = _seeded(lambda: nn.LSTM(10, 20, 2, batch_first=True))
PROJECTED = _seeded(lambda: nn.LSTM(6, 5, 2, bidirectional=True, proj_size=3))
TIED = _seeded(lambda: nn.Conv2d(2, 2, 3, bias=False)).weight.detach()
SQUARE = normal(16, 16)
FREQUENCIES = 1.0 / 10000.0 ** (torch.arange(0, 8, 2) / 8)


def _rotated(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    angles = positions[:, :, None].float() * FREQUENCIES
    angles = torch.cat([angles, angles], -1)
    first, second = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-second, first], -1) * angles.sin()


CONVOLUTION = _seeded(lambda: nn.Conv1d(4, 8, 3, padding=1))
STEPS = Dim("steps", min=3, max=16)
ROWS = Dim("rows", min=1, max=16)
HALVES = normal(1, 1, 3).half()


def _filled_up(x: torch.Tensor, extent: int = 32) -> torch.Tensor:
    """Rows of a fixed length, which only the exported program knows to be fixed."""
    return torch.cat([x, x.new_zeros(x.shape[0], extent - x.shape[1])], 1)


class ConstantsOfManyTypes(nn.Module):
    """Weights as they are stored, cast where they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("brain", normal(5, 4).bfloat16())
        self.register_buffer("signed", torch.arange(-10, 10).reshape(5, 4).to(torch.int8))
        self.register_buffer("unsigned", torch.arange(200, 220).reshape(5, 4).to(torch.uint8))
        self.register_buffer("short", torch.tensor([2, 0, 1], dtype=torch.int16))
        self.register_buffer("doubles", normal(5, 4).double())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            F.linear(x, self.brain.float()),
            self.signed.float() * 0.5 + x[0],
            self.unsigned.float() * 2 + x[0],
            x[self.short.long()],
            x + self.doubles.float().sum(),
        )


def _scatter_diagonal(value: torch.Tensor) -> torch.Tensor:
    total, row, zero = torch.zeros(2, 2, 4, 4), torch.arange(4), torch.zeros(4, dtype=torch.long)
    total.index_put_((zero, zero, row, row), value, accumulate=True)
    return total


def _mask_of_lengths(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return CONVOLUTION(x) * (torch.arange(x.shape[2])[None] < lengths[:, None])[:, None]


def _grouped_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k.repeat_interleave(3, dim=1), v.repeat_interleave(3, dim=1))


def _masked_attention(ids: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    bias = torch.zeros_like(ids, dtype=torch.float32).masked_fill(ids == 0, -INFINITY)
    return F.scaled_dot_product_attention(q, q, q, attn_mask=bias)


def _write_a_computed_number(x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    written = x.clone()
    written[:, :1] = n.float().mean()
    return written


def _last_token(hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return hidden[0, (ids != 0).sum(1) - 1]


PROGRAMS: dict[str, Program] = {
    # The dtype of a fill.
    "float_zeros_like_bools_with_infinity": Program(
        lambda m: torch.zeros_like(m, dtype=torch.float32).masked_fill(m, -INFINITY), (MASK,)
    ),
    "integer_ones_like_floats": Program(lambda x: torch.ones_like(x, dtype=torch.int64) * 100001, (X,)),
    "bias_of_token_ids_in_attention": Program(_masked_attention, (torch.tensor([[0, 1, 2, 3]]), normal(1, 1, 4, 8))),
    "attention_with_padding": Program(lambda x, m: ATTENTION(x, x, x, key_padding_mask=m, need_weights=False)[0], (X, MASK)),
    "attention_with_padding_and_weights": Program(lambda x, m: ATTENTION(x, x, x, key_padding_mask=m), (X, MASK)),
    "attention_whose_rows_see_no_key": Program(
        lambda q, m: F.scaled_dot_product_attention(
            q, q, q, attn_mask=torch.zeros(2, 1, 1, 4).masked_fill(m[:, None, None], -INFINITY)
        ),
        (normal(2, 3, 4, 8), torch.tensor([[True] * 4, [False, False, False, True]])),
    ),
    "attention_whose_bool_rows_see_no_key": Program(
        lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=~m[:, None, None]),
        (normal(2, 3, 4, 8), torch.tensor([[True] * 4, [False, False, False, True]])),
    ),
    "encoder_layer_with_padding": Program(lambda x, m: LAYER(x, src_key_padding_mask=m), (X, MASK), conditioning=4),
    "encoder_layer_with_padding_dynamic": Program(
        lambda x, m: LAYER(x, src_key_padding_mask=m), (X, MASK), ({1: STEPS}, {1: STEPS}), conditioning=4
    ),
    "computed_number_written_into_a_view": Program(_write_a_computed_number, (IMAGE, torch.tensor([3, 7]))),
    # Integers stay integers.
    "clamp_from_below": Program(lambda i: i.clamp(min=0), (IDS,)),
    "clamp_from_above": Program(lambda i: i.clamp(max=50001), (IDS,)),
    "clamp_both_ways": Program(lambda i: i.clamp(3000, 50001), (IDS,)),
    "clamp_by_tensors": Program(lambda i: i.clamp(i - 1, i // 2), (IDS,)),
    "pad_integers": Program(lambda i: F.pad(i, (2, 3), value=50256), (IDS,)),
    "pad_integers_replicated": Program(lambda i: F.pad(i.reshape(1, 1, 4), (1, 1), mode="replicate"), (IDS,)),
    "pad_integers_of_flexible_extent": Program(lambda i: F.pad(i, (1, 2), value=70001), (IDS,), ({1: STEPS},)),
    "pad_bools": Program(lambda m: F.pad(m, (1, 2), value=True), (MASK,)),
    "count_of_bools": Program(lambda i: (i != 0).sum(1), (torch.ones(1, 4097, dtype=torch.long),)),
    "count_nonzero": Program(lambda i: torch.count_nonzero(i), (torch.ones(1, 4097, dtype=torch.long),)),
    "row_of_the_last_token": Program(_last_token, (normal(1, 4100, 2), (torch.arange(4100)[None] < 4097).long())),
    "power_of_two": Program(lambda i: 2**i, (torch.arange(31),)),
    "float_power_of_two": Program(lambda x: 2**x, (X,)),
    "index_of_large_integers": Program(
        lambda x, i: x[i], (torch.tensor([16777217, 70000, 5], dtype=torch.int32), torch.tensor([1, 0]))
    ),
    "integers_through_bools": Program(lambda x: x.int().bool().int() * 3, (torch.tensor([0.3, 2.0, 0.0]),)),
    "isinf_of_integers": Program(lambda i: torch.isinf(i), (IDS,)),
    "isnan_of_integers": Program(lambda i: torch.isnan(i), (IDS,)),
    "atanh_of_integers": Program(lambda i: torch.atanh(i), (torch.tensor([0, 0]),)),
    # What int32 does not hold stays outside, with what computes integers of it.
    "sum_with_a_large_literal": Program(lambda i: i + 2**40, (IDS,), outside=frozenset({"aten.add.Tensor"})),
    "sum_with_a_large_fill": Program(
        lambda i: torch.full_like(i, 2**40) + i, (IDS,), outside=frozenset({"aten.add.Tensor", "aten.full_like.default"})
    ),
    "fill_with_the_largest_integer": Program(
        lambda i: i.masked_fill(i > 5000, torch.iinfo(torch.int64).max),
        (IDS,),
        outside=frozenset({"aten.where.self", "aten.scalar_tensor.default"}),
    ),
    # Shapes.
    "where_whose_condition_is_larger": Program(lambda m: torch.where(m[:, None, :], 0.0, -100.0), (MASK,), ({1: STEPS},)),
    "where_of_constants": Program(
        lambda x: torch.where(x > 0, torch.arange(4.0), torch.tensor(-INFINITY)), (normal(3, 4),), ({0: STEPS},)
    ),
    "grouped_heads_of_flexible_length": Program(
        _grouped_attention, (normal(1, 6, 7, 8), normal(1, 2, 7, 8), normal(1, 2, 7, 8)), ({2: STEPS},) * 3
    ),
    "zeros_up_to_a_fixed_length": Program(
        lambda x: torch.cat([x, x.new_zeros(1, 4, 64 - x.shape[2])], -1).cumsum(-1),
        (normal(1, 4, 20),),
        ({2: Dim("length", min=2, max=60)},),
        outside=frozenset({"aten.full.default", "sub", "aten.sym_size.int"}),
    ),
    "mask_of_lengths": Program(
        _mask_of_lengths,
        (normal(3, 4, 16), torch.tensor([5, 16, 3])),
        ({0: Dim("batch", min=2, max=8), 2: Dim("time", min=4, max=64)}, {0: Dim("batch", min=2, max=8)}),
    ),
    "adaptive_pool_of_flexible_extents": Program(
        lambda x: F.adaptive_avg_pool2d(x, 2) + 1,
        (IMAGE,),
        ({2: Dim("height", min=4, max=32), 3: Dim("width", min=4, max=32)},),
        outside=frozenset({"aten._adaptive_avg_pool2d.default"}),
    ),
    # Angles of integers, which float16 would not hold.
    "rotary_positions": Program(_rotated, (normal(1, 6, 8), torch.tensor([[0, 1, 1023, 4097, 20001, 30000]]))),
    "rotary_positions_of_flexible_length": Program(
        lambda x: _rotated(x, torch.arange(x.shape[1])[None] * 1000), (normal(1, 7, 8),), ({1: STEPS},)
    ),
    "time_step_embedding": Program(
        lambda t: torch.cat([(t[:, None].float() * FREQUENCIES).sin(), (t[:, None].float() * FREQUENCIES).cos()], -1) * 2,
        (torch.tensor([3, 999]),),
    ),
    # Arguments as somebody writes them.
    "cut_off_by_padding": Program(lambda x: F.pad(x, (-1, 2, 1, -2), value=3.0) * 2, (normal(2, 5, 4),)),
    "integers_cut_off_by_padding": Program(
        lambda x: F.pad(x, (-1, -1, 0, 2), value=2**24 + 1), (torch.arange(24).reshape(2, 3, 4),)
    ),
    "cut_off_a_flexible_extent": Program(lambda x: F.pad(x, (0, 0, -1, 2), value=3.0) * 2, (normal(4, 3),), ({0: STEPS},)),
    "integers_cut_off_a_flexible_extent": Program(lambda i: F.pad(i, (1, -1), value=70001), (IDS,), ({1: STEPS},)),
    "rest_of_a_division": Program(
        lambda x, y: torch.fmod(x, y), (torch.tensor([5.25, -5.25, 0.0, -7.0, 3.0]), torch.tensor([2.0, 2.0, 3.0, -2.0, INFINITY]))
    ),
    "rest_of_integers": Program(lambda i: torch.fmod(i - 3000, 7), (IDS,)),
    "a_matrix_read_both_ways": Program(lambda x: (x @ x.t(), x.t().t().relu()), (normal(4, 4),)),
    "a_flexible_matrix_read_both_ways": Program(
        lambda x: (x.t() @ x.t().t(), (x.t() @ x).t() @ (x.t() @ x)), (normal(8, 5),), ({1: STEPS},)
    ),
    "a_mask_filled_by_itself": Program(
        lambda mask, x: mask.masked_fill(mask, x.sum()), (torch.tensor([[True, False, True]]), torch.tensor([1.0, -1.0]))
    ),
    "range_in_floats": Program(lambda x: x + torch.arange(4, dtype=torch.float32) * 0.1, (normal(3, 4),)),
    "range_by_tenths": Program(lambda x: x * torch.arange(0, 1, 0.1), (normal(3, 10),)),
    "range_of_a_flexible_length": Program(
        lambda x: x + torch.arange(2, 2 + x.shape[1], dtype=torch.float32),
        (normal(3, 4),),
        ({1: Dim("length", min=2, max=30)},),
        outside=frozenset({"add", "aten.sym_size.int"}),
    ),
    "one_element_as_a_scalar": Program(lambda x: (x * 2).view(()) + 1, (normal(1, 1),)),
    "an_index_from_what_stays_outside": Program(
        lambda x: torch.fft.ifftshift(x, dim=-1) * 2,
        (normal(3, 5),),
        outside=frozenset({"aten.arange.start_step", "aten.add.Tensor", "aten.fmod.Scalar", "aten.add.Scalar"}),
    ),
    # What MIL knows less of than the exported program.
    "windows_of_what_is_filled_up": Program(lambda x: _filled_up(x).unfold(1, 4, 2), (normal(3, 6),), ({1: STEPS},)),
    "gates_of_what_is_filled_up": Program(lambda x: F.glu(_filled_up(x)), (normal(2, 6),), ({0: ROWS, 1: STEPS},)),
    "views_of_what_is_filled_up": Program(
        lambda x: (_filled_up(x).cumsum(1), _filled_up(x).reshape(-1, 4, 8)), (normal(3, 6),), ({1: STEPS},), conditioning=4
    ),
    "windows_of_flexible_rows": Program(lambda x: x.unfold(0, 2, 1) * 2, (normal(6, 3),), ({0: STEPS},)),
    "window_of_a_number": Program(lambda x: x.unfold(0, 1, 1) + 1, (torch.tensor(5.0),)),
    # What it knows more of.
    "gates_of_a_few_and_known_ones": Program(lambda x: F.glu(torch.cat([x, x.new_zeros(2, 31)], 1)), (normal(2, 1),)),
    "an_element_of_a_known_mask": Program(
        lambda mask, x: x.masked_fill(torch.full_like(mask, True)[1], 2.0), (torch.tensor([True, False]), normal(3))
    ),
    "known_halves_with_edges": Program(
        lambda x: x + F.pad(HALVES, (1, 2), mode="reflect"), (normal(1, 1, 6).half(),), targets=("iOS16", "iOS17", "iOS18")
    ),
    # Numbers that are computed of extents.
    "extents_computed_with": Program(
        lambda x: (x.new_zeros(40 - 2 * x.shape[0]), x * (x.shape[0] + 1), torch.full((2,), x.shape[0] * 3)),
        (normal(6, 3),),
        ({0: STEPS},),
    ),
    # Kept whole for one call, taken apart for another.
    "padding_and_windows_of_nothing": Program(
        lambda x, nothing: (F.pad(x, (0, 3), value=16777217), F.unfold(nothing, (2, 3), padding=(1, 2))),
        (IDS, torch.zeros(0, 1, 5, 5)),
        outside=frozenset(
            {"aten.constant_pad_nd.default", "aten.index.Tensor", "aten.permute_copy.default", "aten.view_copy.default"}
        ),
    ),
    "broadcast_to_a_result": Program(
        lambda x, y: (torch.broadcast_tensors(x, y)[0], torch.broadcast_tensors(x, y)[1] * 2), (normal(1, 3), normal(4, 1))
    ),
    "elu_with_scales": Program(lambda x: torch.ops.aten.elu(x, -1.5, 0.7, 1.5), (normal(3, 4),)),
    "max_pool_by_lists_of_one": Program(
        lambda x: F.max_pool2d(x, [3], [2], [1]), (IMAGE,), outside=frozenset({"aten.max_pool2d_with_indices.default"})
    ),
    "avg_pool_by_lists_of_one": Program(
        lambda x: F.avg_pool2d(x, 3, 1, padding=[0], ceil_mode=True), (IMAGE,), outside=frozenset({"aten.avg_pool2d.default"})
    ),
    "resize_by_a_fraction": Program(lambda x: F.interpolate(x, scale_factor=0.7, mode="bilinear"), (IMAGE,)),
    "resize_by_factors_that_divide": Program(lambda x: F.interpolate(x, scale_factor=[1.5, 0.6], mode="bilinear"), (IMAGE,)),
    "resize_nearest_by_a_fraction": Program(lambda x: F.interpolate(x, scale_factor=0.7), (IMAGE,)),
    "resize_cubic_and_filtered": Program(lambda x: F.interpolate(x, size=(5, 3), mode="bicubic", antialias=True), (IMAGE,)),
    "lstm_with_its_own_state": Program(
        lambda x, h, c: LSTM(x, (h, c)), (normal(2, 5, 10), normal(2, 2, 20), normal(2, 2, 20)), conditioning=4
    ),
    "lstm_with_projections": Program(lambda x: PROJECTED(x)[0], (normal(4, 2, 6),), conditioning=4),
    "accumulation_on_a_diagonal": Program(_scatter_diagonal, (normal(4),)),
    "trace_by_einsum": Program(lambda x: torch.einsum("ii->", x), (normal(4, 4),)),
    "outer_product_by_einsum": Program(lambda t, f: torch.einsum("..., f -> ... f", t, f), (normal(2, 4), normal(3))),
    # One weight, read in two ways.
    "convolution_and_its_transposed": Program(
        lambda x: (F.conv_transpose2d(F.conv2d(x, TIED), TIED), F.conv_transpose2d(x, TIED)), (IMAGE,), conditioning=4
    ),
    "matrix_and_its_transposed": Program(
        lambda x: (x @ SQUARE, F.linear(x, SQUARE), F.linear(x @ SQUARE, SQUARE)), (X,), conditioning=8
    ),
    # Constants.
    "constants_of_many_types": Program(
        ConstantsOfManyTypes(), (normal(3, 4),), outside=frozenset({"dim_order_ops._to_dim_order_copy.default"})
    ),
    # Each is up to 300 in the end, where float16 has nothing for 70,000.
    "scaled_integers": Program(
        lambda i: (i / 255, i * 0.001, (i.float() - 30000.0) / 255.0, (i.unsqueeze(0) / 1000).sqrt()),
        (torch.tensor([3, 70000, 2049, 65535, 0], dtype=torch.int32),),
    ),
    "integers_scaled_by_what_they_are": Program(
        lambda i: (
            (i.float() - i.float().amin(1, keepdim=True)) / 1000.0,
            i.float() / i.float().amax(),
            (i.float() - i.float().mean()) / i.float().std(),
            i / i.sum(),
        ),
        (torch.tensor([[5, 70000, 40000, 2], [3, 0, 1, 9]]),),
        dynamic=({1: Dim("columns", min=2, max=9)},),
    ),
    "halves_beyond_their_range": Program(
        lambda i: (i.to(torch.float16), torch.special.entr(i.to(torch.float16))), (torch.tensor([3, 70000, 0, 2**31 - 1]),)
    ),
    "a_row_with_infinity_in_a_softmax": Program(
        lambda x, b: torch.softmax(x.masked_fill(b, float("inf")), -1) + 1, (normal(2, 4), MASK & torch.tensor([[True], [False]]))
    ),
    "floor_of_a_half_by_a_number": Program(
        lambda x: x // 0.3, (torch.tensor([0.5, 2.25, -1.75]).half(),), targets=("iOS16", "iOS18")
    ),
}
