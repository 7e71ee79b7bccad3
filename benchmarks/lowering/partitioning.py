"""Seconds that partitioning alone takes, by the size of a program and by what cuts it.

    tools/bazel run -c opt //benchmarks/lowering:partitioning -- [--nodes 100 1000 10000] [--programs chain alternating]

Each program is an edge program of about so many calls: `CoreMLPartitioner.partition` is timed on it, conversion is not.

    chain         elementwise calls in a row: one partition
    alternating   every tenth call has no conversion: many partitions
    derived       behind a call that has no conversion, and whose result has an extent that is an expression of symbols
    halves        the same with float16 below iOS 16, where no cut can be made: every call stays outside
    wide          100 chains side by side, each of which is cut once
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

FUNCTIONS = (torch.sin, torch.tanh, torch.abs, torch.cos)


def _row(x: torch.Tensor, nodes: int) -> torch.Tensor:
    for index in range(nodes):
        x = FUNCTIONS[index % len(FUNCTIONS)](x)
    return x


def _alternating(x: torch.Tensor, nodes: int) -> torch.Tensor:
    for index in range(nodes):
        x = torch.asinh(x) if index % 10 == 9 else FUNCTIONS[index % len(FUNCTIONS)](x)
    return x


def _wide(x: torch.Tensor, nodes: int) -> torch.Tensor:
    length = max(1, nodes // 200)
    return torch.stack([_row(torch.asinh(_row(x + index, length)), length) for index in range(100)])


PROGRAMS: dict[str, tuple[Callable[[torch.Tensor, int], torch.Tensor], torch.dtype, bool]] = {
    "chain": (_row, torch.float32, False),
    "alternating": (_alternating, torch.float32, False),
    "derived": (lambda x, nodes: _row(torch.asinh(torch.cat([x, x])), nodes), torch.float32, True),
    "halves": (lambda x, nodes: _row(torch.asinh(x), nodes), torch.float16, False),
    "wide": (_wide, torch.float32, False),
}


class _Program(torch.nn.Module):
    def __init__(self, function: Callable[[torch.Tensor, int], torch.Tensor], nodes: int) -> None:
        super().__init__()
        self.function, self.nodes = function, nodes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, self.nodes)


def measure(name: str, nodes: int) -> str:
    function, dtype, dynamic = PROGRAMS[name]
    shapes = ({0: Dim("n", max=16)},) if dynamic else None
    program = torch.export.export(_Program(function, nodes), (torch.ones(4, 3, dtype=dtype),), dynamic_shapes=shapes)
    edge = to_edge(program, compile_config=EdgeCompileConfig(_check_ir_validity=False)).exported_program()
    partitioner = CoreMLPartitioner()
    start = time.monotonic()
    partitioner.partition(edge)
    seconds = time.monotonic() - start
    report = partitioner.report
    return f"{name:<12}{nodes:>8}{seconds:>10.2f}{len(report.partitions):>12}{report.delegated_nodes:>11}{len(report.left):>9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", nargs="+", type=int, default=[100, 1000, 10000])
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    print(f"{'program':<12}{'nodes':>8}{'seconds':>10}{'partitions':>12}{'delegated':>11}{'outside':>9}")
    for name in options.programs:
        for nodes in options.nodes:
            print(measure(name, nodes), flush=True)


if __name__ == "__main__":
    main()
