"""What the table of modules found wrong, each mended: an outcome other than the one it has now is the fault again.

By default each row runs in one of its configurations, the rows in turn; with COREML_DELEGATE_FULL_TESTS=1 in all of them.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import module_outcomes
import pytest
import torch
import zoo_torchvision
from module_cases import Case
from module_kinds import CONFIGURATIONS

FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))


class Function(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


@dataclasses.dataclass(frozen=True)
class Row:
    """kinds: what may become of it. configurations: all where none is named."""

    name: str
    make: Callable[[], torch.nn.Module]
    inputs: tuple[torch.Tensor, ...]
    kinds: tuple[str, ...] = ("whole",)
    configurations: tuple[str, ...] = tuple(CONFIGURATIONS)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def of(function: Callable[..., Any]) -> Callable[[], torch.nn.Module]:
    return lambda: Function(function)


def instance_norm(is_tracked: bool) -> torch.nn.Module:
    module = torch.nn.InstanceNorm2d(3, eps=1e-3, affine=True, track_running_stats=is_tracked)
    if is_tracked:
        module.running_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
        module.running_var.copy_(torch.tensor([0.1, 1.0, 4.0]))
    return module


def grouped(x: torch.Tensor, matrices: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """What transformers exports of its experts; torch's own is one of bfloat16."""
    zoo_torchvision.prepare()
    import transformers.integrations.moe  # noqa: F401  it registers the operation

    return torch.ops.transformers.grouped_mm_fallback(x, matrices, ends)


def spectrogram(x: torch.Tensor) -> torch.Tensor:
    return torch.stft(x, 16, 8, window=torch.hann_window(16), return_complex=True).abs()


def rotary(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotary positions as Llama's own code has them."""
    numbers = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(numbers * torch.polar(torch.ones_like(angles), angles)).flatten(2)


def roi_align(x: torch.Tensor, boxes: torch.Tensor, aligned: bool) -> torch.Tensor:
    zoo_torchvision.prepare()
    import torchvision

    return torchvision.ops.roi_align(x, boxes, (3, 2), spatial_scale=0.5, sampling_ratio=2, aligned=aligned)


class Deformed(torch.nn.Module):
    """Two groups of channels, two of places, kernels of 3 by 2."""

    def __init__(self) -> None:
        super().__init__()
        zoo_torchvision.prepare()
        import torchvision

        self.convolve = torchvision.ops.deform_conv2d
        self.weight, self.bias = torch.nn.Parameter(normal(6, 2, 3, 2)), torch.nn.Parameter(normal(6))

    def forward(self, x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.convolve(x, offset, self.weight, bias=self.bias, stride=(2, 1), padding=(1, 0), mask=mask)


# Inside, over an edge, beyond it, and narrower than an element.
BOXES = torch.tensor([[0, 1, 2, 11, 9], [0, -4, -3, 6, 8], [0, 12, 10, 30, 20], [0, 5, 5, 5.5, 5.25]])
# One of each precision, and of each target.
SOME = ("ios15-float16", "ios18-float32")
# Where float16 itself holds no square.
FLOAT32 = ("ios15-float32", "ios18-float32")
interpolate = torch.nn.functional.interpolate
COSINE = torch.nn.CosineSimilarity(dim=-1)
SMALL = torch.tensor([-20.0, -3.0, -0.4, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.3, 0.7, 4.0, 30.0])
BELOW = SMALL.clamp(min=-0.99)
ROWS = (
    # Epsilon was added to a mean square that had been scaled by the largest magnitude.
    Row("rms_norm", lambda: torch.nn.RMSNorm(5, eps=1e-3), (normal(4, 5, 5),)),
    Row("rms_norm_default_epsilon", lambda: torch.nn.RMSNorm([5, 5]), (normal(4, 5, 5),)),
    Row(
        "rms_norm_large",
        lambda: torch.nn.RMSNorm(8, eps=1e-5, elementwise_affine=False),
        (normal(2, 8) * 3000,),
        configurations=FLOAT32,
    ),
    Row("rms_norm_of_zeros", lambda: torch.nn.RMSNorm(8, eps=1e-5), (torch.zeros(2, 8),)),
    # What is small beside 1 was lost.
    Row("log1p", of(torch.log1p), (BELOW,)),
    Row("expm1", of(torch.expm1), (SMALL.clamp(max=9.0),)),
    Row("log_sigmoid", of(torch.nn.functional.logsigmoid), (SMALL,)),
    Row("log_softmax_far_below", of(lambda x: torch.log_softmax(x, -1)), (torch.tensor([-200.0, -30.0, -3.0, 0.0, 100.0]),)),
    Row("log_softmax_of_masked", of(lambda x: torch.log_softmax(x, 0)), (torch.tensor([-math.inf, 0.0, 1.0]),)),
    Row("logcumsumexp_large", of(lambda x: torch.logcumsumexp(x, 1)), (normal(3, 5) * 300,)),
    # The statistics were the input's.
    Row("instance_norm_running", lambda: instance_norm(True), (normal(4, 3, 6, 6),)),
    Row("instance_norm_running_unbatched", lambda: instance_norm(True), (normal(3, 6, 6),)),
    Row("instance_norm_of_input", lambda: instance_norm(False), (normal(4, 3, 6, 6),)),
    # Lengths below 0.016 were too long in float16.
    Row("cosine_similarity_small", of(COSINE), (normal(3, 8) * 1e-3, normal(3, 8).flip(1) * 1e-3), ("whole", "inconclusive")),
    Row("cosine_similarity", of(COSINE), (normal(3, 8), normal(3, 8).flip(1))),
    Row(
        "cosine_similarity_of_zeros",
        of(COSINE),
        (torch.stack([torch.zeros(4), normal(4)]), normal(2, 4)),
        ("whole", "inconclusive"),
    ),
    Row("cosine_similarity_spread", of(torch.nn.functional.cosine_similarity), (normal(3, 4, 5), normal(4, 5))),
    # Coordinates were computed in float16.
    Row("nearest_exact", of(lambda x: interpolate(x, (3, 3), mode="nearest-exact")), (normal(2, 3, 4, 4),)),
    Row("nearest_exact_1d", of(lambda x: interpolate(x, scale_factor=1.7, mode="nearest-exact")), (normal(2, 3, 9),)),
    Row("nearest_exact_3d", of(lambda x: interpolate(x, (3, 5, 2), mode="nearest-exact")), (normal(1, 2, 4, 4, 4),)),
    # The pass that narrows indices asked operations for iOS 15 for what they do not have.
    Row("gather_nd", of(lambda x, i, j: x[i, j]), (normal(3, 4), torch.tensor([0, 2, 1]), torch.tensor([1, 3, 0]))),
    # Mixtures of experts: rows with the matrix of their group, and the counts of the groups. No conversion, and no kernel of ExecuTorch's.
    Row(
        "grouped_mm_of_few_rows",
        of(grouped),
        (normal(3, 8), normal(4, 8, 8), torch.tensor([1, 1, 2, 3], dtype=torch.int32)),
        configurations=SOME,
    ),
    Row(
        "grouped_mm_of_many_rows",
        of(grouped),
        (normal(9, 8), normal(3, 8, 8), torch.tensor([4, 4, 9], dtype=torch.int32)),
        configurations=SOME,
    ),
    Row(
        "counts_of_groups",
        of(lambda ids: torch.cumsum(torch.histc(ids.float(), bins=5, min=0, max=4), 0, dtype=torch.int32)),
        # More than float16 counts to, one by one.
        (torch.arange(6000) * 7 % 5,),
        configurations=SOME,
    ),
    Row(
        "histogram",
        of(lambda x: torch.histc(x, bins=4, min=-1, max=1)),
        (torch.tensor([-1.5, -1.0, -0.6, 0.0, 0.2, 0.49, 0.5, 1.0, 1.5]),),
        configurations=SOME,
    ),
    # Complex numbers stayed outside, where ExecuTorch has no kernels for them.
    Row("real_part_of_fft", of(lambda x: torch.fft.fftn(x, dim=(1, 2)).real), (normal(2, 6, 8),), configurations=SOME),
    Row(
        "filtered_spectrum",
        of(lambda x: torch.fft.irfft(torch.fft.rfft(x, norm="ortho") * 2, n=9, norm="ortho")),
        (normal(3, 9),),
        configurations=SOME,
    ),
    Row("inverse_of_two_dimensions", of(lambda x: torch.fft.irfft2(torch.fft.rfft2(x))), (normal(2, 6, 8),), configurations=SOME),
    Row("back_and_forth", of(lambda x: torch.fft.ifft(torch.fft.fft(x, dim=1), dim=1).real), (normal(2, 7),), configurations=SOME),
    Row("spectrogram", of(spectrogram), (normal(1, 64),), configurations=SOME),
    Row("phase", of(lambda x: torch.angle(torch.fft.fft(x))), (torch.eye(5),), configurations=SOME),
    Row(
        "power_of_spectrum",
        of(lambda x: (torch.fft.rfft(x) * torch.fft.rfft(x).conj()).real),
        (normal(2, 16),),
        configurations=SOME,
    ),
    Row("rotary_complex", of(rotary), (normal(1, 6, 8), normal(6, 4)), configurations=SOME),
    Row(
        "magnitude_of_large",
        of(lambda x, y: torch.abs(torch.complex(x, y))),
        (normal(3, 4) * 3000, normal(3, 4) * 3000),
        configurations=SOME,
    ),
    Row("complex_result", of(torch.fft.rfft), (normal(2, 8),), ("executorch", "unexported"), SOME),
    Row("windows", of(lambda x: x.unfold(1, 3, 2)), (normal(2, 9, 4),), configurations=SOME),
    Row("windows_of_last", of(lambda x: x.unfold(-1, 4, 4) * 2), (normal(2, 9),), configurations=SOME),
    # Had no conversion.
    Row("either_mask", of(lambda x, y: (x | y) ^ (x & ~y)), (normal(3, 4) > 0, normal(4) > 0), configurations=SOME),
    Row("shifted", of(lambda x: (x << 3) + (x >> 2)), (torch.tensor([-9, -4, -1, 0, 5, 1000]),), ("whole", "part"), SOME),
    Row(
        "stable_sort",
        of(lambda x: tuple(torch.sort(x, stable=True))),
        (torch.tensor([2.0, 1.0, 2.0, 0.0, 1.0]),),
        configurations=SOME,
    ),
    Row(
        "stable_descending",
        of(lambda x: tuple(torch.sort(x, dim=0, descending=True, stable=True))),
        (torch.arange(12).reshape(6, 2) % 3,),
        configurations=SOME,
    ),
    Row("roi_align", of(lambda x, b: roi_align(x, b, False)), (normal(1, 3, 8, 9), BOXES), configurations=SOME),
    Row("roi_align_aligned", of(lambda x, b: roi_align(x, b, True)), (normal(1, 3, 8, 9), BOXES), configurations=SOME),
    Row(
        "deform_conv2d",
        Deformed,
        (normal(1, 4, 5, 6), normal(1, 2 * 2 * 6, 3, 5) * 2, torch.sigmoid(normal(1, 2 * 6, 3, 5))),
        configurations=SOME,
    ),
    Row(
        "masked_scatter",
        of(torch.masked_scatter),
        (normal(2, 5), torch.tensor([[True, False, True, True, False], [False, True, True, False, False]]), normal(8)),
        configurations=SOME,
    ),
    # Accepted, and raised or did not load.
    Row("conv_transpose1d_unbatched", lambda: torch.nn.ConvTranspose1d(4, 5, 3), (normal(4, 3),)),
    Row("conv_transpose2d_unbatched", lambda: torch.nn.ConvTranspose2d(4, 5, 3), (normal(4, 3, 4),)),
    Row("max_pool1d_indices", lambda: torch.nn.MaxPool1d(4, return_indices=True), (normal(2, 10, 4),), ("part", "outside")),
    Row(
        "group_norm_statistics",
        of(lambda x: torch.native_group_norm(x, None, None, 2, 6, 9, 3, 1e-3)),
        (normal(2, 6, 9),),
        ("outside",),
    ),
    Row(
        "layer_norm_statistics",
        of(lambda x: torch.native_layer_norm(x, [9], None, None, 1e-3)),
        (normal(2, 9),),
        ("part", "outside"),
    ),
    # A number has no dimension 0 in MIL, and one of one element is made of it.
    Row("softmax_of_a_number", of(lambda x: torch.softmax(x, 0)), (torch.tensor(0.5),)),
    Row("log_softmax_of_a_number", of(lambda x: torch.log_softmax(x, 0)), (torch.tensor(0.5),)),
    Row("flip_of_a_number", of(lambda x: torch.flip(x, (0,))), (torch.tensor(0.5),)),
)


@pytest.mark.parametrize(("row", "turn"), list(zip(ROWS, range(len(ROWS)), strict=True)), ids=[row.name for row in ROWS])
def test_mended(row: Row, turn: int):
    torch.manual_seed(5)
    configurations = row.configurations if FULL else (row.configurations[turn % len(row.configurations)],)
    outcomes = module_outcomes.outcomes(Case(row.name, "", row.make().eval(), row.inputs), configurations)
    assert [o for o in outcomes if o.kind not in row.kinds] == []
