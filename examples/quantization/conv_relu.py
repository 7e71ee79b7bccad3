"""Post-training quantization, as ExecuTorch's introduction to the Core ML delegate shows it, in today's form and through to a run.

One convolution and its ReLU: symmetric quantization, uint8 activations, int8 weights with one scale per channel.

    tools/bazel run //examples/quantization:conv_relu
    tools/bazel run //examples/quantization:conv_relu -- --output=/tmp/conv_relu.pte     # keeps the .pte file
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import torch
from absl import app, flags
from coremltools.optimize.torch.quantization.quantization_config import LinearQuantizerConfig, QuantizationScheme
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

_OUTPUT = flags.DEFINE_string("output", None, "Where to keep the .pte file. Default: it is not kept.")


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels=3, out_channels=16, kernel_size=3, padding=1)
        self.relu = torch.nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(x))


def quantize(model: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...]) -> tuple[torch.fx.GraphModule, CoreMLQuantizer]:
    """The model as a program that quantizes and dequantizes explicitly, and the quantizer, whose report says what it did."""
    config = LinearQuantizerConfig.from_dict(
        {
            "global_config": {
                "quantization_scheme": QuantizationScheme.symmetric,
                "activation_dtype": torch.quint8,
                "weight_dtype": torch.qint8,
                "weight_per_channel": True,
            }
        }
    )
    quantizer = CoreMLQuantizer(config)
    exported = torch.export.export(model, example_inputs).module()
    prepared = prepare_pt2e(exported, quantizer)
    prepared(*example_inputs)  # Calibration: run it on data like the model's own.
    return convert_pt2e(prepared), quantizer


def lower(model: torch.nn.Module, example_inputs: tuple[torch.Tensor, ...], *, precision: ct.precision) -> bytes:
    """The bytes of a .pte. Quantized activations need iOS 17."""
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS17, compute_precision=precision)
    exported = torch.export.export(model, example_inputs)
    edge = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    return bytes(edge.to_executorch().buffer)


def execute(path: Path, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    program = Runtime.get().load_program(path)
    return program.load_method("forward").execute(inputs)[0]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Sizes in bytes; differences of the delegate's result, as parts of the largest value."""

    report: str
    float_size: int
    quantized_size: int
    from_float: float
    from_quantized: float


def run(folder: Path) -> Outcome:
    """Quantizes, lowers, runs and compares; writes `conv_relu.pte` to the folder."""
    torch.manual_seed(0)
    model, inputs = Model().eval(), (torch.randn(1, 3, 256, 256),)
    quantized, quantizer = quantize(model, inputs)
    path = folder / "conv_relu.pte"
    path.write_bytes(lower(quantized, inputs, precision=ct.precision.FLOAT32))
    actual = execute(path, inputs)
    with torch.no_grad():
        exact, original = quantized(*inputs), model(*inputs)
    largest = original.abs().max().item()
    return Outcome(
        report=str(quantizer.report),
        float_size=len(lower(model, inputs, precision=ct.precision.FLOAT32)),
        quantized_size=path.stat().st_size,
        from_float=(actual - original).abs().max().item() / largest,
        from_quantized=(actual - exact).abs().max().item() / largest,
    )


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder))
        if _OUTPUT.value:
            Path(_OUTPUT.value).write_bytes((Path(folder) / "conv_relu.pte").read_bytes())
    print(outcome.report)
    print(f"\n.pte: {outcome.quantized_size:,} bytes, {outcome.float_size:,} without quantization")
    print(f"largest difference from the quantized PyTorch program: {outcome.from_quantized:.1e} of the largest value")
    print(f"largest difference from the float model:               {outcome.from_float:.1e} of the largest value")
    return 0 if outcome.from_quantized < 5e-3 else 1


if __name__ == "__main__":
    app.run(main)
