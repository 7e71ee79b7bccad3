"""SmolLM2-135M as a .pte: memory of loading and running it, and its speed beside PyTorch's, ExecuTorch XNNPACK's and llama.cpp's.

    tools/bazel run -c opt //benchmarks/llm -- --keep=FOLDER                          # .pte files stay in FOLDER, and are used again
    tools/bazel run -c opt //benchmarks/llm -- --quantizations=fp16,8w,b4w --threads=1,2 --rounds=5

    tools/bazel run -c opt //benchmarks/llm -- --peers=torch,xnnpack,llama_cpp --llama-cpp-python=FOLDER/bin/python  # llama_cpp_peer.py makes FOLDER

The program is that of //examples:chat, caches with the caller: a prompt goes through `prefill` in parts, a new token through `decode`.

Memory is of a new process for each figure, in MB above the process before the program is opened, everything resident counted, pages of files
included; a thread looks every 2 ms for the peak of loading. `first` loads without a store, `second` from a store that a process before has
filled. PyTorch is in each of these processes and counts for nothing, but its model is in none of them.

Speed is a ratio, the peer's time / ours (above 1: ours is faster), of rounds that take turns, with a 95 % bootstrap interval. PyTorch computes the
same step in float32, with the weights that the program has. XNNPACK computes float32 weights beside float16 ones, and rounds activations to 8
bits where weights have 8 or 4. llama.cpp has F16, Q8_0 and Q4_0, and rounds activations to 8 bits for the last two. Both take the prompt of 128
tokens in one call, ours in parts of 32. The numeric mode is float32 (docs/engine.md).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import llama_cpp_peer
import numpy as np
import ratios
import rich.console
import torch
import xnnpack_peer

from examples import checkpoint, decoder, pipeline

_CONTEXT = 512
_PROMPT = 128


def resident_mb() -> float:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Peak:
    """The largest resident memory of the process while the block runs."""

    def __enter__(self) -> Peak:
        self.mb = resident_mb()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()
        self.mb = max(self.mb, resident_mb())

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.mb = max(self.mb, resident_mb())


def shape_of(layers: int) -> decoder.Shape:
    """Of the caches of SmolLM2-135M with so many layers."""
    return decoder.Shape("static", _CONTEXT, layers, 3, 64, 49152)


class Ours:
    """The loaded program and its caches."""

    def __init__(self, path: Path, layers: int) -> None:
        from executorch.runtime import Runtime

        began = time.perf_counter()
        self._program = Runtime.get().load_program(path)
        self._methods = {decoder.PREFILL_TOKENS: self._program.load_method("prefill"), 1: self._program.load_method("decode")}
        self.seconds = time.perf_counter() - began
        rotations = torch.ones(_CONTEXT, 32, dtype=torch.float16)
        self._caches = decoder.StaticCaches(shape_of(layers), rotations, rotations)

    def step(self, size: int, position: int) -> torch.Tensor:
        """The logits behind `size` tokens, which are written behind `position`."""
        outputs = self._methods[size].execute(self._caches.inputs([7] * size, size, position))
        self._caches.update(outputs[1:], size, position)
        logits: torch.Tensor = outputs[0]
        return logits


class Eager:
    """The same step in PyTorch, float32."""

    def __init__(self, model: checkpoint.Checkpoint, quantization: str) -> None:
        attention = {"attention_type": "static_mha", "attention_kwargs": {"decompose_sdpa_in_mha": True}}
        module = decoder.transformer(model, max_context_len=_CONTEXT, max_seq_len=_CONTEXT, **attention)
        # Rounded as for the program, whose module has float16 weights.
        for part in decoder.quantize(module.half(), quantization).modules():
            weight = getattr(part, "weight", None)
            if hasattr(weight, "dequantize"):
                part.weight = torch.nn.Parameter(weight.dequantize(), requires_grad=False)
        self._module = decoder.StaticStep(module.float(), _CONTEXT - 1)
        rotations = torch.ones(_CONTEXT, 32)
        self._caches = decoder.StaticCaches(shape_of(model.parameters["n_layers"]), rotations, rotations)

    def step(self, size: int, position: int) -> torch.Tensor:
        inputs = self._caches.inputs([7] * size, size, position)
        outputs = self._module(*(value.float() if value.is_floating_point() else value for value in inputs))
        self._caches.update(outputs[1:], size, position)
        logits: torch.Tensor = outputs[0]
        return logits


def child(path: Path, layers: int, store: str) -> None:
    """Loads the program, runs a prompt and eight tokens, prints figures as JSON."""
    from executorch.backends.apple.coreml import runtime

    if store:
        runtime.set_options(cache_dir=store)
    gc.collect()
    before = resident_mb()
    with Peak() as loading:
        ours = Ours(path, layers)
    loaded = resident_mb()
    for position in range(0, _PROMPT, decoder.PREFILL_TOKENS):
        ours.step(decoder.PREFILL_TOKENS, position)
    for position in range(_PROMPT, _PROMPT + 8):
        ours.step(1, position)
    gc.collect()
    print(
        json.dumps(
            {
                "seconds": ours.seconds,
                "peak": loading.mb - before,
                "loaded": loaded - before,
                "rest": resident_mb() - before,
            }
        )
    )


def in_process(path: Path, layers: int, store: str) -> dict[str, float]:
    """What child() prints in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, __file__, "--child", str(path), "--layers", str(layers), "--store", store]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{path} did not load or run: {done.stderr.strip().splitlines()[-1:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def print_memory(console: rich.console.Console, path: Path, layers: int) -> None:
    weights = path.stat().st_size / 1e6
    with tempfile.TemporaryDirectory() as store:
        figures = {"first": in_process(path, layers, "")}
        in_process(path, layers, store)
        figures["second"] = in_process(path, layers, store)
    console.print(f"{path.name}: {weights:.0f} MB", highlight=False)
    for name, values in figures.items():
        parts = [f"{key} {values[key]:.0f} MB ({values[key] / weights:.2f})" for key in ("peak", "loaded", "rest")]
        console.print(f"  {name:7} {values['seconds']:6.2f} s   {'   '.join(parts)}", highlight=False)


# A peer's prompt of _PROMPT tokens, and so many tokens behind it.
Work = tuple[Callable[[], object], Callable[[int], object]]


def by_steps(step: Callable[[int, int], object], prompt_size: int) -> Work:
    """The work of a model that is called with a number of tokens and their position."""

    def prompt() -> None:
        for position in range(0, _PROMPT, prompt_size):
            step(prompt_size, position)

    def generate(tokens: int) -> None:
        for position in range(_PROMPT, _PROMPT + tokens):
            step(1, position)

    return prompt, generate


def print_speed(
    console: rich.console.Console, works: dict[str, Work], quantization: str, threads: int, rounds: int, tokens: int
) -> None:
    """One line for the prompt and one for the tokens behind it; the first of `works` is ours."""
    for name, count in (("prefill", _PROMPT), ("decode", tokens)):
        runners = {
            key: prompt if name == "prefill" else functools.partial(generate, tokens) for key, (prompt, generate) in works.items()
        }
        times = ratios.interleave(runners, rounds=rounds, warmup=1)
        parts = [f"{key}/ours {ratios.ratio(times[key], times['ours'])}" for key in works if key != "ours"]
        rates = [f"{key} {count / float(np.median(values)):.1f} tokens/s" for key, values in times.items()]
        console.print(f"  {quantization} {threads} thread(s) {name:8} {'   '.join(parts + rates)}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantizations", default="fp16,8w,b4w")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--peers", default="torch,xnnpack", help="of torch, xnnpack and llama_cpp")
    parser.add_argument("--llama-cpp-python", type=Path, help="the Python of an environment that has llama-cpp-python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of a round")
    parser.add_argument("--layers", type=int, default=30, help="fewer than SmolLM2's 30: its first ones")
    parser.add_argument("--keep", type=Path, help="a folder for the .pte files; those that are there are used")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure memory too")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--store", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pipeline.quiet()
    if arguments.child:
        child(arguments.child, arguments.layers, arguments.store)
        return
    from executorch.backends.apple.coreml import runtime
    from executorch.extension.pybindings import portable_lib

    peers = [peer for peer in arguments.peers.split(",") if peer]
    if unknown := set(peers) - {"torch", "xnnpack", "llama_cpp"}:
        parser.error(f"--peers has no {min(unknown)!r}: it takes torch, xnnpack and llama_cpp")
    if "llama_cpp" in peers and (arguments.llama_cpp_python is None or arguments.layers != 30):
        parser.error("llama_cpp needs --llama-cpp-python, and all layers: it reads the whole checkpoint")
    console = rich.console.Console(width=200)
    whole_path = checkpoint.smollm2_path()
    model = checkpoint.first_layers(checkpoint.read(whole_path), arguments.layers)
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        for quantization in arguments.quantizations.split(","):
            path = (arguments.keep or Path(temporary)) / f"static-{quantization}-{arguments.layers}.pte"
            if not path.exists():
                with pipeline.Stages(console).running() as stages:
                    pte = decoder.lower(model, form="static", quantization=quantization, context=_CONTEXT, stages=stages)
                path.write_bytes(pte)
                del pte
            if arguments.memory:
                print_memory(console, path, arguments.layers)
            files = peer_files(peers, model, whole_path, quantization, path.parent)
            for threads in map(int, arguments.threads.split(",")):
                torch.set_num_threads(threads)
                portable_lib._unsafe_reset_threadpool(threads)
                runtime.set_options(threads=threads)
                ours = Ours(path, arguments.layers)
                works = {"ours": by_steps(ours.step, decoder.PREFILL_TOKENS)}
                if "torch" in peers:
                    eager = Eager(model, quantization)
                    difference = float((ours.step(1, _PROMPT).float() - eager.step(1, _PROMPT)).abs().max())
                    console.print(
                        f"  {quantization} {threads} thread(s) logits differ from PyTorch's by at most {difference:.4f}",
                        highlight=False,
                    )
                    works["torch"] = by_steps(eager.step, decoder.PREFILL_TOKENS)
                if "xnnpack" in peers:
                    works["xnnpack"] = by_steps(xnnpack_peer.Xnnpack(files["xnnpack"]).step, _PROMPT)
                with contextlib.ExitStack() as closing:
                    if "llama_cpp" in peers:
                        llama = llama_cpp_peer.LlamaCpp(arguments.llama_cpp_python, files["llama_cpp"], threads, _CONTEXT)
                        closing.callback(llama.close)
                        works["llama_cpp"] = (functools.partial(llama.prompt, _PROMPT), functools.partial(llama.decode, _PROMPT))
                    print_speed(console, works, quantization, threads, arguments.rounds, arguments.tokens)
                del ours, works


def peer_files(peers: list[str], model: checkpoint.Checkpoint, source: Path, quantization: str, folder: Path) -> dict[str, Path]:
    """What the peers load, made in `folder` unless it is there."""
    layers = model.parameters["n_layers"]
    files = {}
    if "xnnpack" in peers:
        files["xnnpack"] = folder / f"xnnpack-{quantization}-{layers}.pte"
        if not files["xnnpack"].exists():
            xnnpack_peer.lower(model, quantization, _CONTEXT, files["xnnpack"])
    if "llama_cpp" in peers:
        files["llama_cpp"] = folder / f"llama_cpp-{quantization}.gguf"
        if not files["llama_cpp"].exists():
            llama_cpp_peer.write_gguf(source, files["llama_cpp"], llama_cpp_peer.TYPES[quantization])
    return files


if __name__ == "__main__":
    main()
