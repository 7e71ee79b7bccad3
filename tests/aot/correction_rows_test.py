"""Each row of the correction table is needed: a call is here for each, which is torch's with the row, and is not without it.

Rows that answer a report or were found by the property test are in wrong_numbers_test.py, those that are there for devices in
device_guards_test.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from typing import Any

import coremltools as ct
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # It registers quantized_decomposed.
import wrong_numbers_test
import zoo_torchvision
from aot_lowering import call, lower
from executorch.backends.apple.coreml.compiler import op_rules, trial
from executorch.backends.apple.coreml.compiler.correction_table import Correction
from op_inputs import IMAGE, INTEGERS, B, C, X, normal
from running import differences
from torch import nn
from torch.export import Dim
from torchao.prototype.quantization.codebook_coreml import CodebookWeightOnlyConfig
from torchao.quantization import IntxWeightOnlyConfig, PerAxis, quantize_

zoo_torchvision.prepare()
import torchvision  # noqa: E402
import transformers.integrations.moe  # noqa: E402, F401  (registers transformers.grouped_mm_fallback)

F = nn.functional
ROWS = {0: Dim("rows", min=2, max=8)}


@dataclasses.dataclass(frozen=True)
class Case:
    """what: a module, or a function of the inputs. dynamic: as of torch.export. options: compile specs beside float32. mil: an op that
    is in the model with the row, and not without it, where that is what the row is for."""

    what: Callable[..., Any]
    inputs: tuple[torch.Tensor, ...] = (X,)
    dynamic: Any = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    mil: str = ""


def _quantized(config: Any) -> nn.Module:
    model = nn.Sequential(nn.Linear(64, 8)).eval()
    quantize_(model, config)
    return model


def _running_norm(x: torch.Tensor) -> torch.Tensor:
    mean, variance = torch.linspace(-1, 1, 4), torch.linspace(0.5, 2, 4)
    return torch.instance_norm(x, None, None, mean, variance, False, 0.1, 1e-5, False)


IOS18 = {"minimum_deployment_target": ct.target.iOS18}
ROW_OF_64 = (torch.randn(2, 64, generator=torch.Generator().manual_seed(64)),)

# By the first op of the row.
CASES: dict[str, Case] = {
    "log1p": Case(lambda x: torch.log1p(x * 1e-6)),
    "expm1": Case(lambda x: torch.expm1(x * 1e-6)),
    "fmod": Case(lambda x: torch.fmod(x, 0.7)),
    "elu": Case(lambda x: torch.ops.aten.elu.default(x, 1.5, 2.0, 0.5)),
    "bitwise_and": Case(lambda a, b: torch.bitwise_xor(a, b), (B, C)),
    "_grouped_mm": Case(
        lambda x, w, ends: torch.ops.transformers.grouped_mm_fallback(x, w, ends),
        (normal(6, 3), normal(2, 3, 4), torch.tensor([2, 6], dtype=torch.int32)),
    ),
    "trunc": Case(lambda x: torch.trunc(x)),
    "rms_norm": Case(lambda x: F.rms_norm(x * 1e-3, (4,), eps=1e-3)),
    "prod": Case(lambda x: torch.prod(x, 1)),
    "log_softmax": Case(lambda x: torch.log_softmax(x * 100, -1)),
    "instance_norm": Case(_running_norm, (IMAGE,)),
    "cosine_similarity": Case(lambda x: F.cosine_similarity(x * 1e-5, x.flip(0) * 1e-5, eps=1e-6)),
    "scaled_dot_product_attention": Case(
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.tensor([[False] * 3, [True] * 3, [True, False, True]])),
        (X[None, None, :, :].expand(1, 1, 3, 4).contiguous(),),
    ),
    "quantized_decomposed::quantize_per_tensor": Case(
        lambda x: torch.ops.quantized_decomposed.dequantize_per_tensor.default(
            torch.ops.quantized_decomposed.quantize_per_tensor.default(x, 0.01, 0, -20, 20, torch.int8),
            0.01,
            0,
            -20,
            20,
            torch.int8,
        ),
        options=IOS18,
    ),
    "index_put": Case(lambda x: torch.ops.aten.index_put(x, [None, torch.tensor([2, 0])], torch.ones(3, 2))),
    "scatter": Case(lambda x: x.scatter(0, torch.tensor([[2, 0]]), x * 2)),
    "scatter_reduce.two": Case(lambda x: x.scatter_reduce(0, torch.tensor([[1, 0, 1, 1]] * 3), x * 2, "amax")),
    "select": Case(lambda x: x * torch.tensor([True, False])[1]),
    "unfold": Case(lambda x: x.unfold(1, 2, 1)),
    "masked_scatter": Case(lambda a, b: a.masked_scatter(b, a + 1), (X, B)),
    "full": Case(lambda x: torch.zeros_like(x > 0, dtype=torch.float32).masked_fill(x > 0, float("-inf"))),
    "arange": Case(lambda x: x + torch.arange(4, dtype=torch.float32)),
    "view": Case(lambda x: x[:1, :1].view(())),
    "expand": Case(lambda x: x.sum().expand(()) * x),
    "clamp": Case(lambda x: x.clamp(min=16777217), (INTEGERS * 8388609,)),
    "constant_pad_nd": Case(lambda x: F.pad(x, (1, 1), value=16777217), (INTEGERS,)),
    "sum": Case(lambda x: (x > 0).sum()),
    "isinf": Case(lambda x: torch.isinf(x / 0)),
    "scalar_tensor": Case(lambda x: x * torch.scalar_tensor(x.shape[0], dtype=torch.float32), dynamic=(ROWS,)),
    "copy": Case(lambda x: torch.ops.aten.fill.Tensor(x, x.sum())),
    "torchvision::roi_align": Case(
        lambda x: torchvision.ops.roi_align(x[:1], [torch.tensor([[1.0, 1.0, 6.0, 7.0]])], 3, sampling_ratio=2), (IMAGE,)
    ),
    "torchvision::deform_conv2d": Case(
        lambda x: torchvision.ops.deform_conv2d(x[:1], torch.full((1, 8, 8, 7), 0.3), torch.ones(2, 4, 2, 2)), (IMAGE,)
    ),
    "_clone_dim_order": Case(lambda x: x.clone() + 1),
    "dequantize_affine": Case(
        _quantized(IntxWeightOnlyConfig(weight_dtype=torch.int3, granularity=PerAxis(0))), ROW_OF_64, None, IOS18
    ),
    "dequantize_codebook": Case(_quantized(CodebookWeightOnlyConfig(torch.uint4, [-1, 64])), ROW_OF_64, None, IOS18),
    "lstm.input": Case(nn.LSTM(4, 5), (X[:, None],), mil="lstm"),
    "gru.input": Case(nn.GRU(4, 5), (X[:, None],), None, IOS18, "gru"),
    "coreml_delegate_cond": Case(lambda x: torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))),
    "coreml_delegate_while_loop": Case(
        lambda x: torch._higher_order_ops.while_loop(
            lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (torch.zeros((), dtype=torch.int64), x)
        )[1]
    ),
}


def _row(op: str) -> Correction:
    (row,) = (row for row in op_rules.rules_of(Correction) if row.ops[0] == op)
    return row


@contextlib.contextmanager
def _without(row: Correction, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the row were not in the table, and what raises or has another type were not kept outside."""
    with monkeypatch.context() as patch:
        patch.setattr(trial, "why_not_converted", lambda *arguments: None)
        patch.setitem(op_rules.TABLE, Correction, [kept for kept in op_rules.rules_of(Correction) if kept is not row])
        yield


def _wrong(case: Case) -> list[str]:
    import inspect

    module = case.what() if not inspect.signature(case.what).parameters else None
    if module is None:
        from running import module_of

        module = module_of(case.what, len(case.inputs))
    edge = lower(module, case.inputs, dynamic=case.dynamic, compute_precision=ct.precision.FLOAT32, **case.options)
    operations = call(edge).mil_ops
    if case.mil and case.mil not in operations:
        return [f"the model has no {case.mil}"]
    return differences(edge, module, case.inputs)


@pytest.mark.parametrize("op", CASES)
def test_the_row_is_needed(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[op]
    logging.disable(logging.ERROR)
    try:
        assert _wrong(case) == []
        with _without(_row(op), monkeypatch):
            try:
                wrong = _wrong(case)
            except Exception as error:  # Whatever coremltools raises.
                wrong = [repr(error)]
    finally:
        logging.disable(logging.NOTSET)
    assert wrong, f"coremltools {ct.__version__} does it right by itself: the row may go"
    print(f"without the row: {wrong[0][:160]}")


def test_every_row_has_a_call() -> None:
    elsewhere = {row.correction for row in wrong_numbers_test.ROWS}
    rows = op_rules.rules_of(Correction)
    wanted = [row.ops[0] for row in rows if row.on_devices is None and elsewhere.isdisjoint(row.ops)]
    assert sorted(CASES) == sorted(wanted)
