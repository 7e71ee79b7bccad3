"""`torch.cond`, `while_loop`, `map`, `scan`: partitioning ends, and what is lowered gives torch's numbers."""

from __future__ import annotations

import logging

import coremltools as ct
import pytest
import torch
from aot_lowering import call, export, modules
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner, PartitionReport
from executorch.exir import EdgeProgramManager, to_edge, to_edge_transform_and_lower
from executorch.runtime import Runtime
from running import difference, execute, flat, module_of
from torch._higher_order_ops import associative_scan, scan, while_loop
from torch._higher_order_ops import map as map_rows
from torch.export import Dim

X = torch.tensor([[0.3, -1.2, 2.5], [0.7, 1.9, -0.4]])
YES, NO = torch.tensor([True]), torch.tensor([False])


def lowered(function, inputs, *, old_workflow: bool = False, **options) -> tuple[EdgeProgramManager, PartitionReport]:
    program = export(module_of(function, len(inputs)), inputs)
    partitioner = CoreMLPartitioner(compile_specs=CoreMLBackend.generate_compile_specs(**options))
    if old_workflow:
        return to_edge(program).to_backend(partitioner), partitioner.report
    return to_edge_transform_and_lower(program, partitioner=[partitioner]), partitioner.report


def check(edge: EdgeProgramManager, function, inputs, precision: str = "float32") -> None:
    for actual, expected in zip(execute(edge, inputs), flat(function(*inputs)), strict=True):
        assert difference(actual, expected, precision) is None


# asinh has no conversion, so that each call stays outside with a part of its graphs.
LEFT = {
    "cond": (lambda x, p: torch.cond(p.any(), lambda x: torch.asinh(x) * 2, lambda x: torch.cos(x) + 1, (x,)), (X, YES), 4),
    "map": (lambda x, y: map_rows(lambda row, y: torch.asinh(row) + y.sum(), x, y), (X, X + 1), 2),
    "scan": (lambda x: scan(lambda c, y: (c + y, torch.asinh(c) * y), torch.zeros(3), x)[1], (X,), 2),
    "associative_scan": (
        lambda x: associative_scan(lambda a, b: a + torch.asinh(b) * 2, x, 0, combine_mode="generic"),
        (X,),
        3,
    ),
}


@pytest.mark.parametrize("old_workflow", [False, True], ids=["to_edge_transform_and_lower", "to_backend"])
@pytest.mark.parametrize(("function", "inputs", "least"), LEFT.values(), ids=LEFT)
def test_calls_of_control_flow_stay_outside_and_their_graphs_are_partitioned(function, inputs, least, old_workflow):
    edge, report = lowered(function, inputs, old_workflow=old_workflow)
    assert "aten.asinh.default" in {node.op for node in report.left}
    assert report.delegated_nodes >= least
    assert not any(node.op.startswith("submodule") for node in report.left)
    check(edge, function, inputs)


def test_a_loop_that_stays_outside_says_that_executorch_has_none(caplog):
    def loop(x, n):
        start = torch.zeros((), dtype=torch.int64)
        return while_loop(lambda i, x: i < n, lambda i, x: (i + 1, torch.asinh(x) * 1.5), (start, x))[1]

    with caplog.at_level(logging.WARNING):
        _, report = lowered(loop, (X, torch.tensor(3)))
    left = {node.op: node for node in report.left}
    assert "aten.asinh.default, which is inside it, stays outside" in left["while_loop"].reason
    assert left["while_loop"].not_executed == "it has no such control flow"
    assert [line for line in report.warnings() if "Neither Core ML nor ExecuTorch can execute while_loop" in line]
    assert "Neither Core ML nor ExecuTorch can execute while_loop" in caplog.text


# --- Inside Core ML.


class Nested(torch.nn.Module):
    """Weights in both branches, a branch in a branch, constants in each."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.convolution = torch.nn.Linear(3, 3), torch.nn.Conv1d(2, 2, 1)

    def forward(self, x, p, q):
        def inner(x, q):
            return torch.cond(q.any(), lambda x: self.convolution(x[None])[0] + 2, lambda x: torch.tanh(x) * 3, (x,))

        return torch.cond(p.any(), lambda x, q: self.linear(x), inner, (x, q)) + x


class Loop(torch.nn.Module):
    """Carries a tensor and a count, reads a weight and an operand that stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)

    def forward(self, x, n):
        def body(i, x):
            return i + 1, torch.sin(self.linear(x)) * 1.5

        return while_loop(lambda i, x: i < n, body, (torch.zeros((), dtype=torch.int64), x))


def grow(x, n):
    return while_loop(lambda i, x: (i < 7) & (x.sum() < 50), lambda i, x: (i + 1, x * 2), (n, x))


def halves(x, p):
    return torch.cond(p.any(), lambda x: (x + 1, x[:1] * 2), lambda x: (x * 1, torch.cos(x[1:])), (x,))


COUNTS = [(X, torch.tensor(count)) for count in (3, 0, 1, 40)]
CHOICES = [(X, YES), (X, NO)]
BOTH_CHOICES = [(X, first, second.clone()) for first in (YES, NO) for second in (YES, NO)]
TARGETS = (ct.target.iOS15, ct.target.iOS16, ct.target.iOS17, ct.target.iOS18)
PRECISIONS = {"float32": ct.precision.FLOAT32, "float16": ct.precision.FLOAT16}


def check_inside(module, inputs, precision="float32", **options):
    """Everything goes to Core ML, and each of the inputs gives torch's numbers."""
    torch.manual_seed(0)
    module = module() if isinstance(module, type) else module_of(module, len(inputs[0]))
    partitioner = CoreMLPartitioner(compile_specs=CoreMLBackend.generate_compile_specs(**options))
    edge = to_edge_transform_and_lower(export(module, inputs[0]), partitioner=[partitioner])
    lowered_call = call(edge)
    assert len(lowered_call.function.inputs) == len(inputs[0])  # Weights are constants of the model.
    program = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    method = program.load_method("forward")
    for values in inputs:
        for actual, expected in zip(method.execute(list(values)), flat(module(*values)), strict=True):
            assert difference(actual, expected.detach(), precision) is None
    return lowered_call


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize(("module", "inputs", "operation"), [(Nested, BOTH_CHOICES, "cond"), (Loop, COUNTS[:3], "while_loop")])
def test_every_target_and_precision_takes_control_flow(module, inputs, operation, target, precision):
    lowered_call = check_inside(
        module, inputs, precision, minimum_deployment_target=target, compute_precision=PRECISIONS[precision]
    )
    assert operation in lowered_call.mil_ops


@pytest.mark.parametrize(
    ("function", "inputs"),
    [(grow, [(X.abs(), torch.tensor(count)) for count in (3, 0, 7, 9)]), (halves, CHOICES)],
    ids=["a_condition_on_the_data", "several_results"],
)
def test_other_control_flow_is_right(function, inputs):
    check_inside(function, inputs, compute_precision=ct.precision.FLOAT32)


def test_many_iterations():
    check_inside(Loop, COUNTS, compute_precision=ct.precision.FLOAT32)


def test_a_constant_in_one_place_and_an_operand_in_two():
    def function(x, p):
        y = torch.sin(x)
        return torch.cond(p.any(), lambda y, x: y + x, lambda y, x: y - x, (y, x)) * y

    check_inside(function, CHOICES, compute_precision=ct.precision.FLOAT32)


def test_the_older_workflow_takes_control_flow():
    edge, report = lowered(halves, CHOICES[0], old_workflow=True, compute_precision=ct.precision.FLOAT32)
    assert report.left == ()
    check(edge, halves, CHOICES[0])


def test_branches_of_dynamic_extents():
    def function(x, p):
        return torch.cond(p.any(), lambda x: torch.sin(x) * 2, lambda x: torch.cat([x, x])[: x.shape[0]] + 1, (x,))

    program = torch.export.export(module_of(function, 2), CHOICES[0], dynamic_shapes=({0: Dim("n", max=8)}, None))
    specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision.FLOAT32)
    edge = to_edge_transform_and_lower(program, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    call(edge)
    loaded = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    method = loaded.load_method("forward")
    for rows in (1, 5):
        for choice in (YES, NO):
            x = torch.randn(rows, 3)
            assert difference(method.execute([x, choice])[0], function(x, choice)) is None


def test_a_choice_by_an_extent_stays_outside():
    def function(x):
        return torch.cond(x.shape[0] > 4, lambda x: torch.sin(x) * 2, lambda x: x * 3, (x,))

    program = torch.export.export(module_of(function, 1), (X,), dynamic_shapes=({0: Dim("n", max=8)},))
    specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision.FLOAT32)
    partitioner = CoreMLPartitioner(compile_specs=specs)
    edge = to_edge_transform_and_lower(program, partitioner=[partitioner])
    assert "a tensor with one bool" in next(node.reason for node in partitioner.report.left if node.op == "cond")
    loaded = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    method = loaded.load_method("forward")
    for rows in (2, 5):
        x = torch.randn(rows, 3)
        assert difference(method.execute([x])[0], function(x)) is None


def test_methods_that_share_weights_have_control_flow():
    class Shared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 3)

        def forward(self, x, p):
            return torch.cond(p.any(), lambda x: self.linear(x), lambda x: self.linear(x) * 2, (x,))

    module, inputs = Shared(), {"one": X, "two": torch.randn(5, 3)}
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18, compute_precision=ct.precision.FLOAT32)
    programs = {method: export(module, (x, YES)) for method, x in inputs.items()}
    edge = to_edge_transform_and_lower(programs, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    loaded = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    for name, x in inputs.items():
        method = loaded.load_method(name)
        for choice in (YES, NO):
            assert difference(method.execute([x, choice])[0], module(x, choice).detach()) is None


def test_lower_full_graph_says_what_is_inside():
    def function(x, p):
        return torch.cond(p.any(), lambda x: torch.asinh(x) * 2, lambda x: x * 1, (x,))

    program = export(module_of(function, 2), CHOICES[0])
    with pytest.raises(NotImplementedError, match=r"the op cond.*aten\.asinh\.default, which is inside it"):
        to_edge_transform_and_lower(program, partitioner=[CoreMLPartitioner(lower_full_graph=True)])


def test_skipped_control_flow_stays_outside():
    program = export(module_of(halves, 2), CHOICES[0])
    partitioner = CoreMLPartitioner(skip_ops_for_coreml_delegation=["cond"])
    edge = to_edge_transform_and_lower(program, partitioner=[partitioner])
    assert {(node.op, node.code) for node in partitioner.report.left} == {("cond", "skipped"), ("getitem", "with_its_source")}
    for values in CHOICES:
        check(edge, halves, values)


def test_attributes_of_another_backend_are_left_alone():
    """A call that another backend took reads its module through a `get_attr`, as the graphs of a call of control flow are read."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    def function(x):
        return torch.cumsum(torch.nn.functional.relu(x + 1), 1)

    partitioners = [XnnpackPartitioner(), CoreMLPartitioner()]
    edge = to_edge_transform_and_lower(export(module_of(function, 1), (X,)), partitioner=partitioners)
    assert {module.backend_id for module in modules(edge)} == {"XnnpackBackend", "CoreMLBackend"}
