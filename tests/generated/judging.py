"""Exports, lowers and runs a program, and says what became of it.

Outcomes:
  right         every result is torch's, within the tolerance that the program's own conditioning gives
  outside       the same, and nothing was taken by Core ML
  refused       a sentence of ours said why not
  executorch    what fails or differs does so in ExecuTorch alone, without the partitioner
  inconclusive  the program is conditioned too badly to say
  not exported  torch.export does not take it
and findings: wrong (numbers, shapes, dtypes), raised (from the middle of a dependency), not loaded, failed (at run time); a process that
dies or does not answer adds crashed and hung (workers.py).
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import coremltools as ct
import executorch.backends.apple.coreml.runtime as coreml_runtime
import torch
from drawing import Configuration, rounding
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import EdgeProgramManager, ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.passes.init_mutable_pass import InitializedMutableBufferPass
from executorch.runtime import Runtime
from program import Program
from torch.export.graph_signature import OutputKind
from torch.utils._pytree import tree_leaves
from worlds import EPSILON, TINY, World, build, dtypes_of, run_program

FINDINGS = ("wrong", "raised", "not loaded", "failed", "crashed", "hung")
INCONCLUSIVE_FROM = {torch.float32: 1e-2, torch.float16: 1e-1, torch.bfloat16: 1e-1}
DISTURBED_WORLDS = 5
STEPS = 3
NUMERIC_MODES = ("float32", "float16")
# How much further than the disturbed worlds a right result may be: an op of torch is up to a few of Core ML's, each of which rounds.
FACTOR = 10.0
_OURS = "/executorch_coreml/"
# What the runtime says of an input that no tensor of Core ML can hold.
_BEYOND_INT32 = re.compile(r"the int64 value -?\d+ at index \S+( \S+)* does not fit int32")


@dataclasses.dataclass
class Verdict:
    """outcome: as above. kind: what a finding is one of. detail: in words. delegated, left: call nodes, over all configurations."""

    outcome: str
    kind: str = ""
    detail: str = ""
    configuration: dict[str, str] = dataclasses.field(default_factory=dict)
    delegated: int = 0
    left: int = 0
    tolerance: float = 0.0

    @property
    def is_finding(self) -> bool:
        return self.outcome in FINDINGS


@dataclasses.dataclass
class Expected:
    """What a run must give: for each step and result its exact value, torch's, and the tolerance of each element."""

    written: list[list[torch.Tensor]]
    exact: list[list[torch.Tensor]]
    allowed: list[list[torch.Tensor]]
    worst: float
    # Integers that depend on rounding.
    unstable: bool
    # Whether float16 overflows inside an op.
    overflows_half: bool = False


def expect(program: Program, extents: dict[str, int], dtype: torch.dtype) -> Expected:
    steps = STEPS if program.mutable else 1
    written = run_program(program, World("written"), extents, steps)
    exact_world = World("exact")
    exact = run_program(program, exact_world, extents, steps)
    disturbed = [run_program(program, World("disturbed", dtype, seed), extents, steps) for seed in range(1, DISTURBED_WORLDS + 1)]
    epsilon, tiny = EPSILON[dtype], TINY[dtype]
    allowed: list[list[torch.Tensor]] = []
    worst, unstable = 0.0, False
    for step in range(steps):
        allowed.append([])
        for position, value in enumerate(exact[step]):
            others = [world[step][position] for world in disturbed]
            if value.shape != written[step][position].shape or any(other.shape != value.shape for other in others):
                allowed[-1].append(torch.tensor(torch.nan))
                unstable = True
                continue
            if not written[step][position].is_floating_point():
                moves = sum((other.double() != value.double()) for other in [*others, written[step][position]])
                allowed[-1].append(torch.where(moves > 0, torch.inf, 0.0))
                unstable = unstable or bool((moves > 0).any())
                continue
            finite = value.isfinite() & written[step][position].isfinite()
            spread = torch.stack([(other - value).abs() for other in [*others, written[step][position].double()]]).amax(0)
            unstable = unstable or bool((~spread[finite].isfinite()).any())
            spread = torch.where(finite, spread, 0.0)
            largest = float(value[finite].abs().max()) if finite.any() else 0.0
            # What is computed by way of numbers about 1, as exp(x) - 1 is, has their rounding.
            limit = FACTOR * spread + 8 * epsilon * torch.where(finite, value.abs(), 0.0) + 2 * epsilon + 16 * tiny
            if value.numel():
                limit = limit + spread.max() + (2 * epsilon * largest if dtype is torch.float16 else 0.0)
                worst = max(worst, (FACTOR + 1) * float(spread.max()) / max(largest, 1e-3))
            allowed[-1].append(limit)
    return Expected(written, exact, allowed, worst, unstable, exact_world.overflowed_half())


def compare(actual: list[torch.Tensor], expected: Expected, step: int, *, half: bool) -> str:
    """What is wrong with the results of a step; empty when nothing is."""
    written, exact, allowed = expected.written[step], expected.exact[step], expected.allowed[step]
    if len(actual) != len(written):
        return f"{len(actual)} results, not {len(written)}"
    for index, (got, torchs, value, limit) in enumerate(zip(actual, written, exact, allowed, strict=True)):
        if not isinstance(got, torch.Tensor):
            got = torch.tensor(got)
        if got.dtype != torchs.dtype or got.shape != torchs.shape:
            return f"result {index} is {got.dtype} {tuple(got.shape)}, not {torchs.dtype} {tuple(torchs.shape)}"
        if limit.shape != value.shape or not got.numel():
            continue
        a, e = got.double(), value.double()
        if half:
            # Beyond float16 there is only infinity, or its largest number.
            beyond = e.isfinite() & (e.abs() > 65504)
            a = torch.where(beyond & ((a.abs() >= 65000) & (a.sign() == e.sign())), e, a)
        finite = e.isfinite() & torchs.double().isfinite()
        same = torch.where(finite, a.isfinite() & ((a - e).abs() <= limit), (a == torchs.double()) | (a.isnan() & torchs.isnan()))
        # numeric_mode="float32" keeps what a program makes float16 of as it was, also where only infinity is left of it in float16.
        kept = torchs.isinf() & e.isfinite() & (e.abs() > 65504)
        same = same | limit.isinf() | (kept & ((a - e).abs() <= 8 * EPSILON[torch.float16] * e.abs()))
        if not same.all():
            where = int((~same).flatten().nonzero()[0])
            far = float(((a - e).abs() / e.abs().clamp(min=1e-30)).flatten()[where])
            return (
                f"result {index}, element {where} of {tuple(got.shape)} {got.dtype}: {got.flatten()[where].item()}, not "
                f"{torchs.flatten()[where].item()} ({int((~same).sum())} of {same.numel()} elements; off by {far:.2g}, allowed "
                f"{float((limit / e.abs().clamp(min=1e-30)).flatten()[where]):.2g})"
            )
    return ""


def _where(error: BaseException) -> tuple[str, bool]:
    """(The innermost frames that tell where an error comes from, whether it was raised by this project)."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    if not frames:
        return "", False
    last = frames[-1]
    ours = [frame for frame in frames if _OURS in frame.filename]
    short = re.sub(r".*/(site-packages|python)/", "", last.filename)
    text = f"{short}:{last.name}"
    if ours and ours[-1] is not last:
        text += f" under {ours[-1].filename.rsplit('/', 1)[-1]}:{ours[-1].name}"
    return text, _OURS in last.filename


def normalized(message: str) -> str:
    """A message without what differs from program to program."""
    first = message.strip().splitlines()[0] if message.strip() else ""
    first = re.sub(r"0x[0-9a-f]+|\"[^\"]*\"|'[^']*'|\d+", "#", first)
    return first[:120]


def _sentence(error: BaseException) -> bool:
    """Whether an error of ours reads as a refusal rather than as a broken assumption."""
    return (
        isinstance(error, (ValueError, NotImplementedError, RuntimeError))
        and str(error).rstrip().endswith(".")
        and len(str(error)) > 30
    )


class Raised(Exception):
    """A stage failed. stage: "lower", "load", "run"."""

    def __init__(self, stage: str, error: BaseException) -> None:
        super().__init__(str(error))
        self.stage, self.error = stage, error


@dataclasses.dataclass
class Method:
    """One program of a lowering, its inputs for each choice of extents, and what it must give."""

    program: Program
    exported: torch.export.ExportedProgram
    inputs: list[Any]
    expected: list[Expected] = dataclasses.field(default_factory=list)

    @property
    def steps(self) -> int:
        return STEPS if self.program.mutable else 1

    @property
    def flat(self) -> list[list[torch.Tensor]]:
        return [tree_leaves(given) for given in (self.inputs[:1] if self.program.mutable else self.inputs)]


def lower(
    exported: dict[str, torch.export.ExportedProgram], configuration: Configuration
) -> tuple[EdgeProgramManager, CoreMLPartitioner]:
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=getattr(ct.target, configuration.target),
        compute_precision=ct.precision.FLOAT32 if configuration.precision == "float32" else ct.precision.FLOAT16,
    )
    partitioner = CoreMLPartitioner(compile_specs=specs)
    return to_edge_transform_and_lower(exported, partitioner=[partitioner]), partitioner


def finish(edge: EdgeProgramManager, program: Program) -> bytes:
    passes = [InitializedMutableBufferPass([leaf.name[5:] for leaf in program.mutable])] if program.mutable else []
    return bytes(edge.to_executorch(ExecutorchBackendConfig(passes=passes)).buffer)


def load(buffer: bytes, names: Iterable[str]) -> dict[str, Any]:
    """The methods of a program."""
    try:
        program = Runtime.get().load_program(buffer)
        return {name: program.load_method(name) for name in names}
    except RuntimeError as error:
        raise Raised("load", RuntimeError(f"{error} {coreml_runtime.last_error()}")) from error


def execute(method: Any, inputs: list[list[torch.Tensor]], steps: int) -> Iterator[list[torch.Tensor]]:
    """The results of each step of each run of a method."""
    for given in inputs:
        for _ in range(steps):
            try:
                made = list(method.execute([tensor.clone() for tensor in given]))
            except RuntimeError as error:
                raise Raised("run", RuntimeError(f"{error} {coreml_runtime.last_error()}")) from error
            yield [value.clone() if isinstance(value, torch.Tensor) else value for value in made]


def promised(exported: torch.export.ExportedProgram) -> list[tuple[torch.dtype, int]]:
    """The dtypes and ranks that the exported program says its results have: torch's functions for fake tensors differ from its kernels here and
    there, and `squeeze()` of an extent that may be 1 is exported as though it never were."""
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes}
    specs = [spec for spec in exported.graph_signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    tensors = [values.get(spec.arg.name) for spec in specs]
    return [(tensor.dtype, tensor.dim()) for tensor in tensors if isinstance(tensor, torch.Tensor)]


def judge(program: Program, configurations: list[Configuration], tell: Callable[[str], None] = lambda phase: None) -> Verdict:
    """Everything for one program. tell: is called with the name of each phase before it begins."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.ERROR)
    tell("export")
    methods: dict[str, Method] = {}
    for name, part in (("forward", program), ("other", program.companion)):
        if part is None:
            continue
        module, names = build(part, eager=False)
        try:
            inputs = [names["inputs"](**chosen) for chosen in part.extents()]
            exported = torch.export.export(copy.deepcopy(module), inputs[0], dynamic_shapes=names["dynamic_shapes"])
        except Exception as error:
            return Verdict("not exported", type(error).__name__, normalized(str(error)))
        methods[name] = Method(part, exported, inputs)
    tell("expect")
    dtypes = {name: dtypes_of(method.program) for name, method in methods.items()}
    total = Verdict("right")
    known: dict[tuple[str, torch.dtype], list[Expected]] = {}
    for configuration in configurations:
        badly, largest = False, 0.0
        for name, method in methods.items():
            has_states = configuration.target == "iOS18" and any(leaf.dtype.startswith("float") for leaf in method.program.mutable)
            dtype = rounding(configuration.precision, dtypes[name], has_states=has_states)
            if (name, dtype) not in known:
                known[name, dtype] = [expect(method.program, chosen, dtype) for chosen in method.program.extents()]
            method.expected = known[name, dtype]
            made = [[(value.dtype, value.dim()) for value in expected.written[0]] for expected in method.expected]
            if any(promised(method.exported) != one for one in made):
                return Verdict("not exported", "the exported program has other dtypes or ranks than torch")
            worst = max(expected.worst for expected in method.expected)
            badly = badly or worst > INCONCLUSIVE_FROM[dtype] or any(expected.unstable for expected in method.expected)
            largest = max(largest, worst)
        verdict = _judge_one(methods, configuration, tell)
        total.delegated += verdict.delegated
        total.left += verdict.left
        verdict.configuration = verdict.configuration or dataclasses.asdict(configuration)
        total.tolerance = max(total.tolerance, largest)
        if verdict.is_finding:
            verdict.delegated, verdict.left, verdict.tolerance = total.delegated, total.left, largest
            return verdict
        if verdict.outcome == "right" and badly:
            verdict.outcome = "inconclusive"
        order = ("right", "outside", "refused", "executorch", "inconclusive")
        if order.index(verdict.outcome) > order.index(total.outcome):
            total.outcome, total.kind, total.detail = verdict.outcome, verdict.kind, verdict.detail
    if not total.delegated and total.outcome == "right":
        total.outcome = "outside"
    return total


def _files(error: Exception) -> str:
    """Of the frames that an error came through."""
    return "".join(frame.filename for frame in traceback.extract_tb(error.__traceback__))


def _judge_one(methods: dict[str, Method], configuration: Configuration, tell: Callable[[str], None]) -> Verdict:
    tell(f"lower {configuration.target} {configuration.precision}")
    delegated = left = 0
    program = methods["forward"].program
    given = {name: method.exported for name, method in methods.items()}

    def verdict(outcome: str, kind: str = "", detail: str = "", mode: str = "") -> Verdict:
        chosen = {**dataclasses.asdict(configuration), **({"numeric_mode": mode} if mode else {})}
        return Verdict(outcome, kind, detail, chosen, delegated, left)

    def alone() -> str:
        """What ExecuTorch alone makes of the program: how it fails ("run: ..."), or differs; empty where it is right."""
        tell("ExecuTorch alone")
        try:
            buffer = finish(to_edge_transform_and_lower(given), program)
            return _differences(buffer, methods, half=False)
        except Raised as failure:
            return f"{failure.stage}: {failure}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    try:
        edge, partitioner = lower(copy.deepcopy(given) if program.mutable else given, configuration)
        delegated = sum(report.delegated_nodes for report in partitioner.reports)
        left = sum(len(report.left) for report in partitioner.reports)
        buffer = finish(edge, program)
    except Exception as error:
        where, is_ours = _where(error)
        if is_ours and _sentence(error):
            return verdict("refused", f"{type(error).__name__} at {where}", normalized(str(error)))
        # Also where the partitioner is the first to meet what ExecuTorch says of the program, in the same words.
        wrong = alone()
        if wrong and (_OURS not in _files(error) or wrong == f"{type(error).__name__}: {error}"):
            return verdict("executorch", f"{type(error).__name__} at {where}", wrong[:300])
        return verdict("raised", f"{type(error).__name__} at {where}: {normalized(str(error))}", str(error)[:600])
    for mode in NUMERIC_MODES:
        tell(f"run {mode}")
        coreml_runtime.set_options(numeric_mode=mode)
        half = mode == "float16" or configuration.precision == "float16"
        try:
            wrong = _differences(buffer, methods, half=half)
        except Raised as failure:
            message = str(failure)
            if failure.stage == "run" and _BEYOND_INT32.search(message):
                return verdict("refused", "beyond int32", normalized(message), mode)
            # A kernel that ExecuTorch has not was named when the program was lowered.
            was_said = failure.stage == "load" and any(node.not_executed for report in partitioner.reports for node in report.left)
            if not delegated or was_said or alone().startswith(("load: ", "run: ")):
                return verdict("executorch", f"{failure.stage}: {normalized(message)}", message[:300])
            outcome = "not loaded" if failure.stage == "load" else "failed"
            return verdict(outcome, f"{outcome}: {normalized(message)}", message[:600], mode)
        if wrong and mode == "float16" and any(chosen.overflows_half for method in methods.values() for chosen in method.expected):
            return verdict("inconclusive", "float16 overflows inside an operation", wrong, mode)
        if wrong:
            # Of the same result.
            if not delegated or alone().split(",")[0] == wrong.split(",")[0]:
                return verdict("executorch", "wrong in ExecuTorch alone", wrong)
            return verdict("wrong", "wrong", wrong, mode)
    return verdict("right")


def _differences(buffer: bytes, methods: dict[str, Method], *, half: bool) -> str:
    loaded = load(buffer, methods)
    for name, method in methods.items():
        steps, flat = method.steps, method.flat
        for position, made in enumerate(execute(loaded[name], flat, steps)):
            wrong = compare(made, method.expected[position // steps], position % steps, half=half)
            if wrong:
                return (
                    wrong
                    + (f" (step {position % steps})" if steps > 1 else "")
                    + (f" (extents {position // steps})" if len(flat) > 1 else "")
                    + (f" (method {name})" if len(methods) > 1 else "")
                )
    return ""


def configurations_of(items: list[dict[str, str]]) -> list[Configuration]:
    return [Configuration(item["target"], item["precision"]) for item in items]
