"""Each row of the constraint table is about a call that can be exported: one is here for each code, and the row says of it that it is not taken.

What becomes of such calls, and what would without their rows, is in partition_test.py and wrong_numbers_test.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import coremltools as ct
import pytest
import torch
import torch.ao.quantization.fx._decomposed  # It registers quantized_decomposed.
from aot_lowering import export
from executorch.backends.apple.coreml.compiler import CoreMLBackend, op_rules
from executorch.backends.apple.coreml.compiler.compile_options import Options
from executorch.backends.apple.coreml.partition import constraints
from executorch.backends.apple.coreml.partition.constraints import Constraint
from executorch.backends.apple.coreml.partition.node_view import NodeView
from executorch.backends.apple.coreml.partition.support import constant_nodes
from torch.export import Dim

F = torch.nn.functional
X = torch.randn(2, 3)
IMAGE = torch.randn(1, 4, 8, 8)
INDEX = torch.tensor([[0, 1, 0], [1, 0, 1]])
ROWS_ARE_DYNAMIC = {0: Dim("rows", min=2, max=8)}


@dataclasses.dataclass(frozen=True)
class Call:
    """function: of the inputs, and of nothing else. dynamic: of the first input, as torch.export has it."""

    function: Callable[..., Any]
    inputs: tuple[torch.Tensor, ...] = (X,)
    dynamic: Any = None


def _gru(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    weights = [weight * 2, weight * 3]
    return torch.gru(x, torch.zeros(1, 2, 3), weights, False, 1, 0.0, False, False, False)[0]


CALLS = {
    "dtype": Call(lambda x: x + x, (X.double(),)),
    "rank": Call(lambda x: x + x, (torch.randn(1, 1, 1, 1, 2, 3),)),
    "data_dependent_shape": Call(torch.nonzero),
    "memory_format": Call(lambda x: x + x, (IMAGE.to(memory_format=torch.channels_last),)),
    "memory_format_argument": Call(lambda x: x.clone(memory_format=torch.channels_last), (IMAGE,)),
    "empty_tensor": Call(lambda x: x[:0] * 2),
    "not_implemented": Call(torch.acosh),
    "threshold": Call(lambda x: F.softplus(x, threshold=5)),
    "bool_elements": Call(lambda x: torch.gather(x > 0, 0, INDEX)),
    "order_of_bools": Call(lambda x: torch.maximum(x > 0, x < 1)),
    "flattened_argument": Call(torch.argmax),
    "divisor_override": Call(lambda x: F.avg_pool2d(x, 2, divisor_override=3), (IMAGE,)),
    "pool_dilation": Call(lambda x: F.max_pool2d(x, 2, dilation=2), (IMAGE,)),
    "pool_indices": Call(lambda x: F.max_pool2d(x, 2, return_indices=True)[1], (IMAGE,)),
    "statistics": Call(lambda x: torch.native_layer_norm(x, (3,), None, None, 1e-5)[1]),
    "pool_ceil_3d": Call(lambda x: F.avg_pool3d(x[None], 2, ceil_mode=True), (IMAGE,)),
    "output_padding": Call(lambda x: F.conv_transpose2d(x, torch.ones(4, 2, 3, 3), stride=2, output_padding=1), (IMAGE,)),
    "boolean_index": Call(lambda x: torch.index_put(x, (x > 0,), torch.tensor(1.0))),
    "index_put_broadcast": Call(lambda x: torch.index_put(x, (torch.tensor([1]), torch.tensor([1, 2])), torch.tensor([5.0, 6.0]))),
    "index_put_after_whole_dimension": Call(lambda x: torch.ops.aten.index_put(x, [None, INDEX], torch.tensor(1.0))),
    "missing_arguments": Call(lambda x: F.mse_loss(x, x + 1)),
    "unbatched": Call(lambda x: F.max_pool2d(x[0], 2), (IMAGE,)),
    "loss_options": Call(lambda x: F.nll_loss(x, torch.tensor([0, 1]), weight=torch.ones(3))),
    "scalar_dimension": Call(lambda x: torch.softmax(x.sum(), 0)),
    "circular_padding": Call(lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"), (IMAGE,)),
    "pixel_unshuffle_target": Call(lambda x: F.pixel_unshuffle(x, 2), (IMAGE,)),
    "fold_overlap": Call(lambda x: F.fold(x, (4, 4), (2, 2)), (torch.randn(1, 4, 9),)),
    "grouped_attention": Call(
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True), (torch.randn(1, 4, 2, 3), torch.randn(1, 2, 2, 3))
    ),
    "matmul_vector": Call(lambda x: torch.matmul(x, torch.ones(3))),
    "negative_padding": Call(lambda x: F.pad(x, (-1, -1, 1, 1), mode="reflect"), (IMAGE,)),
    "bitwise_integers": Call(lambda x: torch.bitwise_and(x.int(), 3)),
    "integer_matmul": Call(lambda x: x.int() @ x.int().t()),
    "integer_argument": Call(lambda x: torch.relu(x.int())),
    "diagonal": Call(torch.diagonal, dynamic=ROWS_ARE_DYNAMIC),
    "triangle_of_infinity": Call(torch.tril),
    "roll_dynamic": Call(lambda x: torch.roll(x, 1, 0), dynamic=ROWS_ARE_DYNAMIC),
    "randint": Call(lambda x: x + torch.randint(0, 3, (2, 3))),
    "gru_target": Call(torch.nn.GRU(3, 3), (torch.randn(4, 2, 3),)),
    "recurrent_weights": Call(_gru, (torch.randn(4, 2, 3), torch.randn(9, 3))),
    "quantized_weights_target": Call(
        lambda x: torch.ops.quantized_decomposed.dequantize_per_tensor.default(x, 0.5, 0, -128, 127, torch.int8),
        (torch.ones(3, dtype=torch.int8),),
    ),
}


def _broken(call: Call) -> set[str]:
    """The codes of all rows that the calls of a program break, lowered for the oldest system."""
    dynamic = None if call.dynamic is None else (call.dynamic,)
    program = export(call.function, call.inputs, dynamic)
    options, known = Options.parse([]), constant_nodes(program)
    views = [NodeView(node, options, known) for node in program.graph.nodes if node.op == "call_function"]
    return {row.code for view in views for row in constraints.constraints_of(view.op) if row.violated(view)}


def test_every_code_has_a_call() -> None:
    assert {row.code for row in op_rules.rules_of(Constraint)} == {*CALLS, "packed_sequence"}


def test_packed_sequences_which_torch_export_refuses_itself() -> None:
    node = torch.fx.Graph().call_function(torch.ops.aten.gru.data)
    view = NodeView(node, Options.parse([]), frozenset())
    (row,) = (row for row in constraints.constraints_of(view.op) if row.code == "packed_sequence")
    assert row.violated(view)


@pytest.mark.parametrize("code", CALLS)
def test_the_row_is_about_its_call(code: str) -> None:
    assert code in _broken(CALLS[code])


def test_an_ordinary_call_breaks_no_row() -> None:
    assert _broken(Call(lambda x: torch.softmax(x * 2 + 1, -1))) == set()
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS16)
    program = export(CALLS["pixel_unshuffle_target"].function, (IMAGE,))
    views = [NodeView(node, Options.parse(specs), frozenset()) for node in program.graph.nodes if node.op == "call_function"]
    assert [constraints.violated(view) for view in views] == [None] * len(views)
