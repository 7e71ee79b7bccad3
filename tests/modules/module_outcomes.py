"""What becomes of one case in one configuration: exported, lowered with the partitioner, run on the portable engine, compared with torch."""

from __future__ import annotations

import functools
import re
import time
import traceback
from collections.abc import Callable

import coremltools as ct
import executorch.backends.apple.coreml.runtime as coreml_runtime
import module_judge
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir.error import InternalError
from executorch.runtime import Runtime
from module_cases import Case, quiet_warnings
from module_kinds import ALONE, CONFIGURATIONS, Outcome
from torch._export.verifier import SpecViolationError
from torch.export.graph_signature import OutputKind

_OURS = "/executorch_coreml/"


def list_operations_once() -> None:
    """torch.export makes sure for every program, forty times, that it knows all operations of torch, which takes a third of a lowering."""
    from torch._export import utils

    utils._materialize_cpp_cia_ops = functools.cache(utils._materialize_cpp_cia_ops)


class _Failed(Exception):
    def __init__(self, where: str, error: BaseException, more: str = "") -> None:
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        super().__init__(f"{where}: {type(error).__name__}: {line[:300]}{more and ' | ' + more[:300]}")
        self.error = error
        frames = traceback.extract_tb(error.__traceback__)
        inner = frames[-1] if frames else None
        self.at = f"{inner.filename.rpartition('site-packages/')[2][-80:]}:{inner.lineno}" if inner else ""
        self.is_sentence = (
            inner is not None
            and _OURS in inner.filename
            and type(error).__name__ != "ConversionError"
            and isinstance(error, (ValueError, NotImplementedError))
        )


def _lower(exported: torch.export.ExportedProgram, partitioner: CoreMLPartitioner | None = None) -> EdgeProgramManager:
    """With ExecuTorch's defaults; where its own check of the operations fails then, without it, as ExecuTorch's message says."""
    partitioners = [] if partitioner is None else [partitioner]
    try:
        try:
            return to_edge_transform_and_lower(exported, partitioner=partitioners)
        except (SpecViolationError, InternalError):
            config = EdgeCompileConfig(_check_ir_validity=False)
            return to_edge_transform_and_lower(exported, partitioner=partitioners, compile_config=config)
    except Exception as error:
        raise _Failed("lowering", error) from error


def _execute(
    edge: EdgeProgramManager, inputs: tuple[torch.Tensor, ...], modes: tuple[str, ...], *, is_delegated: bool
) -> dict[str, list[torch.Tensor]]:
    # ExecuTorch also gives out the inputs that a program writes to, before its results.
    specs = edge.exported_program().graph_signature.output_specs
    first = sum(spec.kind is OutputKind.USER_INPUT_MUTATION for spec in specs)
    try:
        data = bytes(edge.to_executorch().buffer)
    except Exception as error:
        raise _Failed("to_executorch", error) from error
    found = {}
    for mode in modes:
        coreml_runtime.set_options(numeric_mode=mode)
        try:
            program = Runtime.get().load_program(data)
            try:
                method = program.load_method("forward")
            except RuntimeError as error:
                raise _Failed("load", error, coreml_runtime.last_error() if is_delegated else "") from error
            try:
                outputs = method.execute([i.clone() for i in inputs])
            except RuntimeError as error:
                raise _Failed("execute", error, coreml_runtime.last_error() if is_delegated else "") from error
            found[mode] = [o.clone() if isinstance(o, torch.Tensor) else torch.tensor(o) for o in outputs[first:] if o is not None]
        finally:
            coreml_runtime.set_options(numeric_mode="")
    return found


def _is_same(one: str, other: str) -> bool:
    """Whether two messages say the same but for numbers, and for what the delegate adds."""
    return re.sub(r"\d+", "", one.partition(" | ")[0])[:80] == re.sub(r"\d+", "", other.partition(" | ")[0])[:80]


def _alone(exported: torch.export.ExportedProgram, inputs: tuple[torch.Tensor, ...]) -> tuple[list[torch.Tensor] | None, str]:
    """What ExecuTorch gives without Core ML, or what it fails with."""
    try:
        return _execute(_lower(exported), inputs, ("",), is_delegated=False)[""], ""
    except _Failed as error:
        return None, str(error)


class Subject:
    """A case with what all its configurations need; each is made once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._expected: dict[tuple[str, bool], module_judge.Expected] = {}

    def export(self) -> torch.export.ExportedProgram:
        with torch.no_grad():
            return torch.export.export(self.case.module, tuple(i.clone() for i in self.case.inputs))

    def expected(self, precision: str, *, decides: bool = False) -> module_judge.Expected:
        if (precision, decides) not in self._expected:
            found = module_judge.expected(self.case.module, self.case.inputs, precision, decides=decides)
            self._expected[precision, decides] = found
        return self._expected[precision, decides]


def _outcome(subject: Subject, exported: torch.export.ExportedProgram, configuration: str) -> Outcome:
    case = subject.case
    target, precision = CONFIGURATIONS[configuration]
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=ct.target[target], compute_precision=ct.precision(precision)
    )
    partitioner = CoreMLPartitioner(compile_specs=specs)
    outcome = Outcome(case.name, configuration, "", case.text)
    outcome.kind, outcome.text = _kind(subject, exported, precision, partitioner, outcome)
    return outcome


def _kind(
    subject: Subject, exported: torch.export.ExportedProgram, precision: str, partitioner: CoreMLPartitioner, outcome: Outcome
) -> tuple[str, str]:
    """What becomes of a program, and what is said of it; what was measured on the way is written to `outcome`."""
    case, reasons = subject.case, outcome.reasons
    try:
        start = time.process_time()
        edge = _lower(exported, partitioner)
        outcome.seconds = round(time.process_time() - start, 1)
        report = partitioner.report
        reasons += [f"{op}: {reason} [{code}]" for op, code, reason, _ in report.reasons()]
        taken = report.delegated_nodes
        outcome.delegated, outcome.left, outcome.partitions = taken, len(report.left), len(report.partitions)
        modes = ("float32", "float16") if precision == "float16" else ("float32",)
        actual = _execute(edge, case.inputs, modes if taken else modes[:1], is_delegated=bool(taken))
    except _Failed as failed:
        if failed.is_sentence:
            return "refused", str(failed)
        alone, text = _alone(exported, case.inputs)
        if alone is None and (_is_same(text, str(failed)) or (reasons and not partitioner.report.delegated_nodes)):
            return "executorch", text
        return "raised", f"{failed} at {failed.at}"
    wanted = subject.expected(precision)
    outcome.difference = max(module_judge.relative(outputs, wanted) for outputs in actual.values())
    share = 0.0
    for mode, outputs in actual.items():
        wrong, more = module_judge.difference(outputs, wanted, precision)
        if wrong is not None and not wanted.random:
            # Inside, as where an expert is chosen, numbers may decide about integers: few roundings meet those that turn one over.
            wanted = subject.expected(precision, decides=True)
            wrong, more = module_judge.difference(outputs, wanted, precision)
        share = max(share, more)
        if wrong is None:
            continue
        if not taken:
            return "executorch", wrong
        with torch.no_grad():
            said = module_judge.results(exported.module()(*(i.clone() for i in case.inputs)))
        if module_judge.difference(said, wanted, precision)[0] is not None:
            return "unexported", f"torch.export's own program: {wrong}"
        alone, failure = _alone(exported, case.inputs)
        said_alone = None if alone is None else module_judge.difference(alone, wanted, precision)[0]
        if said_alone == wrong or (reasons and said_alone is not None):
            return "executorch", f"{wrong}; alone: {failure or 'wrong'}"
        return "wrong", f"numeric_mode {mode}: {wrong}"
    if not taken:
        return "outside", ""
    if module_judge.is_inconclusive(share, precision):
        return "inconclusive", f"{share:.2g}"
    return ("part" if reasons else "whole"), ""


def outcomes_of(name: str, case: Callable[[str], Case], configurations: tuple[str, ...]) -> list[Outcome]:
    """The outcomes of a case that is yet to be made. Raises nothing."""
    try:
        with quiet_warnings():
            made = case(name)
    except Exception as error:
        return [
            Outcome(name, configuration, "unexported", text=str(_Failed("making it", error))) for configuration in configurations
        ]
    return outcomes(made, configurations)


def outcomes(case: Case, configurations: tuple[str, ...] = tuple(CONFIGURATIONS)) -> list[Outcome]:
    """One outcome for each configuration. Raises nothing."""
    with quiet_warnings():
        subject = Subject(case)
        try:
            if not case.inputs:
                raise ValueError("it has no tensors as inputs")
            own, _ = module_judge.own_results(case.module, case.inputs)
            strange = {str(t.dtype) for t in (*own, *case.inputs) if t.is_complex() or t.layout != torch.strided or t.is_quantized}
            if strange:
                raise ValueError(f"{', '.join(sorted(strange))}, or no dense tensors")
            exported = subject.export()
        except Exception as error:
            text = str(_Failed("torch", error))
            return [Outcome(case.name, configuration, "unexported", case.text, text) for configuration in configurations]
        found = []
        for configuration in configurations:
            if configuration == ALONE:
                found.append(Outcome(case.name, ALONE, "outside", case.text, _alone(exported, case.inputs)[1]))
                continue
            try:
                found.append(_outcome(subject, exported, configuration))
            except Exception as error:
                failed = _Failed("judging", error)
                found.append(Outcome(case.name, configuration, "raised", case.text, f"{failed} at {failed.at}"))
        return found
