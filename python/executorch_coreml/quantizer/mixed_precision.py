"""Which modules must stay float for a quantized program to be accurate enough.

    result = find_float_modules(model, example_inputs, config, tolerance=0.01, calibration=batches)
    print(result)                                   # each step: what stayed float, its difference, its size
    quantizer = CoreMLQuantizer(result.config)      # the configuration to use

The search is on quantized PyTorch programs, which the portable engine reproduces (docs/quantization.md); every set of modules it settles on, the
first and the last, is lowered and measured on the engine that is loaded, and the last is extended until it meets the tolerance there.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import coremltools as ct
import torch
from coremltools.optimize.torch.quantization.quantization_config import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from executorch.exir import to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from executorch_coreml.compiler import CoreMLBackend
from executorch_coreml.partition import CoreMLPartitioner
from executorch_coreml.quantizer.coreml_quantizer import CoreMLQuantizer
from executorch_coreml.quantizer.entries import Resolver
from executorch_coreml.quantizer.patterns import Kind, index

Inputs = tuple[torch.Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """A set of float modules that was tried.

    difference: ||quantized - float||_2 / ||float||_2 over all sample inputs and outputs. size: of the .pte in bytes where `on_engine`, which says
    that the lowered program was run; otherwise None, and the difference is the quantized PyTorch program's.
    """

    float_modules: tuple[str, ...]
    difference: float
    size: int | None = None

    @property
    def on_engine(self) -> bool:
        return self.size is not None


@dataclasses.dataclass(frozen=True)
class MixedPrecision:
    """The outcome. config: what to give to CoreMLQuantizer. sensitivity: module -> the difference with only this module quantized."""

    config: LinearQuantizerConfig
    float_modules: tuple[str, ...]
    tolerance: float
    sensitivity: dict[str, float]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [f"tolerance {self.tolerance:.2e}; {len(self.float_modules)} of {len(self.sensitivity)} modules stay float", ""]
        lines.append(f"{'difference':>11}  {'.pte bytes':>12}  measured on  float modules")
        for step in self.steps:
            size = f"{step.size:>12,}" if step.size is not None else " " * 12
            where = "engine" if step.on_engine else "PyTorch"
            lines.append(f"{step.difference:>11.3e}  {size}  {where:<11}  {', '.join(step.float_modules) or '(none)'}")
        return "\n".join(lines)


class _Search:
    def __init__(
        self,
        module: torch.nn.Module,
        samples: Sequence[Inputs],
        calibration: Sequence[Inputs],
        config: LinearQuantizerConfig,
        target: ct.target,
        precision: ct.precision,
    ) -> None:
        self._samples, self._calibration, self._config = samples, calibration, config
        self._target, self._precision = target, precision
        self._program = torch.export.export(module, samples[0])
        with torch.no_grad():
            self._expected = [_flat(module(*inputs)) for inputs in samples]
        self._known: dict[frozenset[str], float] = {}
        self.steps: list[Step] = []
        self.candidates = self._candidates()

    def config_with(self, float_modules: Iterable[str]) -> LinearQuantizerConfig:
        """The user's configuration with these modules float. Their names are exact, where the user's are regular expressions.

        An entry for a module holds for those in it too, so what is quantized inside a float module gets an entry of its own.
        """
        config = copy.deepcopy(self._config)
        chosen = set(float_modules)
        own: dict[str, Any] = {re.escape(name): None for name in sorted(chosen)}
        for name, quantized in self.candidates.items():
            if name not in chosen and any(name.startswith(outer + ".") for outer in chosen):
                own[re.escape(name)] = quantized
        config.module_name_configs = {**own, **{k: v for k, v in config.module_name_configs.items() if k not in own}}
        return config

    def quantize(self, float_modules: Iterable[str]) -> torch.fx.GraphModule:
        quantizer = CoreMLQuantizer(self.config_with(float_modules))
        prepared = prepare_pt2e(self._program.module(), quantizer)
        with torch.no_grad():
            for inputs in self._calibration:
                prepared(*inputs)
        return convert_pt2e(prepared)

    def _candidates(self) -> dict[str, ModuleLinearQuantizerConfig]:
        """The modules that the configuration quantizes and that do more than pass values on, in the program's order; how each is quantized."""
        graph_module = self._program.module()
        resolver, quantizer = Resolver(self._config, None), CoreMLQuantizer(self._config)
        quantizer.annotate(graph_module)
        nodes = {node.name: node for node in graph_module.graph.nodes}
        passes_on = {row.name for row in index().values() if row.kind is Kind.SHARING}
        found: dict[str, Any] = {}
        for item in quantizer.report.annotated:
            specs = resolver.entry_of(nodes[item.nodes[0]]).specs
            if item.module and item.pattern not in passes_on and specs is not None:
                found.setdefault(item.module, specs.config)
        return found

    def difference(self, float_modules: Iterable[str]) -> float:
        """Of the quantized PyTorch program; each set is computed once."""
        key = frozenset(float_modules)
        if key not in self._known:
            quantized = self.quantize(key)
            with torch.no_grad():
                self._known[key] = _relative([_flat(quantized(*inputs)) for inputs in self._samples], self._expected)
            self.steps.append(Step(tuple(sorted(key)), self._known[key]))
        return self._known[key]

    def measure(self, float_modules: Iterable[str], execute: Callable[[bytes, Sequence[Inputs]], list[Any]]) -> Step:
        """Of the lowered program, on the engine."""
        key = frozenset(float_modules)
        specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=self._target, compute_precision=self._precision)
        exported = torch.export.export(self.quantize(key), self._samples[0])
        edge = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)])
        pte = bytes(edge.to_executorch().buffer)
        actual = [_flat(outputs) for outputs in execute(pte, self._samples)]
        step = Step(tuple(sorted(key)), _relative(actual, self._expected), len(pte))
        self.steps.append(step)
        return step


def find_float_modules(
    module: torch.nn.Module,
    samples: Sequence[Inputs] | Inputs,
    config: LinearQuantizerConfig,
    *,
    tolerance: float,
    calibration: Sequence[Inputs] | None = None,
    target: ct.target = ct.target.iOS17,
    precision: ct.precision = ct.precision.FLOAT16,
    execute: Callable[[bytes, Sequence[Inputs]], list[Any]] | None = None,
) -> MixedPrecision:
    """The modules to keep float so that the program differs from the float one by at most the tolerance.

    The modules are ranked by the difference that each makes alone. The shortest prefix of the ranking that meets the tolerance is found by
    halving; then each of its modules is quantized again if the tolerance still holds. No module of the result can be left out alone; where the
    effects of modules add up, as they mostly do, no smaller set exists, but that is not proven.

    Args:
        module: in eval mode.
        samples: inputs to measure with: one tuple, or several of the same shapes.
        config: what to quantize; its own float entries stay.
        tolerance: the largest ||quantized - float||_2 / ||float||_2 over all samples, positive.
        calibration: inputs to calibrate with; None for the samples.
        target, precision: of the lowered programs.
        execute: runs a .pte on several inputs and returns each one's outputs; None for ExecuTorch's runtime of this process, for which
            executorch.backends.apple.coreml.runtime must be imported.

    Raises:
        ValueError: the tolerance is not positive, nothing is quantized, or even all modules float do not meet the tolerance.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}; pass a positive l2-relative difference, such as 0.01")
    several: list[Any] = [samples] if samples and isinstance(samples[0], torch.Tensor) else list(samples)
    search = _Search(module, several, several if calibration is None else list(calibration), config, target, precision)
    run = execute or _execute
    modules = list(search.candidates)
    if not modules:
        raise ValueError(
            "the configuration quantizes no module of the program; CoreMLQuantizer.report says why each op stays float"
        )
    everything = search.measure((), run)
    sensitivity = {name: search.difference(set(modules) - {name}) for name in modules}
    ranking = sorted(modules, key=lambda name: -sensitivity[name])
    chosen: list[str] = []
    if everything.difference > tolerance:
        chosen = _prune(search, ranking[: _shortest(search, ranking, tolerance)], tolerance)
        while search.measure(chosen, run).difference > tolerance:
            # The engine differs from PyTorch by the precision it computes in.
            left = [name for name in ranking if name not in chosen]
            if not left:
                raise ValueError(
                    f"with all {len(modules)} modules float the program still differs by {search.steps[-1].difference:.2e}, more than the tolerance "
                    f"{tolerance:.2e}: pass a larger tolerance, precision=ct.precision.FLOAT32, or None entries for the ops between the modules"
                )
            chosen.append(left[0])
    return MixedPrecision(search.config_with(chosen), tuple(chosen), tolerance, sensitivity, tuple(search.steps))


def _shortest(search: _Search, ranking: Sequence[str], tolerance: float) -> int:
    """The length of the shortest prefix that meets the tolerance, if longer ones do too; all of them where none does."""
    low, high = 0, len(ranking)
    while low < high:
        middle = (low + high) // 2
        if search.difference(ranking[:middle]) <= tolerance:
            high = middle
        else:
            low = middle + 1
    return high


def _prune(search: _Search, chosen: Sequence[str], tolerance: float) -> list[str]:
    """Without what can be quantized after all, the least sensitive first."""
    kept = list(chosen)
    for name in reversed(chosen):
        without = [other for other in kept if other != name]
        if search.difference(without) <= tolerance:
            kept = without
    return kept


def _flat(outputs: Any) -> torch.Tensor:
    """All floating-point outputs as one vector of float64."""
    tensors = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    return torch.cat([t.detach().double().flatten() for t in tensors if t.is_floating_point()])


def _relative(actual: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    a, e = torch.cat(list(actual)), torch.cat(list(expected))
    return float((a - e).norm() / e.norm())


def _execute(pte: bytes, inputs: Sequence[Inputs]) -> list[Any]:
    from executorch.runtime import Runtime

    runtime = Runtime.get()
    if CoreMLBackend.__name__ not in runtime.backend_registry.registered_backend_names:
        raise ValueError(
            "no Core ML delegate is registered in this process: import executorch.backends.apple.coreml.runtime, or pass execute"
        )
    program = runtime.load_program(pte)
    method = program.load_method("forward")
    return [[output.clone() for output in method.execute(example)] for example in inputs]
