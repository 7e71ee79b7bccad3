"""Lowers two programs to the folder named on the command line, each with everything in the Core ML delegate.

sin.pte: torch.sin of a [2, 3] input. quantized.pte: a linear layer and its ReLU, [1, 4] to [1, 3], quantized to 8 bits.
"""

import sys
from pathlib import Path

import coremltools as ct
import torch
from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
from executorch.exir import to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e


class Sin(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


class LinearRelu(torch.nn.Module):
    """y = relu(x W' + b) with numbers that check.sh computes with."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, -1], [0.5, 0.5, 0.5, 0.5]]))
            self.linear.bias.copy_(torch.tensor([0.0, 0, -1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x))


def quantized(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    config = LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(quantization_scheme="symmetric"))
    prepared = prepare_pt2e(torch.export.export(module.eval(), inputs).module(), CoreMLQuantizer(config))
    prepared(*inputs)
    return convert_pt2e(prepared)


def lower(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], target: ct.target | None, path: Path) -> None:
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=target)
    exported = torch.export.export(module, inputs)
    edge = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    left = [str(node.target) for node in edge.exported_program().graph.nodes if "aten" in str(node.target)]
    if left:
        sys.exit(f"not delegated: {left}")
    path.write_bytes(edge.to_executorch().buffer)


def main() -> None:
    folder = Path(sys.argv[1])
    lower(Sin(), (torch.zeros(2, 3),), None, folder / "sin.pte")
    calibration = (torch.tensor([[2.0, -2, 1, 0]]),)
    lower(quantized(LinearRelu(), calibration), calibration, ct.target.iOS17, folder / "quantized.pte")


if __name__ == "__main__":
    main()
