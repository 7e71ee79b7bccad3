"""The factories and parsers of compile specs, by the stock package's names."""

from __future__ import annotations

from typing import Any, TypeAlias

import coremltools as ct
import coremltools.optimize as cto
from executorch.exir.backend.compile_spec_schema import CompileSpec
from torch.export.exported_program import ExportedProgram

from executorch_coreml.compiler import weight_compression
from executorch_coreml.compiler.compile_options import (
    MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    OPTIONS,
    BlobFormat,
    ModelType,
)
from executorch_coreml.compiler.enumerated_shape_utils import EnumeratedShapes


class CompileSpecs:
    """The factories and parsers of compile specs, as static methods of `CoreMLBackend`."""

    MODEL_TYPE: TypeAlias = ModelType
    BLOB_FORMAT: TypeAlias = BlobFormat

    @staticmethod
    def generate_model_type_compile_spec(model_type: ModelType) -> CompileSpec:
        """Says whether the model is delivered as a package, or compiled. Compiling needs macOS."""
        return OPTIONS["model_type"].spec(model_type)

    @staticmethod
    def model_type_from_compile_specs(compile_specs: list[CompileSpec]) -> ModelType:
        """Returns the model type; MODEL by default."""
        return OPTIONS["model_type"].of(compile_specs)

    @staticmethod
    def generate_compute_precision_compile_spec(compute_precision: ct.precision) -> CompileSpec:
        """Sets the precision of weights and activations, as in `coremltools.precision`."""
        return OPTIONS["compute_precision"].spec(compute_precision)

    @staticmethod
    def model_compute_precision_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.precision:
        """Returns the precision; FLOAT16 by default."""
        return OPTIONS["compute_precision"].of(compile_specs)

    @staticmethod
    def generate_minimum_deployment_target_compile_spec(min_deployment_target: ct.target | None) -> CompileSpec:
        """Sets the oldest system that the model is for, as in `coremltools.target`. None lets coremltools choose (iOS 15)."""
        return OPTIONS["deployment_target"].spec(min_deployment_target)

    @staticmethod
    def min_deployment_target_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.target | None:
        """Returns the deployment target, or None."""
        return OPTIONS["deployment_target"].of(compile_specs)

    @staticmethod
    def generate_compute_unit_compile_spec(compute_unit: ct.ComputeUnit) -> CompileSpec:
        """Sets the processors that the model may run on, as in `coremltools.ComputeUnit`. The runtime reads this option."""
        return OPTIONS["compute_unit"].spec(compute_unit)

    @staticmethod
    def compute_unit_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.ComputeUnit:
        """Returns the compute unit; ALL by default."""
        return OPTIONS["compute_unit"].of(compile_specs)

    @staticmethod
    def generate_op_linear_quantizer_config_compile_spec(op_linear_quantizer_config: dict[str, Any]) -> CompileSpec:
        """Has the weights quantized after the conversion. The fields are those of `coremltools.optimize.coreml.OpLinearQuantizerConfig`.

        Raises ValueError if that class has no such field, or the field no such value. So do the two factories below.
        """
        return OPTIONS["quantizer_config"].spec(op_linear_quantizer_config)

    @staticmethod
    def op_linear_quantizer_config_from_compile_specs(
        compile_specs: list[CompileSpec],
    ) -> cto.coreml.OpLinearQuantizerConfig | None:
        """Returns the quantizer configuration, or None."""
        return OPTIONS["quantizer_config"].of(compile_specs)

    @staticmethod
    def generate_op_palettizer_config_compile_spec(op_palettizer_config: dict[str, Any]) -> CompileSpec:
        """Has the weights palettized after the conversion. The fields are those of `coremltools.optimize.coreml.OpPalettizerConfig`."""
        return OPTIONS["palettizer_config"].spec(op_palettizer_config)

    @staticmethod
    def op_palettizer_config_from_compile_specs(compile_specs: list[CompileSpec]) -> cto.coreml.OpPalettizerConfig | None:
        """Returns the palettizer configuration, or None."""
        return OPTIONS["palettizer_config"].of(compile_specs)

    @staticmethod
    def generate_op_pruner_config_compile_spec(op_pruner_config: dict[str, Any]) -> CompileSpec:
        """Has the weights pruned after the conversion. The fields are those of `coremltools.optimize.coreml.OpMagnitudePrunerConfig` or, if
        "threshold" is one of them, of `OpThresholdPrunerConfig`."""
        return OPTIONS["pruner_config"].spec(op_pruner_config)

    @staticmethod
    def op_pruner_config_from_compile_specs(compile_specs: list[CompileSpec]) -> weight_compression.PrunerConfig | None:
        """Returns the pruner configuration, or None."""
        return OPTIONS["pruner_config"].of(compile_specs)

    @staticmethod
    def generate_pass_pipeline_compile_spec(pass_names: list[str]) -> CompileSpec:
        """Names the MIL passes to run instead of coremltools' default pipeline."""
        return OPTIONS["pass_names"].spec(pass_names)

    @staticmethod
    def pass_pipeline_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.PassPipeline:
        """Returns the pass pipeline, coremltools' by default. It is a new object each time, because a conversion changes it."""
        names = OPTIONS["pass_names"].of(compile_specs)
        if names is None:
            return ct.PassPipeline.DEFAULT
        return ct.PassPipeline(list(names), pipeline_name="executorch_user_pipeline")

    @staticmethod
    def generate_multimethod_weight_sharing_strategy_compile_spec(
        strategy: MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    ) -> CompileSpec:
        """Sets how the methods of one program share weights. The option is read from the first partition of the first method."""
        return OPTIONS["weight_sharing"].spec(strategy)

    @staticmethod
    def multimethod_weight_sharing_strategy_from_compile_specs(
        compile_specs: list[CompileSpec],
    ) -> MULTIMETHOD_WEIGHT_SHARING_STRATEGY:
        """Returns the strategy. It is POSITIONAL if there is none, as in the stock package; `Options` tells the two apart."""
        return OPTIONS["weight_sharing"].of(compile_specs) or MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL

    @staticmethod
    def generate_enumerated_shapes_compile_spec(ep: ExportedProgram, enumerated_shapes: dict[str, list[list[int]]]) -> CompileSpec:
        """Sets the shapes that each dynamic input may have.

        `{"x": [[1, 1, 24], [8, 9, 24]], "y": [[1, 6], [30, 6]]}` means that x and y together have the first or the second shape of their
        lists. More than one enumerated input needs iOS 18. The partitioner needs `lower_full_graph=True`.
        """
        return OPTIONS["enumerated_shapes"].spec(EnumeratedShapes.from_program(ep, enumerated_shapes))

    @staticmethod
    def enumerated_shapes_from_compile_specs(compile_specs: list[CompileSpec]) -> EnumeratedShapes | None:
        """Returns the enumerated shapes, or None."""
        return OPTIONS["enumerated_shapes"].of(compile_specs)

    @staticmethod
    def generate_blob_format_compile_spec(blob_format: BlobFormat | str) -> CompileSpec:
        """Sets the format of the delegate's bytes in the .pte."""
        return OPTIONS["blob_format"].spec(blob_format)

    @staticmethod
    def blob_format_from_compile_specs(compile_specs: list[CompileSpec]) -> BlobFormat:
        """Returns the format; BOTH by default."""
        return OPTIONS["blob_format"].of(compile_specs)

    @staticmethod
    def generate_device_guards_compile_spec(device_guards: bool) -> CompileSpec:
        """Says whether the rules hold that are there because of what devices compute. docs/lowering.md lists them."""
        return OPTIONS["device_guards"].spec(device_guards)

    @staticmethod
    def device_guards_from_compile_specs(compile_specs: list[CompileSpec]) -> bool:
        """Returns whether these rules hold, which they do by default."""
        return bool(OPTIONS["device_guards"].of(compile_specs))

    @staticmethod
    def generate_float32_ops_compile_spec(float32_ops: list[str]) -> CompileSpec:
        """Names the ops of a float16 program that compute in float32, by op, module or class. islands.py says how entries are written."""
        return OPTIONS["float32_ops"].spec(float32_ops)

    @staticmethod
    def float32_ops_from_compile_specs(compile_specs: list[CompileSpec]) -> list[str]:
        """Returns the entries; none by default."""
        return list(OPTIONS["float32_ops"].of(compile_specs))

    @staticmethod
    def generate_compile_specs(
        compute_unit: ct.ComputeUnit = ct.ComputeUnit.ALL,
        minimum_deployment_target: ct.target | None = None,
        compute_precision: ct.precision = ct.precision.FLOAT16,
        model_type: ModelType = ModelType.MODEL,
        op_linear_quantizer_config: dict[str, Any] | None = None,
        pass_names: list[str] | None = None,
        blob_format: BlobFormat | str | None = None,
        op_palettizer_config: dict[str, Any] | None = None,
        op_pruner_config: dict[str, Any] | None = None,
        float32_ops: list[str] | None = None,
        device_guards: bool | None = None,
    ) -> list[CompileSpec]:
        """Makes compile specs of all options at once, for the argument `compile_specs` of `CoreMLPartitioner`. None leaves an option out."""
        always = {
            "compute_unit": compute_unit,
            "deployment_target": minimum_deployment_target,
            "compute_precision": compute_precision,
            "model_type": model_type,
        }
        given = {
            "quantizer_config": op_linear_quantizer_config,
            "pass_names": pass_names,
            "blob_format": blob_format,
            "palettizer_config": op_palettizer_config,
            "pruner_config": op_pruner_config,
            "device_guards": device_guards,
            "float32_ops": float32_ops,
        }
        chosen = always | {name: value for name, value in given.items() if value is not None}
        return [OPTIONS[name].spec(value) for name, value in chosen.items()]
