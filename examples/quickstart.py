"""The two models of ExecuTorch's Core ML introduction, lowered to a .pte, run through the delegate, compared with PyTorch.

tools/bazel run //examples:quickstart
tools/bazel run //examples:quickstart -- --output=/tmp/models     # keeps the .pte files
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import rich.console
import torch
from absl import app, flags

from examples import pipeline

_OUTPUT = flags.DEFINE_string("output", None, "Folder to keep the .pte files in; must exist. Default: they are not kept.")


class Sin(torch.nn.Module):
    """Element-wise sine."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


class ConvRelu(torch.nn.Module):
    """One convolution and its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 16, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.relu(self.conv(x))


def run(name: str, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], folder: Path) -> bool:
    """Lowers, runs and compares one model; whether the difference is normal for the precision."""
    console = rich.console.Console()
    console.print(f"[bold]{name}[/bold]  inputs {[list(x.shape) for x in inputs]}", highlight=False, soft_wrap=True)
    path = folder / f"{name}.pte"
    with pipeline.Stages(console).running() as stages, torch.no_grad():
        pte = pipeline.lower(module.eval(), inputs, stages=stages)
        path.write_bytes(pte)
        execute = pipeline.load(path, stages=stages)
        stages.begin("run")
        actual = execute(inputs)[0]
        expected = module(*inputs)
    calls, instructions = pipeline.delegated_share(pte)
    difference = pipeline.relative_difference(actual, expected)
    console.print(f"  {len(pte):,} bytes; {calls} of {instructions} instructions call the Core ML delegate", highlight=False)
    console.print(f"  PyTorch   {[f'{v:+.5f}' for v in expected.flatten()[:4].tolist()]} ...", highlight=False, soft_wrap=True)
    console.print(f"  delegate  {[f'{v:+.5f}' for v in actual.flatten()[:4].tolist()]} ...", highlight=False, soft_wrap=True)
    console.print("  " + pipeline.difference_line(difference, pipeline.FLOAT16) + "\n", highlight=False, soft_wrap=True)
    return difference <= pipeline.FLOAT16.normal_difference


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    pipeline.quiet()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(_OUTPUT.value) if _OUTPUT.value else Path(temporary)
        good = run("sin", Sin(), (torch.linspace(-3, 3, 24).reshape(2, 3, 4),), folder)
        good &= run("conv_relu", ConvRelu(), (torch.randn(1, 3, 64, 64),), folder)
    return 0 if good else 1


if __name__ == "__main__":
    app.run(main)
