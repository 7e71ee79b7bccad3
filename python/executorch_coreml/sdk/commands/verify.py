"""coreml verify: does a program compute what its PyTorch model does?"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from executorch_coreml.sdk import files, verify_reference
from executorch_coreml.sdk.commands import run as run_command
from executorch_coreml.sdk.commands.output import Output
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml verify model.pte --reference model.pt2           with the exported program's example inputs
  coreml verify model.pte --reference my_models:make --inputs inputs.npz --numeric-mode float16
  coreml verify model.mlpackage --input x=x.npy --reference outputs.npz
  coreml verify model.pte --reference model.pt2 --audit   where float16 is too small, and what to keep in float32
  coreml verify llm.pte --reference llm.pt2 --generate 64 --prompt 1,450,7483
                                                          whether it chooses the tokens that PyTorch does
  coreml verify kit --kit answer.json                     what another machine answered to `coreml kit`

The exit code is 3 when an output is outside the tolerance, and when a token is another one for no reason that rounding explains."""

# Neither an error nor a wrong usage: the answer is no.
OUTSIDE_TOLERANCE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .pte or a .mlpackage, of this exporter or another; with --kit, the kit's folder")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--reference", help=verify_reference.FORMS)
    asked.add_argument(
        "--kit",
        type=Path,
        metavar="ANSWER",
        help="what `coreml_runner --kit` answered on another machine, and none of the other options",
    )
    add_inputs_argument(parser)
    run_command.add_input_arguments(parser)
    parser.add_argument(
        "--numeric-mode",
        choices=("float32", "float16", "both"),
        default="both",
        help="whether float16 values are rounded after each operation (default: both)",
    )
    parser.add_argument(
        "--tolerance", type=float, help="of the l2-relative difference (default: four times what rounding does to this model)"
    )
    parser.add_argument("--no-blame", action="store_true", help="measures only: do not look for the operation at fault")
    parser.add_argument(
        "--audit", action="store_true", help="list values that float16 does not hold, and try which operations to keep in float32"
    )
    parser.add_argument(
        "--generate",
        type=run_command.natural,
        metavar="N",
        help="of a language model: continue the prompt by N tokens, and compare the logits and choices with PyTorch's",
    )
    parser.add_argument(
        "--prompt", type=_ids, metavar="IDS", help="token ids, as 1,450,7483 (default: those of the reference's example inputs)"
    )
    parser.add_argument(
        "--token-input", metavar="NAME", help="the model's input of token ids (default: its first input of integers)"
    )
    parser.add_argument(
        "--position-input",
        metavar="NAME",
        help="the model's input of positions, if it keeps a cache (default: its next input of integers)",
    )
    parser.add_argument(
        "--memory", type=int, default=1024, metavar="MB", help="for values inside the program, when looking (default: 1024)"
    )


def _ids(text: str) -> list[int]:
    """A command line's token ids."""
    return [run_command.natural(part.strip()) for part in text.split(",")]


def add_inputs_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FILE",
        help="a .npz with all inputs, by the names of --input or in order (default: the reference's)",
    )


def check_tolerance(tolerance: float | None) -> None:
    """ToolError for what is no tolerance."""
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise ToolError("--tolerance must be a number of at least 0")


def run(arguments: argparse.Namespace, output: Output) -> int:
    if arguments.kit is not None:
        return _run_kit(arguments, output)
    from executorch_coreml.sdk.audit import Audit, audit
    from executorch_coreml.sdk.verify import NUMERIC_MODES, Verification, verify

    check_tolerance(arguments.tolerance)
    if arguments.memory < 1:
        raise ToolError("--memory must be at least 1")
    reference = verify_reference.load(arguments.reference)
    given = inputs(arguments)
    numeric_modes = NUMERIC_MODES if arguments.numeric_mode == "both" else (arguments.numeric_mode,)
    if arguments.generate is None and (arguments.prompt or arguments.token_input or arguments.position_input):
        raise ToolError("--prompt, --token-input and --position-input are for a text to continue: pass --generate too")
    if arguments.generate is not None:
        if arguments.audit:
            raise ToolError("--audit looks at one call of a program, and --generate at many: pass one of them")
        return _run_generation(arguments, output, reference, given, numeric_modes)
    found: Verification = verify(
        arguments.file,
        reference,
        given,
        method=arguments.method,
        numeric_modes=numeric_modes,
        tolerance=arguments.tolerance,
        seed=arguments.seed,
        threads=arguments.threads,
        blame=not arguments.no_blame,
        memory_budget=arguments.memory * 10**6,
    )
    audited: Audit | None = None
    if arguments.audit:
        audited = audit(
            arguments.file,
            reference,
            given,
            method=arguments.method,
            tolerance=arguments.tolerance,
            seed=arguments.seed,
            memory_budget=arguments.memory * 10**6,
        )
    if output.as_json:
        output.value({**found.to_json(), "audit": audited.to_json() if audited else None})
        return 0 if found.passed else OUTSIDE_TOLERANCE
    output.line(f"{found.path} against {found.reference}")
    for mode in found.modes:
        output.line()
        output.line(f"numeric mode {mode.numeric_mode}: {'every output is right' if mode.passed else 'OUTSIDE THE TOLERANCE'}")
        output.table(
            [
                (
                    o.name,
                    f"{o.comparison.dtype}{list(o.comparison.shape)}",
                    *map(
                        _number,
                        (
                            o.comparison.l2_relative,
                            o.normal.l2_relative,
                            o.tolerance,
                            o.comparison.max_abs,
                            o.comparison.max_rel,
                            o.comparison.snr_db,
                            o.comparison.psnr_db,
                        ),
                    ),
                    f"{o.comparison.cosine:.6f}",
                    "-" if o.comparison.top1 is None else f"{o.comparison.top1:.1%}",
                    str(o.comparison.misplaced),
                    "yes" if o.passed else "NO",
                )
                for o in mode.outputs
            ],
            header=(
                "output",
                "type",
                "l2-rel",
                "normal",
                "allowed",
                "max abs",
                "max rel",
                "SNR dB",
                "PSNR dB",
                "cosine",
                "top-1",
                "NaN/inf",
                "right",
            ),
            right=tuple(range(2, 12)),
        )
        for source in dict.fromkeys(o.normal.source for o in mode.outputs):
            output.line(f"normal: {source}")
        if mode.blame is not None:
            output.line()
            output.line(str(mode.blame))
    for remark in found.remarks:
        output.line()
        output.line(remark)
    if audited is not None:
        output.line()
        output.line("float16 audit")
        output.line(str(audited))
    output.line()
    output.line("Computed by the engine of this machine: agreement with Apple's own runtime is not established by it.")
    return 0 if found.passed else OUTSIDE_TOLERANCE


def _run_generation(
    arguments: argparse.Namespace,
    output: Output,
    reference: verify_reference.Reference,
    given: dict[str, np.ndarray] | list[np.ndarray] | None,
    numeric_modes: tuple[str, ...],
) -> int:
    from executorch_coreml.sdk.generation import generate

    found = generate(
        arguments.file,
        reference,
        arguments.generate,
        prompt=arguments.prompt,
        inputs=given,
        token_input=arguments.token_input,
        position_input=arguments.position_input,
        method=arguments.method,
        numeric_modes=numeric_modes,
        tolerance=arguments.tolerance,
        seed=arguments.seed,
        threads=arguments.threads,
    )
    if output.as_json:
        output.value(found.to_json())
        return 0 if found.passed else OUTSIDE_TOLERANCE
    output.line(f"{found.path} against {found.reference}: {len(found.prompt)} tokens, continued by {arguments.generate}")
    for mode in found.modes:
        output.line()
        output.line(f"numeric mode {mode.numeric_mode}: {'right' if mode.passed else 'WRONG'}")
        same = sum(not token.differs for token in mode.tokens)
        output.line(
            f"{same} of {len(mode.tokens)} tokens are those that PyTorch chooses; logits differ by at most {mode.worst.l2_relative:.3g} (l2-relative), "
            f"{mode.tolerance:.3g} is allowed"
        )
        output.line(f"normal: {mode.source}")
        if mode.first_difference is not None:
            output.line(f"the first that differs: {mode.first_difference}")
        if mode.first_fault is not None and mode.first_fault is not mode.first_difference:
            output.line(
                f"the first fault: logits behind token {mode.first_fault.index} differ by {mode.first_fault.l2_relative:.3g}"
            )
    for remark in found.remarks:
        output.line()
        output.line(remark)
    output.line()
    output.line("Computed by the engine of this machine: agreement with Apple's own runtime is not established by it.")
    return 0 if found.passed else OUTSIDE_TOLERANCE


def _run_kit(arguments: argparse.Namespace, output: Output) -> int:
    from executorch_coreml.sdk import kit_answer

    found = kit_answer.check(arguments.file, arguments.kit)
    if output.as_json:
        output.value(found.to_json())
        return 0 if found.passed else OUTSIDE_TOLERANCE
    machine = found.machine
    options = ", ".join(f"{name} {value}" for name, value in machine["options"].items())
    output.line(f"{found.answer}: engine {machine['engine']} on {machine['platform']}{', ' if options else ''}{options}")
    output.line()
    output.line("every output is right" if found.passed else "OUTSIDE THE TOLERANCE")
    output.table(
        [
            (
                o.name,
                f"{o.comparison.dtype}{list(o.comparison.shape)}",
                *map(_number, (o.error, o.from_float16, o.tolerance, o.comparison.max_abs)),
                str(o.comparison.misplaced),
                "yes" if o.passed else "NO",
            )
            for o in found.outputs
        ],
        header=("output", "type", "from float32", "from float16", "allowed", "max abs", "NaN/inf", "right"),
        right=tuple(range(2, 7)),
    )
    for source in dict.fromkeys(o.source for o in found.outputs):
        output.line(f"allowed: {source}")
    if found.blame is not None:
        output.line()
        output.line(str(found.blame))
    for remark in found.remarks:
        output.line()
        output.line(remark)
    output.line()
    output.line("Compared with the portable engine's values in the numeric modes float32 and float16.")
    return 0 if found.passed else OUTSIDE_TOLERANCE


def inputs(arguments: argparse.Namespace) -> dict[str, np.ndarray] | list[np.ndarray] | None:
    """What --inputs or --input name; None for neither."""
    given = run_command.given_inputs(arguments)
    if arguments.inputs is None:
        return given or None
    if given:
        raise ToolError("pass --inputs or --input, but not both")
    arrays = files.read_arrays(arguments.inputs, "the file of inputs")
    # numpy.savez calls positional arrays arr_0, arr_1, ...
    if all(name == f"arr_{index}" for index, name in enumerate(arrays)):
        return list(arrays.values())
    return arrays


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else str(value)
