"""Size, exactness and latency of quantized models on the portable engine: MiniLM with its real weights, and two classifiers of digits.

    tools/bazel run -c opt //benchmarks/quantizer:models
    tools/bazel run -c opt //benchmarks/quantizer:models -- --models=classifier --modes=float16,w8a8

Differences are l2-relative. "quantized" is the difference from the quantized PyTorch program, where there is one: compile specs quantize after
conversion. "noise" is how far that program moves in PyTorch when the results of its nodes are rounded to the precision it is lowered with: a
value that rounding carries across the border between two 8-bit steps moves by a whole step, which layer after layer makes more of. "low
precision" is the difference from the quantized program in that numeric mode, with its latency. Latencies are medians of one machine, to be
compared with the float16 program's of the same table.
"""

from __future__ import annotations

import dataclasses
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import coremltools as ct
import digits
import torch
from absl import app, flags
from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from executorch.backends.apple.coreml import runtime as coreml_runtime
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

Inputs = tuple[torch.Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Model:
    module: torch.nn.Module
    inputs: Inputs
    # Runs a program on test data and returns its accuracy in percent; None where there are no labels.
    accuracy: Callable[[Callable[..., torch.Tensor]], float] | None
    # Columns of a weight that share a scale in "w4 per block"; divides every weight worth quantizing.
    block: int
    # Weights of fewer values stay as they are: below the largest bias, coremltools compresses biases and the scales of norms too.
    threshold: int
    # Modules that stay float in w8a8 and w8, as regular expressions.
    float_modules: tuple[str, ...] = ()


def _digits(kind: type[torch.nn.Module]) -> Model:
    module, _, test = digits.trained(kind)
    return Model(module, (test.images[0],), lambda run: digits.accuracy(run, test), 16, 256)


def _minilm() -> Model:
    import model_zoo

    module, inputs = model_zoo.MODELS["minilm"].build()
    # The residual stream has values a hundred times the usual ones, beside which 8 bits hold nothing else.
    return Model(module, inputs, None, 32, 2048, (r".*\.layer\.\d+\.output",))


def _vision(name: str) -> Model:
    import model_zoo

    module, inputs = model_zoo.MODELS[name].build()
    return Model(module, inputs, None, 16, 2048)


MODELS: dict[str, Callable[[], Model]] = {
    "classifier": lambda: _digits(digits.Classifier),
    "residual": lambda: _digits(digits.Residual),
    "minilm": _minilm,
    # With random weights: for their latency.
    "resnet18": lambda: _vision("resnet18"),
    "mobilenet_v2": lambda: _vision("mobilenet_v2"),
}


class _Rounding(torch.fx.Interpreter):
    """Runs a quantized program with the floating-point result of every node rounded, to float16 or once more to float32 (a random half ulp)."""

    def __init__(self, module: torch.fx.GraphModule, precision: ct.precision, seed: int) -> None:
        super().__init__(module)
        self._precision = precision
        self._random = torch.Generator().manual_seed(seed)

    def run_node(self, node: torch.fx.Node) -> Any:
        result = super().run_node(node)
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            return result
        if self._precision == ct.precision.FLOAT16:
            return result.half().float()
        return result * (1 + 2**-24 * torch.randn(result.shape, generator=self._random))


def noise(module: torch.fx.GraphModule, inputs: Inputs, precision: ct.precision) -> float:
    """The largest difference that rounding makes in PyTorch: of one run in float16, of 8 in float32."""
    expected = _tensor(module(*inputs))
    runs = 1 if precision == ct.precision.FLOAT16 else 8
    return max(relative(_tensor(_Rounding(module, precision, seed).run(*inputs)), expected) for seed in range(runs))


def _pt2e(**options: Any) -> Callable[[Model], torch.nn.Module]:
    def quantize(model: Model) -> torch.nn.Module:
        config = LinearQuantizerConfig(
            global_config=ModuleLinearQuantizerConfig(**options), module_name_configs=dict.fromkeys(model.float_modules)
        )
        prepared = prepare_pt2e(torch.export.export(model.module, model.inputs).module(), CoreMLQuantizer(config))
        prepared(*model.inputs)
        return convert_pt2e(prepared)

    return quantize


@dataclasses.dataclass(frozen=True)
class Mode:
    target: ct.target = ct.target.iOS17
    quantize: Callable[[Model], torch.nn.Module] | None = None
    specs: Callable[[Model], dict[str, Any]] = lambda model: {}


MODES: dict[str, Mode] = {
    "float16": Mode(),
    "w8a8": Mode(quantize=_pt2e()),
    "w8a8 in float32": Mode(quantize=_pt2e(), specs=lambda model: {"compute_precision": ct.precision.FLOAT32}),
    "w8": Mode(quantize=_pt2e(activation_dtype=torch.float32)),
    "w4 per block": Mode(
        ct.target.iOS18,
        specs=lambda model: {
            "op_linear_quantizer_config": {
                "dtype": "int4",
                "granularity": "per_block",
                "block_size": model.block,
                "weight_threshold": model.threshold,
            }
        },
    ),
    "4-bit tables": Mode(specs=lambda model: {"op_palettizer_config": {"nbits": 4, "weight_threshold": model.threshold}}),
    "6-bit tables": Mode(specs=lambda model: {"op_palettizer_config": {"nbits": 6, "weight_threshold": model.threshold}}),
}

_MODELS = flags.DEFINE_list("models", ["classifier", "residual", "minilm"], f"Which models, of {', '.join(MODELS)}.")
_MODES = flags.DEFINE_list("modes", list(MODES), "Which kinds of quantization.")
_ROUNDS = flags.DEFINE_integer("rounds", 20, "Timed executions of each program.")


def lower(module: torch.nn.Module, inputs: Inputs, target: ct.target, options: dict[str, Any]) -> bytes:
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=target, **options)
    edge = to_edge_transform_and_lower(torch.export.export(module, inputs), partitioner=[CoreMLPartitioner(compile_specs=specs)])
    return bytes(edge.to_executorch().buffer)


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double() - expected.double()).norm() / expected.double().norm())


def _tensor(outputs: Any) -> torch.Tensor:
    return outputs if isinstance(outputs, torch.Tensor) else outputs[0]


def measure(name: str, model: Model, mode: Mode) -> str:
    with torch.no_grad():
        module = mode.quantize(model) if mode.quantize else model.module
        pte = lower(module, model.inputs, mode.target, mode.specs(model))
        methods = {}
        for numeric_mode in ("float32", "low_precision"):
            coreml_runtime.set_options(numeric_mode=numeric_mode)
            # Of a program of its own: one program gives the same method again.
            methods[numeric_mode] = Runtime.get().load_program(pte).load_method("forward")
        method = methods["float32"]
        actual, integers = (m.execute(model.inputs)[0].clone() for m in methods.values())
        durations: dict[str, list[float]] = {numeric_mode: [] for numeric_mode in methods}
        for _ in range(_ROUNDS.value):
            for numeric_mode, timed in methods.items():
                began = time.perf_counter()
                timed.execute(model.inputs)
                durations[numeric_mode].append(time.perf_counter() - began)
        exact = f"{relative(actual, _tensor(module(*model.inputs))):.1e}" if mode.quantize else ""
        precision = mode.specs(model).get("compute_precision", ct.precision.FLOAT16)
        rounding = f"{noise(module, model.inputs, precision):.1e}" if mode.quantize else ""
        from_float = relative(actual, _tensor(model.module(*model.inputs)))
        accuracy = f"{model.accuracy(lambda x: method.execute((x,))[0]):.1f} %" if model.accuracy else ""
        expected = _tensor(module(*model.inputs))
    latency, low_latency = (f"{statistics.median(times) * 1e3:.2f} ms" for times in durations.values())
    low = f"{relative(integers, expected):.1e}" if mode.quantize else ""
    return f"  {name:16}{len(pte):>14,}{exact:>12}{rounding:>12}{from_float:>12.1e}{accuracy:>11}{latency:>12}{low:>14}{low_latency:>12}"


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    logging.disable(logging.WARNING)
    for model_name in _MODELS.value:
        model = MODELS[model_name]()
        print(f"\n{model_name}")
        print(
            f"  {'':16}{'.pte bytes':>14}{'quantized':>12}{'noise':>12}{'float':>12}{'accuracy':>11}{'latency':>12}{'low precision':>14}{'latency':>12}"
        )
        for name in _MODES.value:
            print(measure(name, model, MODES[name]), flush=True)


if __name__ == "__main__":
    app.run(main)
