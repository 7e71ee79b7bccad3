"""What share of this machine's peak each model reaches: products per second, and bytes of weights per second.

    tools/bazel run -c opt //benchmarks:roofline
    tools/bazel run -c opt //benchmarks:roofline -- --models=all --threads=1,2 --isa=avx2

The peaks are measured in the same run: a product of large float32 matrices by OpenVINO, whose kernels this project's are beside, and the sum of an
array that no cache holds. A model reads each weight at least once in an execution where the caches do not keep them all, so the bandwidth's share is
of the bytes of its weights, in the package's precision, alone. Products are counted by torch (two operations for a product and a sum): those of
matrices, convolutions, attention and recurrent layers. The share of a 3x3 convolution by Winograd's filtering may be above the products that
are really made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import architectures
import model_latency
import model_zoo
import numpy as np
import rich.console
import rich.table
import torch
from absl import app, flags
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

FLAGS = flags.FLAGS


def operations(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> int:
    """Of one execution: two for each product and sum."""
    recurrent = 0
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        before: dict[nn.Module, int] = {}

        def enter(layer: nn.Module, _: Any) -> None:
            before[layer] = counter.get_total_flops()

        def leave(layer: nn.RNNBase, arguments: tuple[torch.Tensor, ...], _: Any) -> None:
            # Some are one operation to torch, and count as nothing.
            nonlocal recurrent
            x = arguments[0]
            steps = x.shape[:-1].numel()
            weights = sum(weight.numel() for name, weight in layer.named_parameters() if name.startswith("weight"))
            recurrent += 2 * steps * weights - (counter.get_total_flops() - before[layer])

        handles = []
        for layer in module.modules():
            if isinstance(layer, nn.RNNBase):
                handles += [layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)]
        module(*inputs)
        for handle in handles:
            handle.remove()
    return counter.get_total_flops() + recurrent


def fastest(call: Callable[[], Any], rounds: int) -> float:
    """The seconds of the fastest of `rounds` calls: what other work on the machine disturbed least."""
    clock = model_latency.clock()
    seconds = []
    for _ in range(rounds):
        began = clock()
        call()
        seconds.append(clock() - began)
    return min(seconds)


def peak_operations(threads: int) -> float:
    """Per second."""
    import openvino as ov
    from openvino import opset13 as op

    size = 1536
    x = op.parameter([size, size], np.float32)
    weights = np.random.default_rng(0).random((size, size), np.float32)
    model = ov.Model([op.matmul(x, op.constant(weights), False, True)], [x])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
    return 2 * size**3 / fastest(lambda: request.infer([weights], share_inputs=True, share_outputs=True), 20)


def peak_bandwidth() -> float:
    """Bytes per second that are read, with as many threads as torch has."""
    array = torch.ones(1 << 28)  # 1 GiB, more than the caches of a server's processor.
    return array.numel() * array.element_size() / fastest(array.sum, 7)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    model_latency.limit_kernels()
    models = {**model_zoo.MODELS, **architectures.ARCHITECTURES}
    names = model_latency.chosen_models(models)
    for threads in map(int, FLAGS.threads):
        model_latency.set_threads(threads)
        peaks = [(peak_operations(threads), peak_bandwidth())]
        rows: list[tuple[str, float, int, int]] = []
        for name in names:
            module, inputs = models[name].build()
            count = operations(module, inputs)
            size = sum(p.numel() for p in module.parameters()) * 2  # float16.
            del module
            with torch.no_grad():
                runner = model_latency.ours(models[name], "float16")(threads)
                for _ in range(3):
                    runner()
                rows.append((name, fastest(runner, FLAGS.rounds), count, size))
            # Again and again: on a shared machine the best of all is nearest to what the machine can do.
            peaks.append((peak_operations(threads), peak_bandwidth()))
        compute, bandwidth = (max(values) for values in zip(*peaks, strict=True))
        show(
            f"{threads} thread{'s' * (threads > 1)}, {FLAGS.isa} instructions: {compute / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s; "
            f"fastest of {FLAGS.rounds} calls, {FLAGS.clock} time",
            rows,
            compute,
            bandwidth,
        )


def show(title: str, rows: list[tuple[str, float, int, int]], compute: float, bandwidth: float) -> None:
    """rows: name, seconds, operations, bytes of weights."""
    table = rich.table.Table(title=title)
    for column in ("model", "ours, ms", "MFLOP", "of peak FLOP/s", "weights, MB", "of bandwidth"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, seconds, count, size in rows:
        table.add_row(
            name,
            f"{seconds * 1e3:.2f}",
            f"{count / 1e6:.0f}",
            f"{count / seconds / compute:.0%}",
            f"{size / 1e6:.1f}",
            f"{size / seconds / bandwidth:.0%}",
        )
    rich.console.Console(width=120).print(table)


if __name__ == "__main__":
    app.run(main)
