"""The partition report: what went where and why, with the line of the user's model."""

from __future__ import annotations

import json
import logging
import pathlib

import coremltools as ct
import torch
from aot_lowering import export
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner, PartitionReport
from executorch.exir import to_edge_transform_and_lower
from torch import nn

X = torch.randn(2, 8)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("seen", torch.zeros(8))
        self.register_buffer("count", torch.zeros(8, dtype=torch.int32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add_(x[0])
        self.count.add_(1)
        return torch.asinh(self.linear(x))  # line: asinh


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for block in self.blocks:
            x = block(x)
        return x, torch.argmax(x)


def report_of(module: nn.Module, inputs: tuple[torch.Tensor, ...], **options: object) -> tuple[PartitionReport, CoreMLPartitioner]:
    partitioner = CoreMLPartitioner(compile_specs=CoreMLBackend.generate_compile_specs(**options))
    to_edge_transform_and_lower(export(module, inputs), partitioner=[partitioner])
    return partitioner.report, partitioner


def test_report_has_counts_reasons_bytes_and_source_lines(caplog):
    with caplog.at_level(logging.INFO):
        report, partitioner = report_of(Model(), (X,), minimum_deployment_target=ct.target.iOS18)
    assert len(partitioner.reports) == 1
    counts = {(op, code): count for op, code, _, count in report.reasons()}
    assert counts[("aten.asinh.default", "not_implemented")] == 2
    assert counts[("aten.argmax.default", "flattened_argument")] == 1
    assert report.delegated_nodes == sum(sum(p.ops.values()) for p in report.partitions) > 0
    # Two weights and two biases in float32; states are no weights.
    linear = sum(p.weight_bytes for p in report.partitions if any("linear" in op or "addmm" in op for op in p.ops))
    assert linear >= 2 * (8 * 8 + 8) * 4
    asinh = next(node for node in report.left if node.op == "aten.asinh.default")
    source = pathlib.Path(__file__).read_text().splitlines()
    assert asinh.source is not None
    assert asinh.source.file.endswith("report_test.py")
    assert source[asinh.source.line - 1].endswith("# line: asinh")
    assert asinh.module == "blocks.0"
    assert set(report.states) == {"blocks.0.seen", "blocks.1.seen"}
    assert set(report.buffers_outside) == {"blocks.0.count", "blocks.1.count"}
    assert "float16, and its dtype is torch.int32" in report.buffers_outside["blocks.0.count"]
    assert (report.deployment_target, report.target_needs[0].target, report.target_needs[0].op) == ("iOS18", "iOS18", "state")
    text = report.text()
    assert text.splitlines()[0].startswith(
        f"Core ML takes {report.delegated_nodes} of {report.delegated_nodes + len(report.left)} operations"
    )
    assert "2 x aten.asinh.default" in text
    assert f"report_test.py:{asinh.source.line}" in text
    assert all(line in caplog.text for line in text.splitlines())


def test_report_as_json():
    report, _ = report_of(Model(), (X,))
    document = json.loads(report.to_json())
    assert document["deployment_target"] == "iOS15"
    assert document["target_needs"] == []
    assert {entry["code"] for entry in document["reasons"]} >= {"not_implemented", "flattened_argument"}
    assert sum(p["nodes"] for p in document["partitions"]) == document["delegated_nodes"]
    assert all({"op", "code", "reason", "source", "module"} <= set(node) for node in document["left"])


def test_report_says_what_needs_the_target():
    class Halves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.pixel_unshuffle(x, 2) * 2

    report, _ = report_of(Halves(), (torch.randn(1, 2, 4, 4),), minimum_deployment_target=ct.target.iOS17)
    assert [(need.target, need.op, need.count) for need in report.target_needs] == [("iOS16", "aten.pixel_unshuffle.default", 1)]


def test_report_says_what_was_decomposed():
    report, _ = report_of(nn.GRU(8, 8), (torch.randn(4, 1, 8),))
    assert "iOS18" in report.decomposed["aten.gru.input"]
    assert "Decomposed: aten.gru.input: " in report.text()


class Step(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x) + 1


def test_each_method_has_its_own_reasons():
    programs = {"recurrent": export(nn.GRU(8, 8), (torch.randn(4, 1, 8),)), "step": export(Step(), (X,))}
    partitioner = CoreMLPartitioner()
    to_edge_transform_and_lower(programs, partitioner=[partitioner])
    assert ["aten.gru.input" in report.decomposed for report in partitioner.reports] == [True, False]
    # Used again, a partitioner has forgotten the programs before.
    to_edge_transform_and_lower({"step": programs["step"]}, partitioner=[partitioner])
    assert partitioner.report.decomposed == {}


def test_an_entry_for_a_later_method_is_no_mistake(caplog):
    programs = {"first": export(nn.ReLU(), (X,)), "second": export(Step(), (torch.randn(3, 8),))}
    with caplog.at_level(logging.WARNING):
        to_edge_transform_and_lower(programs, partitioner=[CoreMLPartitioner(skip_ops_for_coreml_delegation=["sin", "conv3d"])])
    said = [record.getMessage() for record in caplog.records if "skip_ops" in record.getMessage()]
    assert said == ["skip_ops_for_coreml_delegation: 'conv3d' matches no op of the program."]


def test_report_says_what_nothing_executes(caplog):
    @torch.library.custom_op("coreml_report_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    twice.register_fake(torch.empty_like)

    class Custom(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.asinh(twice(torch.sin(x)))

    with caplog.at_level(logging.WARNING):
        report, _ = report_of(Custom(), (X,))
    left = {node.op: node.not_executed for node in report.left}
    assert left == {"coreml_report_test.twice.default": "it has no out variant", "aten.asinh.default": ""}
    assert len(report.warnings()) == 1
    assert (
        "can execute coreml_report_test.twice.default: Core ML does not because coremltools has no conversion"
        in report.warnings()[0]
    )
    assert report.warnings()[0] in report.text()
    assert report.warnings()[0] in caplog.text
