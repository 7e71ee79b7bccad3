"""Loading a model from the store of compiled models against compiling it, each time in a new process.

    tools/bazel run -c opt //benchmarks/kvstore:warm_load
    tools/bazel run -c opt //benchmarks/kvstore:warm_load -- --models=minilm --rounds=5
    tools/bazel run -c opt //benchmarks/kvstore:warm_load -- --programs=model.pte

Times are of load_method alone, without Python's imports. `none` loads without a cache, `cold` compiles into an empty one, `first use` is
the next process's load, which compares every checksum, `warm` one that compares none (cache_verification="none"). The ratio is
none / warm, the medians, with a 95 % bootstrap interval over the rounds.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

# Loads argv[1] with the cache in argv[2] ("" for none), verification argv[3], and prints the seconds.
LOAD = """
import sys, time
from executorch.backends.apple.coreml import runtime
from executorch.runtime import Runtime
runtime.set_options(cache_dir=sys.argv[2], cache_verification=sys.argv[3])
program = Runtime.get().load_program(sys.argv[1])
name = sorted(program.method_names)[0]
began = time.perf_counter()
method = program.load_method(name)
print(time.perf_counter() - began)
"""


def lower(name: str, path: pathlib.Path) -> None:
    """Writes the .pte of a model of tests/models."""
    import coremltools as ct
    import model_zoo
    import torch
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    module, inputs = model_zoo.MODELS[name].build()
    specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision.FLOAT16)
    partitioner = CoreMLPartitioner(compile_specs=specs)
    exported = torch.export.export(module, inputs)
    program = to_edge_transform_and_lower(exported, partitioner=[partitioner]).to_executorch()
    path.write_bytes(program.buffer)


def load(program: pathlib.Path, cache: str, verification: str = "first_use") -> float:
    """Seconds that loading took in a new process."""
    command = [sys.executable, "-c", LOAD, str(program), cache, verification]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def measure(name: str, program: pathlib.Path, rounds: int) -> None:
    times: dict[str, list[float]] = {"none": [], "cold": [], "first use": [], "warm": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            times["none"].append(load(program, ""))
            times["cold"].append(load(program, cache))
            times["first use"].append(load(program, cache))
            times["warm"].append(load(program, cache, "none"))
    generator = np.random.default_rng(0)
    none, warm = np.array(times["none"]), np.array(times["warm"])
    picks = generator.integers(0, rounds, (2000, rounds))
    low, high = np.quantile(np.median(none[picks], axis=1) / np.median(warm[picks], axis=1), [0.025, 0.975])
    medians = "  ".join(f"{key} {statistics.median(values) * 1000:.0f} ms" for key, values in times.items())
    print(f"{name:12} {medians}  none / warm {np.median(none) / np.median(warm):.2f} [{low:.2f}, {high:.2f}]", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="minilm,bert_base", help="names of tests/models")
    parser.add_argument("--programs", default="", help=".pte files to take instead")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.programs:
        for program in arguments.programs.split(","):
            measure(pathlib.Path(program).stem, pathlib.Path(program).resolve(), arguments.rounds)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models.split(","):
            program = pathlib.Path(folder) / f"{name}.pte"
            lower(name, program)
            measure(name, program, arguments.rounds)


if __name__ == "__main__":
    main()
