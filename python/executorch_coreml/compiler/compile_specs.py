"""Compile specs: the options of lowering as ExecuTorch carries them, key and bytes.

Names, keys and encodings are those of the stock package, plus `blob_format`. `Options` is all of them parsed, once.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import coremltools as ct
import coremltools.optimize as cto
from executorch.exir.backend.compile_spec_schema import CompileSpec
from torch.export.exported_program import ExportedProgram

from executorch_coreml.compiler import passes, weight_compression
from executorch_coreml.compiler.enumerated_shape_utils import EnumeratedShapes


class COMPILE_SPEC_KEYS(enum.Enum):
    COMPUTE_UNITS = "compute_units"
    MODEL_TYPE = "model_type"
    MIN_DEPLOYMENT_TARGET = "min_deployment_target"
    MODEL_COMPUTE_PRECISION = "model_compute_precision"
    OP_LINEAR_QUANTIZER_CONFIG = "op_linear_quantizer_config"
    OP_PALETTIZER_CONFIG = "op_palettizer_config"
    OP_PRUNER_CONFIG = "op_pruner_config"
    ENUMERATED_SHAPES = "enumerated_shapes"
    PASS_PIPELINE = "pass_pipeline"
    MULTIMETHOD_WEIGHT_SHARING_STRATEGY = "multimethod_weight_sharing_strategy"
    BLOB_FORMAT = "blob_format"
    FLOAT32_OPS = "float32_ops"


class MULTIMETHOD_WEIGHT_SHARING_STRATEGY(enum.Enum):
    """How the methods of one program share weights.

    When no strategy is given, weight files that are identical are stored once, whatever the deployment target.
    """

    # Every method and partition carries its own weights.
    DISABLED = "disabled"
    # The partitions at one position of every method become one multi-function model (iOS 18 and later) whose functions share weights.
    # Methods with different numbers of partitions are an error.
    POSITIONAL = "positional"


class ModelType(enum.Enum):
    # An .mlpackage.
    MODEL = "model"
    # An .mlmodelc, compiled by Core ML; can be made on macOS only.
    COMPILED_MODEL = "compiled_model"


class BlobFormat(enum.Enum):
    # docs/blob_format.md: a blob that this project's runtime and ExecuTorch's stock one read. What the stock form cannot carry makes it one
    # for this project's runtime alone, which is logged.
    BOTH = "both"
    # For this project's runtime alone: the weights are named data of the program and stay on disk while it is written.
    COREML_BLOB = "coreml_blob"
    # The flattened directory that the stock runtime reads, for apps that link that runtime.
    INMEMORYFS = "inmemoryfs"


def find(compile_specs: Sequence[CompileSpec], key: COMPILE_SPEC_KEYS) -> str | None:
    """The value of the first spec with this key, or None."""
    for spec in compile_specs:
        if spec.key == key.value:
            return bytes(spec.value).decode("utf-8")
    return None


def _spec(key: COMPILE_SPEC_KEYS, value: str) -> CompileSpec:
    return CompileSpec(key.value, value.encode("utf-8"))


class CompileSpecs:
    """The factories and parsers of compile specs, as static methods of `CoreMLBackend`."""

    MODEL_TYPE: TypeAlias = ModelType
    BLOB_FORMAT: TypeAlias = BlobFormat

    @staticmethod
    def generate_model_type_compile_spec(model_type: ModelType) -> CompileSpec:
        """Whether the package is delivered as it is or compiled. Compiling needs macOS."""
        return _spec(COMPILE_SPEC_KEYS.MODEL_TYPE, model_type.value)

    @staticmethod
    def model_type_from_compile_specs(compile_specs: list[CompileSpec]) -> ModelType:
        """The model type asked for; MODEL by default."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.MODEL_TYPE)
        return ModelType.MODEL if value is None else ModelType(value)

    @staticmethod
    def generate_compute_precision_compile_spec(compute_precision: ct.precision) -> CompileSpec:
        """The precision of weights and activations, as in `coremltools.precision`."""
        return _spec(COMPILE_SPEC_KEYS.MODEL_COMPUTE_PRECISION, compute_precision.value)

    @staticmethod
    def model_compute_precision_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.precision:
        """The precision asked for; FLOAT16 by default."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.MODEL_COMPUTE_PRECISION)
        return ct.precision.FLOAT16 if value is None else ct.precision(value)

    @staticmethod
    def generate_minimum_deployment_target_compile_spec(min_deployment_target: ct.target | None) -> CompileSpec:
        """The oldest system the model is for, as in `coremltools.target`; None lets coremltools choose (iOS 15)."""
        value = "" if min_deployment_target is None else str(min_deployment_target.value)
        return _spec(COMPILE_SPEC_KEYS.MIN_DEPLOYMENT_TARGET, value)

    @staticmethod
    def min_deployment_target_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.target | None:
        """The deployment target asked for, or None."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.MIN_DEPLOYMENT_TARGET)
        return ct.target(int(value)) if value else None

    @staticmethod
    def generate_compute_unit_compile_spec(compute_unit: ct.ComputeUnit) -> CompileSpec:
        """The processors the model may run on, as in `coremltools.ComputeUnit`. The runtime reads it."""
        return _spec(COMPILE_SPEC_KEYS.COMPUTE_UNITS, compute_unit.name.lower())

    @staticmethod
    def compute_unit_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.ComputeUnit:
        """The compute unit asked for; ALL by default."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.COMPUTE_UNITS)
        return ct.ComputeUnit.ALL if value is None else ct.ComputeUnit[value.upper()]

    @staticmethod
    def generate_op_linear_quantizer_config_compile_spec(op_linear_quantizer_config: dict[str, Any]) -> CompileSpec:
        """Quantization of weights after conversion: the fields of `coremltools.optimize.coreml.OpLinearQuantizerConfig`.

        Raises ValueError for fields or values that it does not have; so do the two factories below.
        """
        weight_compression.parse("op_linear_quantizer_config", cto.coreml.OpLinearQuantizerConfig, op_linear_quantizer_config)
        return _spec(COMPILE_SPEC_KEYS.OP_LINEAR_QUANTIZER_CONFIG, json.dumps(op_linear_quantizer_config))

    @staticmethod
    def op_linear_quantizer_config_from_compile_specs(
        compile_specs: list[CompileSpec],
    ) -> cto.coreml.OpLinearQuantizerConfig | None:
        """The quantizer configuration asked for, or None."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.OP_LINEAR_QUANTIZER_CONFIG)
        return None if value is None else cto.coreml.OpLinearQuantizerConfig._from_dict(json.loads(value))

    @staticmethod
    def generate_op_palettizer_config_compile_spec(op_palettizer_config: dict[str, Any]) -> CompileSpec:
        """Palettization of weights after conversion: the fields of `coremltools.optimize.coreml.OpPalettizerConfig`."""
        weight_compression.parse("op_palettizer_config", cto.coreml.OpPalettizerConfig, op_palettizer_config)
        return _spec(COMPILE_SPEC_KEYS.OP_PALETTIZER_CONFIG, json.dumps(op_palettizer_config))

    @staticmethod
    def op_palettizer_config_from_compile_specs(compile_specs: list[CompileSpec]) -> cto.coreml.OpPalettizerConfig | None:
        """The palettizer configuration asked for, or None."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.OP_PALETTIZER_CONFIG)
        return None if value is None else cto.coreml.OpPalettizerConfig._from_dict(json.loads(value))

    @staticmethod
    def generate_op_pruner_config_compile_spec(op_pruner_config: dict[str, Any]) -> CompileSpec:
        """Pruning of weights after conversion: the fields of `coremltools.optimize.coreml.OpMagnitudePrunerConfig`, or of
        `OpThresholdPrunerConfig` where they have "threshold"."""
        weight_compression.parse_pruner("op_pruner_config", op_pruner_config)
        return _spec(COMPILE_SPEC_KEYS.OP_PRUNER_CONFIG, json.dumps(op_pruner_config))

    @staticmethod
    def op_pruner_config_from_compile_specs(compile_specs: list[CompileSpec]) -> weight_compression.PrunerConfig | None:
        """The pruner configuration asked for, or None."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.OP_PRUNER_CONFIG)
        return None if value is None else weight_compression.parse_pruner("op_pruner_config", json.loads(value))

    @staticmethod
    def generate_pass_pipeline_compile_spec(pass_names: list[str]) -> CompileSpec:
        """The MIL passes to run, by name, instead of coremltools' default pipeline."""
        return _spec(COMPILE_SPEC_KEYS.PASS_PIPELINE, json.dumps(pass_names))

    @staticmethod
    def pass_pipeline_from_compile_specs(compile_specs: list[CompileSpec]) -> ct.PassPipeline:
        """The pass pipeline asked for, or coremltools' default. A new object each time: conversion changes it."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.PASS_PIPELINE)
        if value is None:
            return ct.PassPipeline.DEFAULT
        return ct.PassPipeline(json.loads(value), pipeline_name="executorch_user_pipeline")

    @staticmethod
    def generate_multimethod_weight_sharing_strategy_compile_spec(
        strategy: MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    ) -> CompileSpec:
        """How the methods of one program share weights. Read from the first method's first partition."""
        return _spec(COMPILE_SPEC_KEYS.MULTIMETHOD_WEIGHT_SHARING_STRATEGY, strategy.value)

    @staticmethod
    def multimethod_weight_sharing_strategy_from_compile_specs(
        compile_specs: list[CompileSpec],
    ) -> MULTIMETHOD_WEIGHT_SHARING_STRATEGY:
        """The strategy asked for. POSITIONAL when there is none, as in the stock package; `Options` tells the two apart."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.MULTIMETHOD_WEIGHT_SHARING_STRATEGY)
        if value is None:
            return MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL
        return MULTIMETHOD_WEIGHT_SHARING_STRATEGY(value)

    @staticmethod
    def generate_enumerated_shapes_compile_spec(ep: ExportedProgram, enumerated_shapes: dict[str, list[list[int]]]) -> CompileSpec:
        """The shapes that each dynamic input may have.

        `{"x": [[1, 1, 24], [8, 9, 24]], "y": [[1, 6], [30, 6]]}` means that x and y together have the first or the second shape of their
        lists. More than one enumerated input needs iOS 18. Needs `lower_full_graph=True` in the partitioner.
        """
        return _spec(COMPILE_SPEC_KEYS.ENUMERATED_SHAPES, EnumeratedShapes.from_program(ep, enumerated_shapes).to_json())

    @staticmethod
    def enumerated_shapes_from_compile_specs(compile_specs: list[CompileSpec]) -> EnumeratedShapes | None:
        """The enumerated shapes asked for, or None."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.ENUMERATED_SHAPES)
        return None if value is None else EnumeratedShapes.from_json(value)

    @staticmethod
    def generate_blob_format_compile_spec(blob_format: BlobFormat | str) -> CompileSpec:
        """The format of the delegate's bytes in the .pte."""
        return _spec(COMPILE_SPEC_KEYS.BLOB_FORMAT, BlobFormat(blob_format).value)

    @staticmethod
    def blob_format_from_compile_specs(compile_specs: list[CompileSpec]) -> BlobFormat:
        """The format asked for; BOTH by default."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.BLOB_FORMAT)
        return BlobFormat.BOTH if value is None else BlobFormat(value)

    @staticmethod
    def generate_float32_ops_compile_spec(float32_ops: list[str]) -> CompileSpec:
        """The ops of a float16 program that compute in float32, by op, module or class; islands.py says how entries are written."""
        return _spec(COMPILE_SPEC_KEYS.FLOAT32_OPS, json.dumps(list(float32_ops)))

    @staticmethod
    def float32_ops_from_compile_specs(compile_specs: list[CompileSpec]) -> list[str]:
        """The entries asked for; none by default."""
        value = find(compile_specs, COMPILE_SPEC_KEYS.FLOAT32_OPS)
        return [] if value is None else list(json.loads(value))

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
    ) -> list[CompileSpec]:
        """All options at once, as the `compile_specs` of `CoreMLPartitioner`."""
        specs = [
            CompileSpecs.generate_compute_unit_compile_spec(compute_unit),
            CompileSpecs.generate_minimum_deployment_target_compile_spec(minimum_deployment_target),
            CompileSpecs.generate_compute_precision_compile_spec(compute_precision),
            CompileSpecs.generate_model_type_compile_spec(model_type),
        ]
        if op_linear_quantizer_config is not None:
            specs.append(CompileSpecs.generate_op_linear_quantizer_config_compile_spec(op_linear_quantizer_config))
        if pass_names is not None:
            specs.append(CompileSpecs.generate_pass_pipeline_compile_spec(pass_names))
        if blob_format is not None:
            specs.append(CompileSpecs.generate_blob_format_compile_spec(blob_format))
        if op_palettizer_config is not None:
            specs.append(CompileSpecs.generate_op_palettizer_config_compile_spec(op_palettizer_config))
        if op_pruner_config is not None:
            specs.append(CompileSpecs.generate_op_pruner_config_compile_spec(op_pruner_config))
        if float32_ops is not None:
            specs.append(CompileSpecs.generate_float32_ops_compile_spec(float32_ops))
        return specs


@dataclasses.dataclass(frozen=True)
class Options:
    """Compile specs, parsed."""

    compute_unit: ct.ComputeUnit
    deployment_target: ct.target | None
    compute_precision: ct.precision
    model_type: ModelType
    blob_format: BlobFormat
    quantizer_config: cto.coreml.OpLinearQuantizerConfig | None
    palettizer_config: cto.coreml.OpPalettizerConfig | None
    pruner_config: weight_compression.PrunerConfig | None
    enumerated_shapes: EnumeratedShapes | None
    pass_names: tuple[str, ...] | None
    # None: the exporter asked for none.
    weight_sharing: MULTIMETHOD_WEIGHT_SHARING_STRATEGY | None
    float32_ops: tuple[str, ...] = ()

    @classmethod
    def parse(cls, compile_specs: Sequence[CompileSpec]) -> Options:
        """Raises ValueError for a value that is none of its option's, for options that exclude each other, and for weight compression that needs
        a higher deployment target.
        """
        specs = list(compile_specs)
        pass_names = find(specs, COMPILE_SPEC_KEYS.PASS_PIPELINE)
        sharing = find(specs, COMPILE_SPEC_KEYS.MULTIMETHOD_WEIGHT_SHARING_STRATEGY)
        options = cls(
            compute_unit=CompileSpecs.compute_unit_from_compile_specs(specs),
            deployment_target=CompileSpecs.min_deployment_target_from_compile_specs(specs),
            compute_precision=CompileSpecs.model_compute_precision_from_compile_specs(specs),
            model_type=CompileSpecs.model_type_from_compile_specs(specs),
            blob_format=CompileSpecs.blob_format_from_compile_specs(specs),
            quantizer_config=CompileSpecs.op_linear_quantizer_config_from_compile_specs(specs),
            palettizer_config=CompileSpecs.op_palettizer_config_from_compile_specs(specs),
            pruner_config=CompileSpecs.op_pruner_config_from_compile_specs(specs),
            enumerated_shapes=CompileSpecs.enumerated_shapes_from_compile_specs(specs),
            pass_names=None if pass_names is None else tuple(json.loads(pass_names)),
            weight_sharing=None if sharing is None else MULTIMETHOD_WEIGHT_SHARING_STRATEGY(sharing),
            float32_ops=tuple(CompileSpecs.float32_ops_from_compile_specs(specs)),
        )
        if options.float32_ops and options.compute_precision != ct.precision.FLOAT16:
            raise ValueError(
                "float32_ops keeps ops of a float16 program in float32, and compute_precision is FLOAT32 already. "
                "Leave float32_ops out, or use compute_precision=ct.precision.FLOAT16."
            )
        weight_compression.check(
            options.quantizer_config, options.palettizer_config, options.pruner_config, options.deployment_target
        )
        return options

    def targets(self, target: ct.target) -> bool:
        """Whether the deployment target is at least this one. The default target is iOS 15."""
        return bool((self.deployment_target or ct.target.iOS15) >= target)

    def pass_pipeline(self) -> ct.PassPipeline:
        """A new pipeline, with our own passes in it: conversion changes it."""
        return passes.pipeline(self.pass_names, self.compute_precision)
