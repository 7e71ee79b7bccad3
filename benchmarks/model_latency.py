"""Latency of delegated models against torch eager, ExecuTorch XNNPACK, ONNX Runtime and OpenVINO's own conversion.

    tools/bazel run -c opt //benchmarks:model_latency
    tools/bazel run -c opt //benchmarks:model_latency -- --models=resnet18,minilm --rounds=40 --precision=float32
    tools/bazel run -c opt //benchmarks:model_latency -- --models=all --threads=1      # and the architectures of architectures.py
    tools/bazel run -c opt //benchmarks:model_latency -- --models=all --weights=int4   # against OpenVINO's compression of the same weights

All peers run in this process, interleaved, on --threads threads, in float32 arithmetic; ours and XNNPACK through ExecuTorch's Python
runtime, without its copy of the outputs. Figures are peer time / ours: above 1 the delegate is faster.
"""

from __future__ import annotations

import gc
import io
import time
import warnings
from collections.abc import Callable
from typing import Any

import architectures
import compressed_weights
import model_zoo
import ratios
import rich.console
import rich.table
import torch
from absl import app, flags

_MODELS = flags.DEFINE_list(
    "models", [], "Names of tests/models and architectures.py, or all; default: those of tests/models but the one-op ones."
)
_ROUNDS = flags.DEFINE_integer("rounds", 20, "Interleaved rounds per model.", lower_bound=5)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of each peer.", lower_bound=1)
_CLOCK = flags.DEFINE_enum(
    "clock",
    "wall",
    ["wall", "cpu"],
    "cpu: the process's own time, which other work on the machine hardly changes; for --threads=1.",
)
_PRECISION = flags.DEFINE_enum("precision", "float16", ["float16", "float32"], "Precision of the Core ML program.")
_WEIGHTS = flags.DEFINE_enum(
    "weights",
    "dense",
    ["dense", "int8", "int4"],
    "Compressed ones run on the engine itself and against OpenVINO only (compressed_weights.py).",
)

# Peer -> the goal for its ratio on each model, where there is one.
PEERS: dict[str, float | None] = {"torch": None, "xnnpack": 1.0, "onnxruntime": None, "openvino": 0.95}
XNNPACK_GEOMETRIC_MEAN_GOAL = 1.7

Runner = Callable[[], Any]


def _executorch(entry: model_zoo.Entry, partitioner: Any) -> Runner:
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    module, inputs = entry.build()
    exported = torch.export.export(module, inputs)
    program = to_edge_transform_and_lower(exported, partitioner=[partitioner]).to_executorch()
    loaded = Runtime.get().load_program(bytes(program.buffer))
    method = loaded.load_method("forward")
    # Method.execute() copies the outputs with torch, whose threads then spin on a core that the next call needs: 3 ms of a decoder's 9.
    # Other peers hand out views too.
    return lambda: (method._method.call(inputs, clone_outputs=False), loaded)


def ours(entry: model_zoo.Entry) -> Runner:
    import coremltools as ct
    import executorch.backends.apple.coreml.runtime  # noqa: F401
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    precision = ct.precision.FLOAT16 if _PRECISION.value == "float16" else ct.precision.FLOAT32
    target = getattr(ct.target, entry.deployment_target) if entry.deployment_target else None
    options = {"minimum_deployment_target": target} if target else {}
    specs = CoreMLBackend.generate_compile_specs(compute_precision=precision, **options)
    partitioner = CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=entry.stateful)
    return _executorch(entry, partitioner)


def xnnpack(entry: model_zoo.Entry) -> Runner:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return _executorch(entry, XnnpackPartitioner())


def onnxruntime(entry: model_zoo.Entry) -> Runner:
    import onnxruntime as ort

    module, inputs = entry.build()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, buffer, dynamo=False)
    options = ort.SessionOptions()
    options.intra_op_num_threads = _THREADS.value
    session = ort.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {spec.name: x.numpy() for spec, x in zip(session.get_inputs(), inputs, strict=True)}
    return lambda: session.run(None, feed)


def openvino(entry: model_zoo.Entry) -> Runner:
    import openvino as ov

    module, inputs = entry.build()
    model = ov.convert_model(module, example_input=inputs, input=[list(x.shape) for x in inputs])
    if _WEIGHTS.value != "dense":
        compressed_weights.compress_openvino(model, _bits())
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": _THREADS.value,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    if _WEIGHTS.value != "dense":
        # The same arithmetic on both sides: by default OpenVINO rounds activations to int8 beside compressed weights.
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
    compiled = ov.Core().compile_model(model, "CPU", options)
    request = compiled.create_infer_request()
    arrays = [x.numpy() for x in inputs]
    return lambda: request.infer(arrays, share_inputs=True, share_outputs=True)


def _bits() -> int:
    return {"int8": 8, "int4": 4}[_WEIGHTS.value]


def ours_compressed(entry: model_zoo.Entry) -> Runner:
    return compressed_weights.ours(entry, _bits(), _THREADS.value)


def torch_eager(entry: model_zoo.Entry) -> Runner:
    module, inputs = entry.build()
    return lambda: module(*inputs)


def measure(entry: model_zoo.Entry) -> dict[str, ratios.Ratio | None]:
    """The ratio to each peer; None for a peer that cannot run the model (its reason is printed)."""
    makers = {
        "ours": ours,
        "torch": torch_eager,
        "xnnpack": xnnpack,
        "onnxruntime": onnxruntime,
        "openvino": openvino,
    }
    if _WEIGHTS.value != "dense":
        makers = {"ours": ours_compressed, "openvino": openvino}
    runners: dict[str, Runner] = {}
    with torch.no_grad():
        for peer, make in makers.items():
            try:
                runner = make(entry)
                runner()
                runners[peer] = runner
            except Exception as error:  # A peer's exporter may refuse a model; ours may not.
                if peer == "ours" and _WEIGHTS.value == "dense":
                    raise
                print(f"{entry.name}: {peer} does not take it: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
        if "ours" not in runners:
            return dict.fromkeys(PEERS)
        clock = time.process_time if _CLOCK.value == "cpu" else time.perf_counter
        seconds = ratios.interleave(runners, rounds=_ROUNDS.value, clock=clock)
    gc.collect()
    return {peer: ratios.ratio(seconds[peer], seconds["ours"]) if peer in seconds else None for peer in PEERS}


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    if _CLOCK.value == "cpu" and _THREADS.value != 1:
        raise app.UsageError("--clock=cpu needs --threads=1: it adds up the time of all threads, idle ones that spin included")
    torch.set_num_threads(_THREADS.value)
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(_THREADS.value)
    from executorch.backends.apple.coreml import runtime

    runtime.set_options(threads=_THREADS.value, numeric_mode="float32")

    models = {**model_zoo.MODELS, **architectures.ARCHITECTURES}
    names = _MODELS.value or [name for name in model_zoo.MODELS if name not in ("sin", "conv_relu")]
    if names == ["all"]:
        names = [name for name in models if name not in ("sin", "conv_relu")]
    if _WEIGHTS.value != "dense":
        # A decoder's states come with the delegate, which these figures are without.
        names = [name for name in names if not models[name].stateful]
    table = rich.table.Table(
        title=f"peer time / ours, {_THREADS.value} threads, {_PRECISION.value} package, {_CLOCK.value} time, "
        f"{_WEIGHTS.value + ' weights, ' if _WEIGHTS.value != 'dense' else ''}numeric mode float32, {_ROUNDS.value} rounds"
    )
    table.add_column("model")
    for peer in PEERS:
        table.add_column(peer, justify="right")
    found: dict[str, list[float]] = {peer: [] for peer in PEERS}
    missed = []
    for name in names:
        row = measure(models[name])
        table.add_row(name, *(str(r) if r else "-" for r in row.values()))
        print(name, "  ".join(f"{peer} {r}" for peer, r in row.items()), flush=True)
        for peer, r in row.items():
            if r:
                found[peer].append(r.value)
                goal = PEERS[peer]
                if goal is not None and r.misses(goal):
                    missed.append(f"{name} against {peer}: {r}, goal {goal}")
    table.add_row("geometric mean", *(f"{ratios.geometric_mean(v):.2f}" if v else "-" for v in found.values()))
    rich.console.Console(width=120).print(table)
    print(f"goal: geometric mean against xnnpack at least {XNNPACK_GEOMETRIC_MEAN_GOAL}")
    for line in missed:
        print("missed:", line)


if __name__ == "__main__":
    app.run(main)
