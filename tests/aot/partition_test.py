"""What goes to Core ML and what does not: the constraint table, where partitions are cut, the skip list, the options."""

from __future__ import annotations

import graphlib
import logging
import math
import operator
import os
import random

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import pytest
import torch
from aot_lowering import Unary, call, calls, export, lower, outside
from executorch.backends.apple.coreml.compiler import CoreMLBackend, high_rank, op_rules
from executorch.backends.apple.coreml.compiler.compile_options import Options
from executorch.backends.apple.coreml.partition import CoreMLPartitioner, boundary, grouping, support, torch_decompositions
from executorch.backends.apple.coreml.partition.constraints import Constraint
from executorch.exir import to_edge
from executorch.runtime import Runtime
from running import execute
from torch import nn
from torch.export import Dim
from torch.utils._sympy.value_ranges import ValueRanges

LOGGER = "executorch.backends.apple.coreml.partition.coreml_partitioner"
X = torch.randn(2, 3)
IMAGE = torch.randn(1, 3, 8, 8)
F = nn.functional


def test_table_is_well_formed():
    constraints = op_rules.rules_of(Constraint)
    assert len(constraints) > 40
    for constraint in constraints:
        assert constraint.code.isidentifier()
        assert constraint.ops
        assert not constraint.reason.endswith(".")
        assert constraint.reference.startswith("https://") or not constraint.reference
        for op in constraint.ops:
            assert op == "*" or op.count(".") in (1, 2)


# Calls that coremltools 9.0 cannot convert or converts to other numbers, the op that has to stay outside, and what must be said about it.
ARGUMENTS = {
    "acosh": (lambda x: torch.acosh(x) * 2, X, "aten.acosh.default", "2569"),
    "asinh": (lambda x: torch.asinh(x) * 2, X, "aten.asinh.default", "2569"),
    "argmax_flat": (lambda x: torch.argmax(x) * 2, X, "aten.argmax.default", "11715"),
    "argmin_flat": (lambda x: torch.argmin(x) * 2, X, "aten.argmin.default", "11715"),
    "avg_pool_divisor": (
        lambda x: F.avg_pool2d(x, 2, ceil_mode=True, divisor_override=3) * 2,
        IMAGE,
        "aten.avg_pool2d.default",
        "11695",
    ),
    "max_pool_dilation": (
        lambda x: F.max_pool2d(x, 2, dilation=2) * 2,
        IMAGE,
        "aten.max_pool2d_with_indices.default",
        "11697",
    ),
    "max_pool_indices": (
        lambda x: F.max_pool2d(x, 2, return_indices=True)[1] * 2,
        IMAGE,
        "aten.max_pool2d_with_indices.default",
        "does not return indices",
    ),
    "nonzero": (lambda x: torch.nonzero(x), X, "aten.index.Tensor", "depends on the data"),
    "boolean_index": (lambda x: x[x > 0] * 2, X, "aten.index.Tensor", "depends on the data"),
    "rand": (lambda x: torch.rand(x.shape) + x, X, "aten.rand.default", "11722"),
    "bitwise_integers": (lambda x: (x.int() & 3).float(), X, "aten.bitwise_and.Scalar", "no bitwise operations"),
    "index_put_broadcast": (
        lambda x: torch.index_put(x, (torch.tensor([1]), torch.tensor([1, 2])), torch.tensor([5.0, 6.0])) * 2,
        X,
        "aten.index_put.default",
        "does not broadcast",
    ),
    "pool_ceil_3d": (
        lambda x: F.avg_pool3d(x[None], 2, ceil_mode=True) * 2,
        IMAGE,
        "aten.avg_pool3d.default",
        "cannot combine ceil_mode",
    ),
    "output_padding": (
        lambda x: F.conv_transpose2d(x, torch.ones(3, 2, 3, 3), stride=2, output_padding=1) * 2,
        IMAGE,
        "aten.convolution.default",
        "padding is at least as large",
    ),
    "integer_matmul": (lambda x: (x.int() @ x.int().t()).float(), X, "aten.mm.default", "2673"),
}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_argument_patterns_stay_outside(name, caplog):
    function, x, op, said = ARGUMENTS[name]
    with caplog.at_level(logging.INFO, LOGGER):
        edge = lower(function, (x,))
    assert op in outside(edge)
    lines = [record.getMessage() for record in caplog.records if op in record.getMessage()]
    assert any(said in line for line in lines), caplog.text


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.add(x, x, alpha=1),
        lambda x: torch.argmax(x, dim=1),
        lambda x: torch.topk(x, 2)[0],
        lambda x: torch.randn(x.shape) + x,
        lambda x: torch.pow(3, x),
        lambda x: F.max_pool2d(x[None, None], 2),
        lambda x: F.max_pool2d(x[None, None], 2, return_indices=True)[0],
        lambda x: F.avg_pool2d(x[None, None], 2),
        lambda x: F.cosine_similarity(x, x + 1),
        lambda x: torch.add(x, x, alpha=2),
        lambda x: torch.atan2(x, x),
        lambda x: torch.diagonal(x),
        lambda x: torch.sin(x.int()),
        lambda x: torch.pow(2, x),
    ],
)
def test_the_same_ops_otherwise_go_to_core_ml(function):
    call(lower(function, (X,)))


@pytest.mark.parametrize("function", [torch.relu, torch.floor])
def test_functions_of_integers_stay_outside(function):
    edge = lower(function, (torch.arange(6),))
    assert calls(edge) == []
    assert outside(edge) == [f"aten.{function.__name__}.default"]
    call(lower(function, (X,)))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.bfloat16, torch.float64])
def test_other_dtypes_stay_outside(dtype):
    edge = lower(lambda x: x + x, (torch.ones(4, dtype=dtype),))
    assert calls(edge) == []
    assert outside(edge) == ["aten.add.Tensor"]


def test_what_is_converted_to_float_inside_goes_to_core_ml():
    edge = lower(lambda x: torch.sin(x.float()), (torch.ones(4, dtype=torch.uint8),))
    assert outside(edge) == ["dim_order_ops._to_dim_order_copy.default"]
    assert calls(edge)[0].mil_ops.count("sin") == 1


def test_float16_inputs_need_ios16():
    assert outside(lower(lambda x: x + x, (X.half(),))) == ["aten.add.Tensor"]
    lowered = call(lower(lambda x: x + x, (X.half(),), minimum_deployment_target=ct.target.iOS16))
    assert lowered.function.inputs[0].dtype.name == "FLOAT16"


def test_rank_above_five_stays_outside():
    edge = lower(lambda x: torch.sin((x + x).reshape(2, 3)), (torch.randn(1, 1, 1, 1, 2, 3),))
    assert outside(edge) == ["aten.add.Tensor", "aten.view_copy.default"]
    assert calls(edge)[0].mil_ops.count("sin") == 1


def _windows(x):
    """Windows of 7 x 7 of float[batch, 14, 14, channels], as Swin cuts and joins them: the values between have six dimensions."""
    batch, channels = x.shape[0], x.shape[3]
    windows = torch.tanh(x).view(batch, 2, 7, 2, 7, channels).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 49, channels)
    return torch.sin(windows).view(batch, 2, 2, 7, 7, channels).permute(0, 1, 3, 2, 4, 5).reshape(batch, 14, 14, channels)


HIGH_RANKS_TAKEN = {
    "windows": (_windows, torch.randn(1, 14, 14, 5)),
    "windows_of_a_batch": (_windows, torch.randn(3, 14, 14, 5)),
    "space_to_depth": (
        lambda x: x.reshape(2, 3, 1, 4, 2, 4, 2).transpose(4, 5).permute(0, 4, 6, 1, 2, 3, 5).reshape(2, 12, 4, 4) * 2,
        torch.randn(2, 3, 8, 8),
    ),
    "two_users": (
        lambda x: (lambda y: (y.reshape(12, 14), y.transpose(4, 5).reshape(-1)))(x.view(1, 2, 3, 2, 7, 2).transpose(1, 4)),
        torch.randn(6, 28),
    ),
}


def _relative_positions(x):
    """float[12, 48] -> the same; attention of blocks of 2 x 2 x 3 to 3 x 4 x 4, to which positions along each dimension are added."""
    scores = x.view(1, 1, 2, 2, 3, 3, 4, 4)
    time, rows, columns = (part.reshape(1, 1, 2, 2, 3, -1) for part in x[:, :11].split([3, 4, 4], -1))
    scores = scores + rows[..., None, :, None] + columns[..., None, None, :]
    scores = scores + time[:, :, :, :, :, :, None, None]
    return scores.reshape(12, 48).softmax(-1)


def _state_space(x):
    """float[4, 12]: products that are summed along one of six dimensions, under a mask."""
    states = x.view(1, 2, 2, 3, 2, 2)
    products = states.unsqueeze(3) * states.unsqueeze(2).expand(1, 2, 2, 2, 3, 2, 2).exp()
    mask = torch.ones(2, 3, dtype=torch.bool).tril()
    return torch.where(mask[:, :, None, None], products, -products).sum((2, 5)).mean(3, keepdim=True).reshape(-1)


# What is computed with values of six dimensions and more.
HIGH_RANKS_COMPUTED = {
    "elements": (lambda x: torch.sin(x.view(2, 1, 2, 1, 2, 3)).clamp(min=0).reshape(-1) * 2, torch.randn(24)),
    "broadcast": (lambda x: (x.view(2, 2, 1, 1, 2, 3) * x[:3] - x.view(2, 1, 2, 1, 2, 3) / 3).reshape(-1), torch.randn(24)),
    "relative_positions": (_relative_positions, torch.randn(12, 48)),
    "state_space": (_state_space, torch.randn(4, 12)),
    "one_of_a_dimension": (lambda x: (x.view(2, 2, 2, 1, 2, 3) * 2)[:, :, 1, :, :, 1:].amax(-1).reshape(-1), torch.randn(48)),
    "half_of_a_dimension": (lambda x: x.view(1, 4, 2, 1, 2, 3)[:, 1:3, ..., ::2].reshape(-1) * 2, torch.randn(48)),
    "joined": (
        lambda x: torch.cat([x.view(2, 2, 2, 1, 2, 3), x.view(2, 2, 2, 1, 2, 3) * 2], 4).softmax(4).reshape(-1),
        torch.randn(48),
    ),
    "rows": (lambda x: F.layer_norm(F.linear(x.view(2, 2, 2, 1, 2, 3), x[:12].view(4, 3)), (4,)).reshape(-1), torch.randn(48)),
    "cast": (lambda x: (x.view(2, 2, 2, 1, 2, 3) > 0).float().sum().reshape(1) + x, torch.randn(48)),
    "of_all": (lambda x: (x.view(2, 2, 2, 1, 2, 3) * 2).sum() + x, torch.randn(48)),
    "of_one_element": (lambda x: (x.view(1, 1, 1, 1, 1, 1) + 2).exp().reshape(1) * x, torch.randn(1)),
}
# The ops that have to stay outside.
HIGH_RANKS_LEFT = {
    # Six dimensions in the reverse order are six, whatever is merged.
    "reversed": (
        lambda x: torch.sin(x).view(2, 3, 2, 3, 2, 3).permute(5, 4, 3, 2, 1, 0).reshape(-1),
        torch.randn(216),
        {"aten.view_copy.default", "aten.permute_copy.default"},
    ),
    # Six dimensions of which each second one is repeated.
    "repeated": (
        lambda x: (x.view(2, 1, 2, 1, 2, 1) + x[:8].view(1, 2, 1, 2, 1, 2)).reshape(-1),
        torch.randn(8),
        {"aten.view_copy.default", "aten.add.Tensor"},
    ),
    "flipped": (
        lambda x: torch.sin(x.view(2, 1, 2, 1, 2, 3)).flip(0).reshape(-1) * 2,
        torch.randn(24),
        {"aten.view_copy.default", "aten.sin.default", "aten.flip.default"},
    ),
    "other_dtype": (
        lambda x: torch.sin(x).view(2, 1, 2, 1, 2, 3).view(torch.int32).reshape(-1) * 2,
        torch.randn(24),
        {"aten.view_copy.dtype"},
    ),
    "returned": (lambda x: torch.sin(x).view(2, 1, 2, 1, 2, 3), torch.randn(24), {"aten.view_copy.default"}),
    "dynamic": (
        lambda x: torch.sin(x).view(x.shape[0], 2, 2, 2, 2, 3).permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], -1),
        torch.randn(4, 48),
        {"aten.view_copy.default", "aten.permute_copy.default"},
    ),
}


@pytest.mark.parametrize(("function", "x"), HIGH_RANKS_TAKEN.values(), ids=HIGH_RANKS_TAKEN)
def test_more_than_five_dimensions_go_where_elements_only_move(function, x):
    assert max(call(lower(function, (x,))).mil_ranks) <= 5


@pytest.mark.parametrize(("function", "x", "left"), HIGH_RANKS_LEFT.values(), ids=HIGH_RANKS_LEFT)
def test_more_than_five_dimensions_stay_outside_elsewhere(function, x, left):
    dynamic = ({0: Dim("n", min=2, max=8)},) if x.dim() == 2 else None
    edge = lower(function, (x,), dynamic=dynamic)
    assert left <= set(outside(edge))
    assert all(max(lowered.mil_ranks) <= 5 for lowered in calls(edge))


@pytest.mark.parametrize(("function", "x"), HIGH_RANKS_TAKEN.values(), ids=HIGH_RANKS_TAKEN)
def test_fewer_dimensions_give_the_same_elements(function, x):
    program = export(function, (x,)).run_decompositions()
    expected = program.module()(x)
    high_rank.lower_rank(program.graph)
    program.graph_module.recompile()
    assert all(node.meta["val"].dim() <= 5 for node in program.graph.nodes if node.op == "call_function")
    torch.testing.assert_close(program.module()(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("function", "x"), HIGH_RANKS_COMPUTED.values(), ids=HIGH_RANKS_COMPUTED)
def test_fewer_dimensions_compute_the_same(function, x):
    edge = lower(function, (x,), compute_precision=ct.precision.FLOAT32)
    assert outside(edge) == []
    assert max(call(edge).mil_ranks) <= 5
    (actual,) = execute(edge, (x,))
    torch.testing.assert_close(actual, function(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(50))
def test_merged_dimensions_move_elements_alike(seed):
    generator = random.Random(seed)
    shape = [generator.choice([1, 2, 3, 4]) for _ in range(generator.randint(1, 8))]
    permutation = generator.sample(range(len(shape)), len(shape))
    fewer, order = high_rank.merged(shape, permutation)
    assert 1 not in fewer
    x = torch.arange(math.prod(shape))
    assert x.reshape(shape).permute(permutation).flatten().tolist() == x.reshape(fewer).permute(order).flatten().tolist()


def test_channels_last_stays_outside():
    edge = lower(nn.Conv2d(3, 4, 3), (IMAGE.to(memory_format=torch.channels_last),))
    assert outside(edge) == ["aten.convolution.default"]


def test_a_derived_extent_may_be_an_input():
    dynamic = ({0: Dim("n", max=16)},)
    edge = lower(lambda x: torch.sin(torch.asinh(torch.cat([x, x]))), (torch.randn(4, 3),), dynamic=dynamic)
    assert outside(edge) == ["aten.asinh.default"]
    extents = [lowered.function.inputs[0].dimensions[0] for lowered in calls(edge)]
    assert [(extent.min, extent.max) for extent in extents] == [(1, 16), (2, 32)]


@pytest.mark.parametrize(("least", "code"), [(4, None), (2, "derived_dimension")])
def test_an_input_that_may_be_empty_is_cut_elsewhere(least, code):
    program = export(lambda x: torch.sin(x[3:]), (torch.randn(12, 3),), ({0: Dim("n", min=6, max=16)},))
    value = next(node.meta["val"] for node in program.graph.nodes if node.op == "call_function")
    ranges = {symbol: ValueRanges(least, 16) for symbol in program.range_constraints}
    problem = boundary._input_problem(value, Options.parse([]), ranges)
    assert (problem and problem[0]) == code


# --- How calls are grouped.


def _random_graph(seed: int) -> tuple[torch.fx.Graph, set[torch.fx.Node]]:
    """A graph of calls with one to three inputs each, and those of them that are taken."""
    generator = random.Random(seed)
    graph = torch.fx.Graph()
    nodes = [graph.placeholder("x")]
    taken = set()
    for _ in range(generator.randint(1, 40)):
        sources = generator.sample(nodes, min(len(nodes), generator.randint(1, 3)))
        several = generator.random() < 0.2
        node = graph.call_function(torch.add, tuple(sources))
        members = [node]
        if several:
            members += [graph.call_function(operator.getitem, (node, index)) for index in range(generator.randint(1, 3))]
        nodes += members[1:] if several else members
        if generator.random() < 0.6:
            taken.update(members)
    graph.output(tuple(generator.sample(nodes, min(len(nodes), 3))))
    return graph, taken


@pytest.mark.parametrize("seed", range(200))
def test_groups_are_complete_acyclic_and_as_few_as_can_be(seed):
    graph, taken = _random_graph(seed)
    groups = grouping.group(graph, taken.__contains__)
    group_of = {node: index for index, calls in enumerate(groups) for node in calls}
    assert {node for node in group_of if node.op == "call_function"} == taken
    for node in taken:
        if node.target is operator.getitem:
            assert group_of[node] == group_of[node.args[0]]
    # Each group as one node: an order of them exists.
    before: dict = {group_of.get(node, node): set() for node in graph.nodes}
    for node in graph.nodes:
        for source in node.all_input_nodes:
            if group_of.get(node, node) != group_of.get(source, source):
                before[group_of.get(node, node)].add(group_of.get(source, source))
    list(graphlib.TopologicalSorter(before).static_order())
    # No grouping can do with fewer than the longest row of calls that alternates between inside and outside.
    rows: dict[torch.fx.Node, int] = {}
    for node in graph.nodes:
        least = 1 if node in taken else 0
        for source in node.all_input_nodes:
            fresh = node in taken and source not in taken
            least = max(least, rows[source] + (1 if fresh else 0))
        rows[node] = least
    assert len(groups) <= max(rows.values())


def test_what_cannot_be_cut_takes_its_neighbours_along_in_one_pass(monkeypatch):
    """Below iOS 16 no value of float16 can be handed over, so a call outside leaves all that is behind it outside: once grouped this took a pass for each."""
    passes = []
    monkeypatch.setattr(boundary, "group", lambda *arguments: passes.append(1) or grouping.group(*arguments))

    def row(x):
        y = torch.asinh(x)
        for _ in range(50):
            y = torch.sin(y)
        return y

    edge = lower(row, (X.half(),))
    assert calls(edge) == []
    assert len(passes) <= 2


def test_every_pass_of_the_cuts_rejects_a_call(monkeypatch):
    """What has to leave a partition and cannot, such as the attribute that a call reads, ends the search as well."""
    reasons = iter(range(1000))
    monkeypatch.setattr(boundary, "_output_problem", lambda value: ("never", f"for the {next(reasons)}th time"))
    edge = lower(lambda x: torch.topk(torch.sin(x), 2)[0] * 2, (X,))
    assert calls(edge) == []


def test_what_a_cut_leaves_outside_is_decomposed():
    """Attention over float16 cannot be handed to Core ML below iOS 16; kept whole, it could not run anywhere else either."""

    def attend(x):
        y = torch.asinh(torch.cat([x, x], 2))
        return F.scaled_dot_product_attention(y, y, y)

    edge = lower(attend, (torch.randn(1, 2, 4, 8).half(),), dynamic=({2: Dim("n", min=2, max=16)},))
    assert "aten.scaled_dot_product_attention.default" not in outside(edge)
    edge.to_executorch()


@pytest.mark.parametrize("dynamic", [None, ({0: Dim("n", min=1, max=4)},)])
def test_what_only_the_border_keeps_outside_is_decomposed(dynamic):
    """The pool could be converted, but float16 inputs need iOS 16; whole, ExecuTorch has no kernel for it."""
    edge = lower(lambda x: F.adaptive_avg_pool1d(x, 2), (torch.randn(2, 4, 8).half(),), dynamic=dynamic)
    assert outside(edge)
    assert "aten.adaptive_avg_pool1d.default" not in outside(edge)
    edge.to_executorch()


# What Core ML does not take, and ExecuTorch's kernel refuses: what is said of either.
REFUSED = {
    "cut off float64": (lambda x: F.pad(x, (-1, 2)), X.double(), "constant_pad_nd", "another dtype", "must not be negative"),
    "cut off until nothing is left": (
        lambda x: F.pad(x, (-3, 2)),
        X,
        "constant_pad_nd",
        "would leave no elements",
        "must not be negative",
    ),
    "a volume of float64": (
        lambda x: F.conv3d(x, torch.ones(1, 1, 2, 2, 2, dtype=torch.float64)),
        torch.randn(1, 1, 3, 3, 3).double(),
        "convolution",
        "another dtype",
        "not volumes",
    ),
    "padding around nothing": (
        lambda x: F.pad(x, (0, 0, 1, 1)),
        torch.zeros(4, 0),
        "constant_pad_nd",
        "at least one element",
        "result without elements",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_only_a_run_would_show_is_refused(case):
    function, x, op, why_not_core_ml, why_not_executorch = REFUSED[case]
    with pytest.raises(NotImplementedError, match=f"aten.{op}.default .at .*{why_not_core_ml}.*{why_not_executorch}"):
        lower(function, (x,))
    # Another backend may take it.
    edge = lower(function, (x,), partitioner={"skip_ops_for_coreml_delegation": [f"aten.{op}"]})
    assert f"aten.{op}.default" in outside(edge)
    method = Runtime.get().load_program(bytes(edge.to_executorch().buffer)).load_method("forward")
    with pytest.raises(RuntimeError, match="0x12"):
        method.execute([x])


@pytest.mark.parametrize("shape", [(0, 3, 0), (2, 0, 2), (0, 1, 5, 5), (2, 1, 0)], ids=str)
@pytest.mark.parametrize("pad", [(2, 2), (0, 0, 1, 1), (1, 0, 0, 0, 0, 1)], ids=str)
def test_padding_of_nothing_is_refused_where_executorch_refuses_it(shape, pad):
    x = torch.zeros(shape)
    program = export(lambda x: F.pad(x, pad, value=2.0), (x,))
    method = Runtime.get().load_program(bytes(to_edge(program).to_executorch().buffer)).load_method("forward")
    try:
        (actual,) = method.execute([x])
    except RuntimeError:
        with pytest.raises(NotImplementedError, match="result without elements"):
            lower(program)
    else:
        assert torch.equal(actual, F.pad(x, pad, value=2.0))
        lower(program)


@pytest.mark.parametrize(
    "function",
    [lambda x: torch.amax(x, 0), lambda x: torch.amin(x, 0), lambda x: torch.log_softmax(x, 0)],
    ids=["amax", "amin", "log_softmax"],
)
def test_what_would_end_the_process_is_refused(function):
    x = torch.zeros(4, 0)
    with pytest.raises(NotImplementedError, match="without elements"):
        lower(function, (x,))
    # ExecuTorch's kernel in a process of its own; when it no longer dies, its row in executorch_kernels.py has to go.
    edge = lower(function, (x,), partitioner={"skip_ops_for_coreml_delegation": ["aten.amax", "aten.amin", "aten._log_softmax"]})
    program = bytes(edge.to_executorch().buffer)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        Runtime.get().load_program(program).load_method("forward").execute([x])
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    ("function", "inputs", "parts"),
    [
        (lambda x: F.cross_entropy(x, torch.tensor([1, 0])), (torch.randn(2, 4),), {"log_softmax.int"}),
        (lambda x: F.glu(x.clone()), (torch.randn(2, 4),), set()),
        (lambda x: F.conv2d(x, torch.ones(1, 2, 3, 3), padding="same"), (torch.randn(1, 2, 4, 4),), {"conv2d.default"}),
        # A list of tensors, and indices that are looked at.
        (lambda x: torch.block_diag(x, x), (X,), set()),
    ],
    ids=["loss", "gate", "padding by a word", "list"],
)
def test_what_a_call_is_taken_apart_to(function, inputs, parts):
    kept = [torch.ops.aten.log_softmax.int, torch.ops.aten.linear.default, torch.ops.aten.conv2d.default]
    program = export(function, inputs)
    found = [
        torch_decompositions.parts_of(node, kept)
        for node in program.graph.nodes
        if node.op == "call_function" and node.target not in kept and not torch_decompositions.is_view(node.target)
    ]
    assert {str(part).removeprefix("aten.") for parts in found for part in parts} == parts


def test_a_call_that_cannot_be_made_alone_may_be_taken_apart_to_all():
    kept = [torch.ops.aten.linear.default]
    graph = export(lambda x: torch.nonzero(x)[0], (X,)).graph
    (node,) = [node for node in graph.nodes if node.target is torch.ops.aten.nonzero.default]
    assert torch_decompositions.parts_of(node, kept) == frozenset(kept)


def test_a_number_for_a_tensor_is_no_other_dtype():
    """ExecuTorch makes a float32 tensor of 2.0, which goes with float32 and not with float16."""

    def mixes(x):
        nodes = export(lambda x: torch.floor_divide(x, 2.0), (x,)).run_decompositions({}).graph.nodes
        return [support._mixes_dtypes(node) for node in nodes if node.op == "call_function"]

    assert mixes(X) == [False]
    assert mixes(X.half()) == [True]


# --- The skip list.


@pytest.mark.parametrize("entry", ["aten.add.Tensor", "aten.add.tensor", "ATEN.ADD.TENSOR", "aten.add", "add", "aten::add.Tensor"])
def test_skip_list_takes_every_spelling(entry):
    edge = lower(lambda x: torch.relu(x + x) * 2, (X,), partitioner={"skip_ops_for_coreml_delegation": [entry]})
    assert outside(edge) == ["aten.add.Tensor"]


def test_skip_list_says_what_matched_nothing(caplog):
    with caplog.at_level(logging.WARNING, LOGGER):
        lower(
            lambda x: torch.relu(x + x),
            (X,),
            partitioner={"skip_ops_for_coreml_delegation": ["aten.add.Tensor", "aten.conv3d"]},
        )
    warnings = [r.getMessage() for r in caplog.records if "skip_ops" in r.getMessage()]
    assert warnings == ["skip_ops_for_coreml_delegation: 'aten.conv3d' matches no op of the program."]


def test_skipped_op_that_would_be_kept_whole_is_decomposed():
    edge = lower(lambda x: F.gelu(x), (X,), partitioner={"skip_ops_for_coreml_delegation": ["aten.gelu.default"]})
    assert "aten.gelu.default" in outside(edge)


# --- Options.


def test_lower_full_graph_refuses_what_stays_outside():
    with pytest.raises(NotImplementedError, match=r"does not support the op aten\.asinh\.default.*lower_full_graph=True"):
        lower(lambda x: torch.asinh(x), (X,), partitioner={"lower_full_graph": True})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip_ops_for_coreml_delegation": ["add"]}, "skip_ops_for_coreml_delegation"),
        ({"take_over_constant_data": False}, "take_over_constant_data=True"),
        ({"take_over_mutable_buffer": False}, "take_over_mutable_buffer=True"),
    ],
)
def test_lower_full_graph_excludes(options, message):
    with pytest.raises(AssertionError, match=message):
        CoreMLPartitioner(lower_full_graph=True, **options)


def test_enumerated_shapes_need_full_graph():
    program = export(Unary(torch.relu), (torch.randn(4, 3),), ({0: Dim("n", max=8)},))
    spec = CoreMLBackend.generate_enumerated_shapes_compile_spec(program, {"x": [[1, 3], [4, 3]]})
    with pytest.raises(AssertionError, match="lower_full_graph must be True"):
        CoreMLPartitioner(compile_specs=[spec])


def test_take_over_constant_data_false():
    lowered = call(lower(nn.Linear(3, 4), (X,), partitioner={"take_over_constant_data": False}))
    assert len(lowered.function.inputs) == 3


def test_attention_is_kept_whole():
    class Attention(nn.Module):
        def forward(self, x, y):
            return F.scaled_dot_product_attention(x, y, y)

    q, k = torch.randn(1, 2, 4, 8), torch.randn(1, 2, 6, 8)
    partitioner = CoreMLPartitioner()
    kept, check = partitioner.ops_to_not_decompose(export(Attention(), (q, k)))
    assert kept == [torch.ops.aten.scaled_dot_product_attention.default]
    assert check is None
    lowered = call(lower(Attention(), (q, k), minimum_deployment_target=ct.target.iOS18))
    assert "scaled_dot_product_attention" in lowered.mil_ops


def test_op_rejected_in_one_call_is_decomposed_in_all():
    function = Unary(lambda x: F.avg_pool2d(x, 2) + F.avg_pool2d(x, 2, ceil_mode=True, divisor_override=3))
    kept, _ = CoreMLPartitioner().ops_to_not_decompose(export(function, (IMAGE,)))
    assert torch.ops.aten.avg_pool2d.default not in kept


@pytest.mark.parametrize("old", [True, False])
def test_deprecated_workflow_is_announced(old, caplog):
    program = export(nn.Linear(3, 4), (X,))
    with caplog.at_level(logging.WARNING, LOGGER):
        if old:
            to_edge(program).to_backend(CoreMLPartitioner())
        else:
            lower(program)
    assert ("DEPRECATION WARNING" in caplog.text) == old
    assert ("to_edge_transform_and_lower()" in caplog.text) == old


def test_indices_of_computed_extents():
    """Their shapes were put into a set, which numbers that are not known cannot be."""

    def spread(x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(x.shape[0])
        return torch.zeros(16, 16).index_put((places, places), x[:, 0])

    edge = lower(spread, (torch.ones(4, 2),), dynamic=({0: Dim("n", min=2, max=16)},))
    assert calls(edge) or "aten.index_put.default" in outside(edge)
    known = lower(lambda x: torch.zeros(4, 4).index_put((torch.arange(4), torch.arange(4)), x[:, 0]), (torch.ones(4, 2),))
    assert outside(known) == []


@pytest.mark.parametrize(
    "function", [lambda x, i: torch.gather(x, 1, i), lambda x, i: torch.scatter(x, 1, i, False)], ids=["gather", "scatter"]
)
def test_int32_indices_outside_are_refused(function):
    """Of bools, which Core ML does not gather: ExecuTorch's kernel takes only int64 indices, and says so when the program runs."""
    index = torch.tensor([[0, 1], [1, 0]])
    for dtype, refused in ((torch.int32, True), (torch.int64, False)):
        model = _OfBools(function, index.to(dtype))
        if refused:
            with pytest.raises(NotImplementedError, match="takes only int64 indices"):
                lower(model, (X,))
        else:
            assert outside(lower(model, (X,)))


class _OfBools(nn.Module):
    def __init__(self, function, index: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("index", index)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x > 0, self.index)
