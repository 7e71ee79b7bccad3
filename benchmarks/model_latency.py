"""Latency of delegated models against torch eager, ExecuTorch XNNPACK, ONNX Runtime and OpenVINO's own conversion.

    tools/bazel run -c opt //benchmarks:model_latency
    tools/bazel run -c opt //benchmarks:model_latency -- --models=resnet18,minilm --rounds=40 --precision=float32
    # The architectures of architectures.py too; a table for each number of threads and precision:
    tools/bazel run -c opt //benchmarks:model_latency -- --models=all --threads=1,2 --precision=float16 --precision=float32
    # As on a processor that has no more than AVX2:
    tools/bazel run -c opt //benchmarks:model_latency -- --isa=avx2
    # Against OpenVINO's compression of the same weights:
    tools/bazel run -c opt //benchmarks:model_latency -- --models=all --weights=int4

ExecuTorch's own OpenVINO backend joins the peers with --nncf=FOLDER.

All peers run in this process, interleaved, with the same number of threads, in float32 arithmetic; ours and XNNPACK through ExecuTorch's
Python runtime, without its copy of the outputs. Figures are peer time / ours: above 1 the delegate is faster.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import io
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import architectures
import compressed_weights
import model_zoo
import numpy as np
import ratios
import rich.console
import rich.table
import torch
from absl import app, flags

_MODELS = flags.DEFINE_list(
    "models", [], "Names of tests/models and architectures.py, or all; default: those of tests/models but the one-op ones."
)
_ROUNDS = flags.DEFINE_integer("rounds", 20, "Interleaved rounds per model.", lower_bound=5)
_THREADS = flags.DEFINE_list("threads", ["2"], "Numbers of threads, the same for each peer.")
flags.register_validator(
    "threads",
    lambda counts: all(count.isdecimal() and int(count) >= 1 for count in counts),
    message="--threads takes numbers from 1 on, such as 1,2",
)
_CLOCK = flags.DEFINE_enum(
    "clock",
    "wall",
    ["wall", "cpu"],
    "cpu: the process's own time, which other work on the machine hardly changes; for --threads=1.",
)
_PRECISION = flags.DEFINE_multi_enum(
    "precision", ["float16"], ["float16", "float32"], "Precisions of the Core ML program; may be repeated."
)
_WEIGHTS = flags.DEFINE_enum(
    "weights",
    "dense",
    ["dense", "int8", "int4"],
    "Compressed ones run against OpenVINO only (compressed_weights.py).",
)
_ONLY = flags.DEFINE_list("peers", [], "Names of peers; default: all. XNNPACK takes minutes to lower a recurrent layer.")
_NNCF = flags.DEFINE_string(
    "nncf",
    None,
    "A folder with nncf, which ExecuTorch's OpenVINO backend imports: pip install --no-deps --target FOLDER nncf ninja psutil pydot. "
    "With it that backend is a peer.",
)
_ISA = flags.DEFINE_enum(
    "isa",
    "best",
    ["best", "avx2"],
    "What the kernels may use of the processor: all, or AVX2. XNNPACK and ONNX Runtime ask the processor itself and use all of it either way.",
)
# By --isa. oneDNN's variable limits OpenVINO and this project (base/cpu_features.h); the others PyTorch and its MKL.
_LIMITS: Mapping[str, Mapping[str, str]] = {
    "best": {},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}

# Peer -> the goal for its ratio on each model, where there is one.
PEERS: dict[str, float | None] = {"torch": None, "xnnpack": 1.0, "onnxruntime": None, "openvino": 0.95, "executorch_openvino": None}
XNNPACK_GEOMETRIC_MEAN_GOAL = 1.7

Runner = Callable[[], Any]
# Converted once, then loaded for a number of threads.
Loader = Callable[[int], Runner]


def _executorch(entry: model_zoo.Entry, partitioner: Any) -> Loader:
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    module, inputs = entry.build()
    exported = torch.export.export(module, inputs)
    program = bytes(to_edge_transform_and_lower(exported, partitioner=[partitioner]).to_executorch().buffer)

    def load(threads: int) -> Runner:
        del threads  # set_threads() has told both runtimes.
        loaded = Runtime.get().load_program(program)
        method = loaded.load_method("forward")
        # Method.execute() copies the outputs with torch, whose threads then spin on a core that the next call needs: 3 ms of a
        # decoder's 9. Other peers hand out views too.
        return lambda: (method._method.call(inputs, clone_outputs=False), loaded)

    return load


def ours(entry: model_zoo.Entry, precision: str) -> Loader:
    import coremltools as ct
    import executorch.backends.apple.coreml.runtime  # noqa: F401
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    compression, needed = compressed_weights.compile_options(_bits()) if _bits() else ({}, None)
    target = entry.deployment_target or needed
    options = {"minimum_deployment_target": getattr(ct.target, target)} if target else {}
    specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision(precision), **options, **compression)
    partitioner = CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=entry.stateful)
    return _executorch(entry, partitioner)


def xnnpack(entry: model_zoo.Entry) -> Loader:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return _executorch(entry, XnnpackPartitioner())


def executorch_openvino(entry: model_zoo.Entry) -> Loader:
    """ExecuTorch's own OpenVINO backend, on this workspace's OpenVINO, which is newer than the one that its extra asks for.

    Nothing in its compile specs sets a precision or a number of threads: it takes as many threads as there are processors to run on when it loads, and
    bfloat16 where the processor computes in it (not with --isa=avx2).
    """
    import openvino as ov
    from executorch.backends.openvino.partitioner import OpenvinoPartitioner
    from executorch.exir.backend.compile_spec_schema import CompileSpec

    (library,) = (pathlib.Path(ov.__file__).parent / "libs").glob("libopenvino_c.so*")
    os.environ["OPENVINO_LIB_PATH"] = str(library)
    with contextlib.redirect_stdout(io.StringIO()):  # It prints each operation that it leaves.
        load = _executorch(entry, OpenvinoPartitioner([CompileSpec("device", b"CPU")]))

    def load_with(threads: int) -> Runner:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, set(sorted(allowed)[:threads]))
        try:
            return load(threads)
        finally:
            os.sched_setaffinity(0, allowed)

    return load_with


def onnxruntime(entry: model_zoo.Entry) -> Loader:
    import onnxruntime as ort

    module, inputs = entry.build()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, buffer, dynamo=False)

    def load(threads: int) -> Runner:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
        feed = {spec.name: x.numpy() for spec, x in zip(session.get_inputs(), inputs, strict=True)}
        return lambda: session.run(None, feed)

    return load


def openvino(entry: model_zoo.Entry) -> Loader:
    import openvino as ov

    module, inputs = entry.build()
    model = ov.convert_model(module, example_input=inputs, input=[list(x.shape) for x in inputs])
    if _bits():
        compressed_weights.compress_openvino(model, _bits())
    arrays = [x.numpy() for x in inputs]

    def load(threads: int) -> Runner:
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        if _bits():
            # The same arithmetic on both sides: by default OpenVINO rounds activations to int8 beside compressed weights.
            options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
        compiled = ov.Core().compile_model(model, "CPU", options)
        request = compiled.create_infer_request()
        return lambda: request.infer(arrays, share_inputs=True, share_outputs=True)

    return load


def _bits() -> int:
    """Of a compressed weight; 0 for dense ones."""
    return {"dense": 0, "int8": 8, "int4": 4}[_WEIGHTS.value]


def torch_eager(entry: model_zoo.Entry) -> Loader:
    module, inputs = entry.build()
    return lambda threads: lambda: module(*inputs)


def set_threads(threads: int) -> None:
    """For all that is loaded from now on."""
    from executorch.backends.apple.coreml import runtime
    from executorch.extension.pybindings import portable_lib

    torch.set_num_threads(threads)
    portable_lib._unsafe_reset_threadpool(threads)
    runtime.set_options(threads=threads, numeric_mode="float32")


def taken(model: str, makers: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """What the makers give, by their names. A peer that does not take the model is left out, and its reason printed; ours may not."""
    made = {}
    for name, make in makers.items():
        try:
            made[name] = make()
        except Exception as error:
            if name in _PRECISION.value:
                raise
            print(f"{model}: {name} does not take it: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
    return made


def loaders(entry: model_zoo.Entry) -> dict[str, Loader]:
    """By the name of what runs: the precisions of our program, then the peers."""
    makers: dict[str, Callable[[], Loader]] = {p: functools.partial(ours, entry, p) for p in _PRECISION.value}
    peers: dict[str, Callable[[model_zoo.Entry], Loader]] = {"openvino": openvino}
    if not _bits():
        peers |= {"torch": torch_eager, "xnnpack": xnnpack, "onnxruntime": onnxruntime}
        if _NNCF.value:
            peers["executorch_openvino"] = executorch_openvino
    if _ONLY.value:
        peers = {name: make for name, make in peers.items() if name in _ONLY.value}
    return taken(entry.name, makers | {peer: functools.partial(make, entry) for peer, make in peers.items()})


def clock() -> Callable[[], float]:
    """That of --clock."""
    return time.process_time if _CLOCK.value == "cpu" else time.perf_counter


def chosen_models(models: Mapping[str, model_zoo.Entry]) -> list[str]:
    """The names of --models."""
    names = _MODELS.value or [name for name in model_zoo.MODELS if name not in ("sin", "conv_relu")]
    return [name for name in models if name not in ("sin", "conv_relu")] if names == ["all"] else list(names)


def _executed_once(load: Loader, threads: int) -> Runner:
    runner = load(threads)
    runner()
    return runner


@dataclasses.dataclass
class Figures:
    """What was measured with one number of threads and one precision."""

    title: str
    rows: dict[str, tuple[float, dict[str, ratios.Ratio]]] = dataclasses.field(default_factory=dict)

    def add(self, model: str, seconds: Mapping[str, np.ndarray], ours: str) -> None:
        row = {peer: ratios.ratio(seconds[peer], seconds[ours]) for peer in PEERS if peer in seconds}
        self.rows[model] = float(np.median(seconds[ours])), row
        print(f"{self.title}: {model}", "  ".join(f"{peer} {r}" for peer, r in row.items()), flush=True)

    def missed(self) -> list[str]:
        return [
            f"{model} against {peer}: {r}, goal {PEERS[peer]}"
            for model, (_, row) in self.rows.items()
            for peer, r in row.items()
            if PEERS[peer] is not None and r.misses(PEERS[peer])
        ]

    def show(self) -> None:
        table = rich.table.Table(title=f"peer time / ours, {self.title}")
        table.add_column("model")
        table.add_column("ours, ms", justify="right")
        for peer in PEERS:
            table.add_column(peer, justify="right")
        for model, (seconds, row) in self.rows.items():
            table.add_row(model, f"{seconds * 1e3:.2f}", *(str(row.get(peer, "-")) for peer in PEERS))
        means = [[row[peer].value for _, row in self.rows.values() if peer in row] for peer in PEERS]
        table.add_row("geometric mean", "", *(f"{ratios.geometric_mean(values):.2f}" if values else "-" for values in means))
        rich.console.Console(width=140).print(table)
        for line in self.missed():
            print("missed:", line)


def limit_kernels() -> None:
    """Begins anew with the variables of --isa, which the libraries read when they are loaded."""
    limits = _LIMITS[_ISA.value]
    if any(os.environ.get(name) != value for name, value in limits.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **limits})


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    limit_kernels()
    if _NNCF.value:
        sys.path.append(_NNCF.value)
    counts = [int(count) for count in _THREADS.value]
    if _CLOCK.value == "cpu" and counts != [1]:
        raise app.UsageError("--clock=cpu needs --threads=1: it adds up the time of all threads, idle ones that spin included")
    models = {**model_zoo.MODELS, **architectures.ARCHITECTURES}
    names = chosen_models(models)
    figures = {
        (count, precision): Figures(
            f"{count} thread{'s' * (count > 1)}, {precision} package, {_WEIGHTS.value} weights, {_CLOCK.value} time, "
            f"{_ISA.value} instructions, numeric mode float32, {_ROUNDS.value} rounds"
        )
        for count in counts
        for precision in _PRECISION.value
    }
    with torch.no_grad():
        for name in names:
            made = loaders(models[name])
            for count in counts:
                set_threads(count)
                runners = taken(name, {peer: functools.partial(_executed_once, load, count) for peer, load in made.items()})
                seconds = ratios.interleave(runners, rounds=_ROUNDS.value, clock=clock())
                for precision in _PRECISION.value:
                    figures[count, precision].add(name, seconds, precision)
                del runners
                gc.collect()
    for of_one in figures.values():
        of_one.show()
    if _ISA.value != "best":
        print("xnnpack and onnxruntime ask the processor itself: their columns are with all that it has")
    if not _bits():
        print(f"goal: geometric mean against xnnpack at least {XNNPACK_GEOMETRIC_MEAN_GOAL}")


if __name__ == "__main__":
    app.run(main)
