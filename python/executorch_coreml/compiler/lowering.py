"""One partition, from edge program to PreprocessResult."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from coremltools.proto import Model_pb2
from executorch.exir.backend.backend_details import PreprocessResult
from torch.export.exported_program import ExportedProgram

from executorch_coreml import blob
from executorch_coreml.compiler import control_flow, delivery, derived_extents, stock_format
from executorch_coreml.compiler.compile_options import BlobFormat, ModelType, Options
from executorch_coreml.compiler.conversion import ConvertedModel, convert
from executorch_coreml.compiler.progress import stage
from executorch_coreml.compiler.signature import describe_function
from executorch_coreml.compiler.states import describe_states, mutated_buffers

logger = logging.getLogger("executorch.backends.apple.coreml.compiler.coreml_preprocess")


def check_description(spec: Model_pb2.Model) -> None:
    """Refuses models that Core ML cannot run.

    Raises ValueError, naming the option to change.
    """
    if not spec.description.output:
        raise ValueError("Cannot lower a model with no outputs in CoreML.")
    if not spec.description.input and spec.specificationVersion < 9:
        raise ValueError(
            "Deploying a model with no inputs in CoreML requires you set minimum_deployment_target to iOS18 or later in the "
            "CoreMLPartitioner."
        )


def describe(
    program: ExportedProgram, converted: ConvertedModel, options: Options, *, function: str, method: str
) -> tuple[blob.Function, list[blob.File]]:
    """The function of a model that has one, and the files with its states' initial values."""
    description = converted.spec.description
    states, files = describe_states(program, list(description.state))
    described = describe_function(
        program,
        name=function,
        method=method,
        input_names=[feature.name for feature in description.input],
        output_names=[feature.name for feature in description.output],
        states=states,
        enumerated=options.enumerated_shapes,
    )
    return described, files


def _log_buffers(program: ExportedProgram) -> None:
    wide = [name for name, value in mutated_buffers(program).items() if value.element_size() > 2]
    if wide:
        logger.info("Core ML states are float16: the mutable buffers %s lose precision.", ", ".join(wide))


def lower_partition(program: ExportedProgram, options: Options, *, method: str) -> PreprocessResult | delivery.Packed:
    """Lowers one partition, in the stock format to the end. No temporary file outlives the call, except weights that the result owns."""
    if options.model_type == ModelType.COMPILED_MODEL:
        delivery.refuse_to_compile_off_macos()
    if options.blob_format == BlobFormat.INMEMORYFS:
        stock_format.refuse_initial_values(program)
    _log_buffers(program)
    with tempfile.TemporaryDirectory(prefix="coreml_delegate_") as folder:
        with stage(f"converting {method or 'a partition'} ({len(program.graph.nodes)} nodes)"), derived_extents.ranged(program):
            control_flow.prepare(program.graph_module, options.guarded)
            converted = convert(program, options, folder=Path(folder))
        check_description(converted.spec)
        logger.info(
            "The partition has Core ML specification version %d; see https://apple.github.io/coremltools/mlmodel/Format/Model.html#model for "
            "the systems it runs on, and minimum_deployment_target for changing it.",
            converted.spec.specificationVersion,
        )
        function, state_files = describe(program, converted, options, function="main", method=method)
        if options.blob_format == BlobFormat.INMEMORYFS:
            return stock_format.pack(converted, function, options, Path(folder))
        weights = delivery.Weights()
        with stage(f"packing {method or 'a partition'}"):
            content = delivery.make_blob(converted, functions=[function], state_files=state_files, options=options, weights=weights)
            return delivery.Packed(content, weights, options, (method,), {method: delivery.debug_handle_map(converted)})


def finish(lowered: Sequence[PreprocessResult | delivery.Packed], *, separate: bool) -> list[PreprocessResult]:
    """The results of all partitions of one lowering; see delivery.deliver."""
    packed = [one for one in lowered if isinstance(one, delivery.Packed)]
    delivered = iter(delivery.deliver(packed, separate=separate))
    return [next(iter(next(delivered).values())) if isinstance(one, delivery.Packed) else one for one in lowered]
