"""Loading a model for the first time and from its compiled folder, and the memory it then takes, against OpenVINO's own conversion.

    tools/bazel run -c opt //benchmarks/engine_load
    tools/bazel run -c opt //benchmarks/engine_load -- --models=resnet18,minilm --rounds=5
    tools/bazel run -c opt //benchmarks/engine_load -- --packages=FOLDER     # NAME.mlpackage and NAME.onnx for each of --models

Every figure is of a new process that has loaded OpenVINO and its plugin before. Times, medians of interleaved rounds:

    first       compile() into an empty folder and load() of it: what the first load costs where compiled models are kept
    uncached    load() of the package, keeping nothing
    cached      load() of the compiled folder

The ratios are first / cached and uncached / cached with 95 % bootstrap intervals. Memory, in MB above the process before the load, after
one prediction: anonymous + pages of files that are resident (clean; the system takes them when it needs memory).

    ours        after an uncached and after a cached load
    onnx        ov.convert_model of the same torch model by way of an ONNX file, compiled, the ov.Model released
    IR          the float16 IR that ov.save_model writes of it, read and compiled
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import warnings

import ratios

_MODELS = "mobilenet_v3,resnet18,unet,minilm,bert_base,llama_decode,lstm"

_COMMON = """
import ctypes, gc, json, os, sys, time
import numpy as np
def rss():
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [int(status[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile")]
def zeros(shape, dtype):
    return np.zeros([1 if not isinstance(n, int) or n < 0 else n for n in shape], dtype)
kind, path, folder = sys.argv[1:]
"""

_OURS = (
    _COMMON
    + """
from executorch.backends.apple.coreml.engine import _native as _engine
_engine.load(os.environ["WARM_PACKAGE"])
before = rss()
began = time.perf_counter()
if kind == "first":
    _engine.compile(path, folder)
model = _engine.load(path, threads=2) if kind == "uncached" else _engine.load_compiled(folder, threads=2)
seconds = time.perf_counter() - began
inputs = {s["name"]: zeros([n if isinstance(n, int) else n[0] for n in s["shape"]], s["dtype"]) for s in model.description["inputs"]}
model.predict(inputs, state=model.make_state() if model.description["states"] else None)
print(json.dumps([seconds, [b - a for a, b in zip(before, rss())]]))
"""
)

_OPENVINO = (
    _COMMON
    + """
import openvino as ov
from openvino import opset13 as op
core = ov.Core()
x = op.parameter([2], np.float32)
core.compile_model(ov.Model([op.sin(x)], [x]), "CPU")
before = rss()
began = time.perf_counter()
model = core.read_model(path) if kind == "ir" else ov.convert_model(path)
options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
compiled = core.compile_model(model, "CPU", options)
seconds = time.perf_counter() - began
del model
request = compiled.create_infer_request()
def extents(port):
    return [n.get_length() if n.is_static else 1 for n in port.partial_shape]
request.infer({port: zeros(extents(port), port.element_type.to_dtype()) for port in compiled.inputs})
print(json.dumps([seconds, [b - a for a, b in zip(before, rss())]]))
"""
)


def make(name: str, folder: pathlib.Path) -> None:
    """NAME.mlpackage (float16), NAME.onnx and NAME.xml of a model of tests/models, where they are not there."""
    import coremltools as ct
    import model_zoo
    import openvino as ov
    import torch

    entry = model_zoo.MODELS[name]
    module, inputs = entry.build()
    package = folder / f"{name}.mlpackage"
    if not package.exists():
        target = getattr(ct.target, entry.deployment_target or "iOS15")
        program = torch.export.export(module, inputs).run_decompositions({})
        ct.convert(program, minimum_deployment_target=target, compute_precision=ct.precision.FLOAT16, skip_model_load=True).save(
            str(package)
        )
    if not (folder / f"{name}.onnx").exists():
        with torch.no_grad():
            torch.onnx.export(module, inputs, str(folder / f"{name}.onnx"), dynamo=False)
    if not (folder / f"{name}.xml").exists():
        ov.save_model(ov.convert_model(folder / f"{name}.onnx"), folder / f"{name}.xml")


def warm_package(folder: pathlib.Path) -> pathlib.Path:
    """A package of one operation, whose load brings in what every load needs."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    @mb.program(input_specs=[mb.TensorSpec(shape=(2,))], opset_version=ct.target.iOS15)
    def program(x):
        return mb.sin(x=x)

    path = folder / "warm.mlpackage"
    ct.convert(program, convert_to="mlprogram", skip_model_load=True).save(str(path))
    return path


def child(script: str, *arguments: object) -> tuple[float, list[float]]:
    """(seconds, [anonymous MB, file MB]) of a new process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments}: {done.stderr.strip().splitlines()[-1]}")
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def measure(name: str, folder: pathlib.Path, rounds: int) -> None:
    import numpy as np

    times: dict[str, list[float]] = {"first": [], "uncached": [], "cached": [], "onnx": [], "ir": []}
    memory: dict[str, list[float]] = {}
    package = folder / f"{name}.mlpackage"
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as compiled:
            for kind in ("first", "uncached", "cached"):
                seconds, memory[kind] = child(_OURS, kind, package, compiled)
                times[kind].append(seconds)
            for kind, suffix in (("onnx", "onnx"), ("ir", "xml")):
                seconds, memory[kind] = child(_OPENVINO, kind, folder / f"{name}.{suffix}", "")
                times[kind].append(seconds)
    arrays = {kind: np.array(values) for kind, values in times.items()}
    print(
        f"{name:13}",
        "  ".join(f"{kind} {statistics.median(values) * 1000:.0f} ms" for kind, values in times.items()),
        f" first/cached {ratios.ratio(arrays['first'], arrays['cached'])}  uncached/cached {ratios.ratio(arrays['uncached'], arrays['cached'])}",
    )
    print(
        " " * 13,
        "MB at rest, anonymous + file:",
        "  ".join(f"{kind} {memory[kind][0]:.0f} + {memory[kind][1]:.0f}" for kind in ("uncached", "cached", "onnx", "ir")),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=_MODELS, help="names of tests/models")
    parser.add_argument("--packages", type=pathlib.Path, help="a folder that has or gets the models' files")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.packages or pathlib.Path(temporary)
        os.environ["WARM_PACKAGE"] = str(warm_package(pathlib.Path(temporary)))
        for name in arguments.models.split(","):
            if not all((folder / f"{name}.{suffix}").exists() for suffix in ("mlpackage", "onnx", "xml")):
                make(name, folder)
            measure(name, folder, arguments.rounds)


if __name__ == "__main__":
    main()
