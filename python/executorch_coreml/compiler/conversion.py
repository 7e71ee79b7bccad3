"""From an edge program to a Core ML model on disk, through coremltools.

coremltools_driver.py has the steps; here is what an option means for them. Nothing of coremltools is changed that a user of it in the same process
would notice.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import coremltools as ct
import torch
from coremltools.converters.mil import mil
from coremltools.proto import Model_pb2
from torch.export.exported_program import ExportedProgram
from torch.export.graph_signature import OutputKind

from executorch_coreml.compiler import (
    border_check,
    compressed_weights,
    constants,
    coremltools_driver,
    node_conversion,
    states,
    weight_compression,
)
from executorch_coreml.compiler.compile_options import Options
from executorch_coreml.compiler.islands import Float32Islands
from executorch_coreml.compiler.outputs import make_outputs_distinct
from executorch_coreml.compiler.rewrites import rewrite

logger = logging.getLogger("executorch.backends.apple.coreml.compiler.coreml_preprocess")


@dataclasses.dataclass(frozen=True)
class ConvertedModel:
    """A converted model: the specification in memory, the weights on disk.

    spec: owned; outputs are distinct. package: the folder coremltools wrote, whose `model.mlmodel` is older than `spec`. debug_map:
    ExecuTorch debug handle -> operation paths, as coremltools makes it, or None.
    """

    spec: Model_pb2.Model
    package: Path
    debug_map: dict[Any, Any] | None

    @property
    def weights(self) -> Path:
        """The folder of the weight files; it may be empty or missing."""
        return self.package / "Data" / "com.apple.CoreML" / "weights"

    def write_spec(self) -> None:
        """Brings the package's `model.mlmodel` up to date."""
        (self.package / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(self.spec.SerializeToString(deterministic=True))


def _requested_outputs(program: ExportedProgram, options: Options) -> list[ct.TensorType] | None:
    """float32 outputs stay float32.

    From iOS 16 on, coremltools turns them into float16 in a float16 program, which would make the delegate convert every result.
    """
    if not options.targets(ct.target.iOS16) or options.compute_precision != ct.precision.FLOAT16:
        return None
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    outputs = []
    for spec in program.graph_signature.output_specs:
        if spec.kind != OutputKind.USER_OUTPUT:
            continue
        value = values.get(getattr(spec.arg, "name", None))
        if not isinstance(value, torch.Tensor):
            return None
        outputs.append(ct.TensorType(dtype=ct.converters.mil.mil.types.fp32 if value.dtype == torch.float32 else None))
    return outputs


def _check_enumerated(inputs: list[ct.TensorType], options: Options) -> None:
    enumerated = sum(isinstance(i.shape, ct.EnumeratedShapes) for i in inputs)
    if enumerated > 1 and not options.targets(ct.target.iOS18):
        raise ValueError(
            f"Your program has {enumerated} enumerated inputs, but minimum_deployment_target is {options.deployment_target}. "
            "Multiple enumerated inputs requires iOS18 or later."
        )


def _ranged_inputs(program: ExportedProgram) -> list[ct.TensorType] | None:
    """Inputs whose dynamic extents start at 1 where torch.export says 2; None when no input is like that.

    torch.export specialises on 0 and 1, so that `Dim("n", min=1)` has the lower bound 2: the program is right for 1 all the same.
    """
    from coremltools.converters.mil.frontend.torch import exir_utils

    inputs = exir_utils.extract_io_from_exir_program(program)[0]
    changed = False
    for tensor in inputs:
        for extent in tensor.shape.shape:
            if isinstance(extent, ct.RangeDim) and extent.lower_bound == 2:
                extent.lower_bound = 1
                changed = True
    return inputs if changed else None


def _debug_map(program: mil.Program) -> dict[Any, Any] | None:
    source = ct.converters.mil.mil.scope.ScopeSource.EXIR_DEBUG_HANDLE
    if any(source not in f._essential_scope_sources for f in program.functions.values()):
        return None
    try:
        mapping = program.construct_debug_handle_to_ops_mapping()
    except NotImplementedError:
        # coremltools maps no program with control flow; the model is none the worse.
        return None
    return mapping or None


def convert(program: ExportedProgram, options: Options, *, folder: Path, name: str = "converted") -> ConvertedModel:
    """Converts a partition, whose graph it may change. Writes `folder/name.mlpackage` and temporary files, all below `folder`.

    Raises:
        ValueError: the options do not go together, coremltools rejects the program, or makes a model of other inputs and outputs.
        NotImplementedError: coremltools has no conversion for an op.
    """
    constants.separate(program)
    states.separate_names(program)
    states.read_as_declared(program)
    rewrite(program.graph)
    inputs = None
    if options.enumerated_shapes is not None:
        inputs = options.enumerated_shapes.coreml_inputs(program)
        _check_enumerated(inputs, options)
    islands = Float32Islands(options.float32_ops, program)
    ranged_inputs, outputs = inputs or _ranged_inputs(program), _requested_outputs(program, options)
    compressions = compressed_weights.of(program)
    constants.widen(program)
    node_conversion.prepare(program.graph, options.guarded)
    with coremltools_driver.exclusive():
        model = coremltools_driver.convert(
            program,
            folder / f"{name}.mlpackage",
            pipeline=options.pass_pipeline(),
            target=options.deployment_target,
            inputs=ranged_inputs,
            outputs=outputs,
            in_float16=islands.selector() if options.float32_ops else None,
            compressions=compressions,
        )
        pruned = options.pruner_config is not None
        if options.pruner_config is not None:
            model = weight_compression.prune(model, options.pruner_config, folder / f"{name}_pruned.mlpackage")
        if islands.unmatched():
            logger.info(
                "float32_ops: no op and no node of this partition has the name %s.", ", ".join(map(repr, islands.unmatched()))
            )
        if options.quantizer_config is not None:
            logger.warning("Core ML Backend op_linear_quantizer_config API is experimental")
            model = weight_compression.quantize(
                model, options.quantizer_config, folder / f"{name}_quantized.mlpackage", pruned=pruned
            )
        if options.palettizer_config is not None:
            model = weight_compression.palettize(
                model, options.palettizer_config, folder / f"{name}_palettized.mlpackage", pruned=pruned
            )
        make_outputs_distinct(model.spec)
        border_check.check(program, model.spec)
        return ConvertedModel(spec=model.spec, package=model.package, debug_map=_debug_map(model.program))
