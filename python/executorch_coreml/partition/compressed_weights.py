"""Programs whose weights were compressed by coremltools.optimize.torch or coreai-opt, before ExecuTorch takes them apart.

compiler/compressed_weights.py says what such a program has. Its buffers are read here, once, and are no part of the program that is lowered: ExecuTorch
would write each into the .pte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import coremltools as ct
import torch
from coremltools.converters.mil.frontend.torch.converter import CompressionInfo, CompressionType, TorchConverter
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import InputKind

from executorch_coreml.compiler import compressed_weights
from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.partition import buffers

_MARK = "_COREML_/"
# The widths of indices that Core ML has before iOS 18.
_OLD_INDICES = (1, 2, 4, 6, 8)


def _is_metadata(name: str) -> bool:
    return name.rpartition(".")[2].startswith(_MARK)


def _need(info: CompressionInfo, weight: torch.Tensor) -> tuple[ct.target, str]:
    """The lowest deployment target that can express a weight, and how to call what it has."""
    types = info.compression_type or []
    if len(types) > 1:
        return ct.target.iOS18, "weights compressed in several steps"
    if CompressionType.PALETTIZATION.value in types and info.lut is not None:
        groups, (entries, *vector) = info.lut.shape[: weight.dim()], info.lut.shape[weight.dim() :]
        bits = max(entries - 1, 1).bit_length()
        if info.palettization_scale is not None or max((*groups, *vector), default=1) > 1:
            return ct.target.iOS18, "palettized weights with several tables, vectors or scales"
        return (ct.target.iOS16 if bits in _OLD_INDICES else ct.target.iOS18), f"{bits}-bit palettized weights"
    if CompressionType.QUANTIZATION.value in types and info.quantization_scale is not None:
        if (info.quantization_n_bits or 8) < 8:
            return ct.target.iOS18, "weights of fewer than 8 bits"
        axes = [extent for extent, size in zip(info.quantization_scale.shape, weight.shape, strict=False) if extent > 1]
        is_per_block = len(axes) > 1 or any(
            1 < extent < size for extent, size in zip(info.quantization_scale.shape, weight.shape, strict=False)
        )
        return (ct.target.iOS18, "weights quantized per block") if is_per_block else (ct.target.iOS16, "8-bit weights")
    return ct.target.iOS16, "compressed weights"


def _found(program: ExportedProgram) -> Iterator[tuple[str, torch.Tensor, CompressionInfo]]:
    """The weights that the program's buffers are about: name, value and what is said.

    Raises ValueError where the buffers say what coremltools does not know.
    """
    try:
        said: Mapping[str, CompressionInfo] = TorchConverter._construct_compression_info(
            {name: value for name, value in program.state_dict.items() if _is_metadata(name)}
        )
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"The buffers _COREML_/... of the model, which say how its weights were compressed, cannot be read: {error}"
        ) from error
    for name, info in said.items():
        weight = program.state_dict.get(name)
        if isinstance(weight, torch.Tensor) and info.compression_type:
            yield name, weight, info


def _check_target(name: str, info: CompressionInfo, weight: torch.Tensor, options: Options) -> None:
    target, what = _need(info, weight)
    if not options.targets(target):
        given = (
            f"minimum_deployment_target is {options.deployment_target.name}"
            if options.deployment_target
            else "none is set, so iOS15 is used"
        )
        raise ValueError(
            f"This program has {what} ({name}), which Core ML can express from minimum_deployment_target {target.name} on, and {given}: pass "
            f"compile_specs=CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.{target.name}) to CoreMLPartitioner."
        )


def noted(program: ExportedProgram, options: Options) -> ExportedProgram:
    """The program without those buffers, and with weights that know their compressed form; itself where it has none.

    Raises ValueError, which names the target to pass, where a weight's compressed form is above the deployment target.
    """
    if not any(map(_is_metadata, program.state_dict)):
        return program
    program = program.run_decompositions({})  # Of the same calls: the graph of the user's own program stays as it is.
    state = dict(program.state_dict)
    for name, weight, info in _found(program):
        _check_target(name, info, weight, options)
        again = compressed_weights.remember(weight, info)
        # A weight that two layers share has a name for each.
        state.update({other: again for other, value in program.state_dict.items() if value is weight})
    program._state_dict = {name: value for name, value in state.items() if not _is_metadata(name)}
    specs = program.graph_signature.input_specs
    buffers.drop(program, {spec.arg.name for spec in specs if spec.kind == InputKind.BUFFER and _is_metadata(spec.target or "")})
    return program
