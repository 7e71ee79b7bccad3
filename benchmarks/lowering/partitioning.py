"""Seconds that partitioning alone takes, by the size of a program and by what cuts it.

    tools/bazel run -c opt //benchmarks/lowering:partitioning -- [--nodes 100 1000 10000] [--programs chain alternating]

Each program is an edge program of about so many calls: `CoreMLPartitioner.partition` is timed on it, export and conversion are not. A few calls are
exported, and repeated in the graph, since torch.export takes minutes for 10,000.

    chain         elementwise calls in a row: one partition
    alternating   every tenth call has no conversion: many partitions
    derived       behind a call that has no conversion, and whose result has an extent that is an expression of symbols
    halves        float16 below iOS 16, where no cut can be made: every call behind one outside stays outside
    side_by_side  branches of one value with a call outside in each, which are summed up
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable

import torch
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import EdgeCompileConfig, to_edge
from torch.export import Dim
from torch.export.exported_program import ExportedProgram

Function = Callable[[torch.Tensor], torch.Tensor]
Repeated = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _five(x: torch.Tensor) -> torch.Tensor:
    return torch.cos(torch.abs(torch.tanh(torch.sin(torch.cos(x)))))


# What is done first, what is repeated with the first value and the last, dtype, whether the first extent is dynamic.
PROGRAMS: dict[str, tuple[Function, Repeated, torch.dtype, bool]] = {
    "chain": (torch.sin, lambda first, last: _five(last), torch.float32, False),
    "alternating": (torch.sin, lambda first, last: _five(torch.asinh(torch.sin(torch.tanh(last)))), torch.float32, False),
    "derived": (lambda x: torch.asinh(torch.cat([x, x])), lambda first, last: _five(last), torch.float32, True),
    "halves": (torch.asinh, lambda first, last: _five(last), torch.float16, False),
    "side_by_side": (torch.sin, lambda first, last: last + torch.tanh(torch.asinh(torch.cos(first))), torch.float32, False),
}


class _Program(torch.nn.Module):
    def __init__(self, first: Function, repeated: Repeated) -> None:
        super().__init__()
        self.first, self.repeated = first, repeated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        return self.repeated(first, torch.neg(first))


def program_of(name: str, calls: int) -> ExportedProgram:
    first, repeated, dtype, dynamic = PROGRAMS[name]
    shapes = ({0: Dim("n", max=16)},) if dynamic else None
    exported = torch.export.export(_Program(first, repeated), (torch.ones(4, 3, dtype=dtype),), dynamic_shapes=shapes)
    program = to_edge(exported, compile_config=EdgeCompileConfig(_check_ir_validity=False)).exported_program()
    graph = program.graph
    nodes = list(graph.nodes)
    start = next(index for index, node in enumerate(nodes) if "neg" in str(node.target))
    period, output = nodes[start + 1 : -1], nodes[-1]
    last = period[-1]
    with graph.inserting_before(output):
        for _ in range(calls // len(period) - 1):
            copies = {nodes[start]: last}
            for node in period:
                copies[node] = graph.node_copy(node, lambda source, copies=copies: copies.get(source, source))
            last = copies[period[-1]]
    output.args = ((last,),)
    return program


def measure(name: str, calls: int) -> str:
    program = program_of(name, calls)
    partitioner = CoreMLPartitioner()
    start = time.monotonic()
    partitioner.partition(program)
    seconds = time.monotonic() - start
    report = partitioner.report
    return f"{name:<14}{calls:>8}{seconds:>10.2f}{len(report.partitions):>12}{report.delegated_nodes:>11}{len(report.left):>9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", nargs="+", type=int, default=[100, 1000, 10000])
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    print(f"{'program':<14}{'calls':>8}{'seconds':>10}{'partitions':>12}{'delegated':>11}{'outside':>9}")
    for name in options.programs:
        for calls in options.nodes:
            print(measure(name, calls), flush=True)


if __name__ == "__main__":
    main()
