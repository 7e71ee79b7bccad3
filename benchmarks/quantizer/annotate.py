"""How long annotating a program takes: this workspace's CoreMLQuantizer against the executorch wheel's, in one run.

    tools/bazel run //benchmarks/quantizer:annotate                                  # the wheel's on one Linear; minutes
    tools/bazel run //benchmarks/quantizer:annotate -- --stock=linear,resnet18       # the wheel's on these too

Both get the same exported program and configuration. The wheel's quantizer runs in a process of its own, in which this workspace's packages are
not on the path. Seconds are wall-clock; CPU seconds, which a busy machine disturbs less, are beside them, and the ratio is of those.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch
from absl import app, flags

_MODELS = flags.DEFINE_list("models", ["linear", "resnet18", "mobilenet_v3", "bert_base"], "What to annotate.")
_STOCK = flags.DEFINE_list("stock", ["linear"], "What the wheel's quantizer annotates too; it traces 405 patterns for each.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Annotations of each by this workspace's quantizer; the median counts.")

# The argument that makes this file annotate one model with whatever quantizer is on the path, and print what it took.
_CHILD = "--annotate-one"


def program(name: str) -> torch.fx.GraphModule:
    if name == "linear":
        return torch.export.export(torch.nn.Linear(5, 10), (torch.randn(1, 5),), strict=True).module()
    import model_zoo

    module, inputs = model_zoo.MODELS[name].build()
    return torch.export.export(module, inputs, strict=False).module()


def annotate(name: str, rounds: int) -> dict[str, float]:
    """Medians in seconds."""
    from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
    from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer

    wall, cpu = [], []
    for _ in range(rounds):
        graph_module = program(name)
        quantizer = CoreMLQuantizer(LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig()))
        began, began_cpu = time.perf_counter(), time.process_time()
        quantizer.annotate(graph_module)
        cpu.append(time.process_time() - began_cpu)
        wall.append(time.perf_counter() - began)
    return {"wall": statistics.median(wall), "cpu": statistics.median(cpu)}


def in_a_process(name: str, *, stock: bool, rounds: int) -> dict[str, float]:
    def is_ours(folder: str) -> bool:
        return (Path(folder) / "executorch_coreml").exists()

    path = [folder for folder in sys.path if folder and not (stock and is_ours(folder))]
    found = subprocess.run(
        [sys.executable, os.path.abspath(__file__), _CHILD, name, str(rounds)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(found.stdout.splitlines()[-1])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    print(f"{'':14}{'ours':>22}{'wheel':>24}{'wheel / ours':>14}")
    print(f"{'model':14}{'s':>10}{'CPU s':>12}{'s':>12}{'CPU s':>12}{'CPU':>14}")
    for name in _MODELS.value:
        ours = in_a_process(name, stock=False, rounds=_ROUNDS.value)
        line = f"{name:14}{ours['wall']:>10.3f}{ours['cpu']:>12.4f}"
        if name in _STOCK.value:
            stock = in_a_process(name, stock=True, rounds=1)
            ratio = stock["cpu"] / ours["cpu"]
            line += f"{stock['wall']:>12.1f}{stock['cpu']:>12.1f}{ratio:>14.0f}"
        print(line, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        warnings.simplefilter("ignore")
        print("\n" + json.dumps(annotate(sys.argv[2], int(sys.argv[3]))))
    else:
        app.run(main)
