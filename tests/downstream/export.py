"""Lowers torch.sin for a [2, 3] input to the .pte named on the command line, with everything in the Core ML delegate."""

import sys
from pathlib import Path

import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower


class Sin(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


def main() -> None:
    specs = CoreMLBackend.generate_compile_specs()
    exported = torch.export.export(Sin(), (torch.zeros(2, 3),))
    edge = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    left = [str(node.target) for node in edge.exported_program().graph.nodes if "aten" in str(node.target)]
    if left:
        sys.exit(f"not delegated: {left}")
    Path(sys.argv[1]).write_bytes(edge.to_executorch().buffer)


if __name__ == "__main__":
    main()
