"""`CoreMLBackend`: compiles the partitions that `CoreMLPartitioner` made to Core ML models in blobs."""

from __future__ import annotations

import copy
import logging
import tempfile
from pathlib import Path
from typing import final

import coremltools as ct
from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult
from executorch.exir.backend.compile_spec_schema import CompileSpec
from torch.export.exported_program import ExportedProgram

from executorch_coreml.blob.stock import (
    MODEL_PATHS,
    MethodMetadata,
    ModelDebugInfo,
    ModelMetadata,
    MultifunctionModelMetadata,
)
from executorch_coreml.compiler import multimethod, stock_format
from executorch_coreml.compiler.compile_options import (
    COMPILE_SPEC_KEYS,
    MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    BlobFormat,
    ModelType,
    Options,
)
from executorch_coreml.compiler.compile_specs import CompileSpecs
from executorch_coreml.compiler.lowering import finish, lower_partition
from executorch_coreml.logging import get_coreml_log_level

__all__ = [
    "COMPILE_SPEC_KEYS",
    "MODEL_PATHS",
    "MULTIMETHOD_WEIGHT_SHARING_STRATEGY",
    "BlobFormat",
    "CoreMLBackend",
    "MethodMetadata",
    "ModelDebugInfo",
    "ModelMetadata",
    "ModelType",
    "MultifunctionModelMetadata",
    "Options",
]

logger = logging.getLogger("executorch.backends.apple.coreml.compiler.coreml_preprocess")
logger.setLevel(get_coreml_log_level(default_level=logging.WARNING))


@final
class CoreMLBackend(CompileSpecs, BackendDetails):
    """The delegate's ahead-of-time half. ExecuTorch finds it by its name, which is also the backend id in a .pte."""

    @classmethod
    def copy_exported_program_for_preprocess(
        cls, edge_program: ExportedProgram, compile_specs: list[CompileSpec]
    ) -> ExportedProgram:
        """A program whose graph may be changed. Weights are shared, not copied: nothing here writes to them."""
        shared = (*edge_program.state_dict.values(), *edge_program.constants.values())
        return copy.deepcopy(edge_program, {id(value): value for value in shared})

    @staticmethod
    def preprocess(edge_program: ExportedProgram, compile_specs: list[CompileSpec]) -> PreprocessResult:
        """Compiles one partition.

        Raises:
            ValueError: the compile specs do not go together, or the partition cannot be expressed for its deployment target.
            NotImplementedError: coremltools has no conversion for an op of the partition.
        """
        # Not formatted unless it is logged: a program's text can be larger than the program.
        logger.info("Edge program: %s", edge_program)
        (result,) = finish([lower_partition(edge_program, Options.parse(compile_specs), method="")], separate=False)
        return result

    @classmethod
    def preprocess_multimethod(
        cls,
        edge_programs: dict[str, list[ExportedProgram]],
        compile_specs: dict[str, list[list[CompileSpec]]],
    ) -> dict[str, list[PreprocessResult]]:
        """Compiles the partitions of every method.

        Weight sharing: MULTIMETHOD_WEIGHT_SHARING_STRATEGY says what each strategy does.

        Raises:
            ValueError: also when POSITIONAL is asked for and methods have different numbers of partitions.
        """
        options = {method: [Options.parse(specs) for specs in compile_specs[method]] for method in edge_programs}
        return multimethod.lower_methods(edge_programs, options)

    @staticmethod
    def preprocess_model(mlmodel: ct.models.MLModel, model_type: ModelType) -> PreprocessResult:
        """Packs a model that was converted elsewhere, in the stock format, which needs no ExecuTorch dtypes."""
        with tempfile.TemporaryDirectory(prefix="coreml_delegate_") as folder:
            return stock_format.pack_model(mlmodel, model_type, Path(folder))
