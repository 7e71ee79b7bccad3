"""The options of lowering: one table, from which compile specs are made and read.

A compile spec is an option as ExecuTorch carries it, a key and bytes. Keys and encodings are those of the stock package, plus `blob_format`,
`device_guards` and `float32_ops`. `Options` is all of them parsed, once.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import coremltools as ct
import coremltools.optimize as cto
from executorch.exir.backend.compile_spec_schema import CompileSpec

from executorch_coreml.compiler import passes, weight_compression
from executorch_coreml.compiler.correction_table import EVERYWHERE, OnDevices
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
    DEVICE_GUARDS = "device_guards"
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


Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class CompileOption(Generic[Value]):
    """One option of lowering: its key, what it is when nobody asks for it, and its two translations to and from a spec's text."""

    key: COMPILE_SPEC_KEYS
    default: Value
    encode: Callable[[Any], str]
    # Raises ValueError or KeyError for a text that is no value of this option.
    parse: Callable[[str], Value]

    def spec(self, value: Any) -> CompileSpec:
        return CompileSpec(self.key.value, self.encode(value).encode("utf-8"))

    def of(self, compile_specs: Sequence[CompileSpec]) -> Value:
        """The value of the first spec with this key, or the default. Raises ValueError, which names the option, for a value that is none."""
        for spec in compile_specs:
            if spec.key != self.key.value:
                continue
            value = bytes(spec.value)
            try:
                return self.parse(value.decode("utf-8"))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"the compile spec {self.key.value} cannot be {value[:200]!r}: {error}") from error
        return self.default


def _choice(key: COMPILE_SPEC_KEYS, default: Any, kind: type[enum.Enum]) -> CompileOption[Any]:
    """An option whose spec is the value of an enumeration's member."""

    def parse(text: str) -> enum.Enum:
        if text not in (allowed := [str(member.value) for member in kind]):
            raise ValueError(f"it must be one of {', '.join(allowed)}")
        return kind(text)

    return CompileOption(key, default, lambda value: str(kind(value).value), parse)


def _compute_unit(text: str) -> ct.ComputeUnit:
    if text.upper() not in ct.ComputeUnit.__members__:
        raise ValueError(f"it must be one of {', '.join(name.lower() for name in ct.ComputeUnit.__members__)}")
    return ct.ComputeUnit[text.upper()]


def _names(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("it must be a JSON list of names")
    return tuple(names)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("it must be true or false")
    return text == "true"


def _configuration(key: COMPILE_SPEC_KEYS, check: Callable[[str, dict[str, Any]], Any]) -> CompileOption[Any]:
    """An option whose spec is a dictionary of fields, as JSON."""

    def encode(fields: dict[str, Any]) -> str:
        check(key.value, fields)
        return json.dumps(fields)

    return CompileOption(key, None, encode, lambda text: check(key.value, json.loads(text)))


def _linear_quantizer(name: str, fields: dict[str, Any]) -> cto.coreml.OpLinearQuantizerConfig:
    return weight_compression.parse(name, cto.coreml.OpLinearQuantizerConfig, fields)


def _palettizer(name: str, fields: dict[str, Any]) -> cto.coreml.OpPalettizerConfig:
    return weight_compression.parse(name, cto.coreml.OpPalettizerConfig, fields)


# The option behind each field of `Options`, by the field's name.
OPTIONS: dict[str, CompileOption[Any]] = {
    "compute_unit": CompileOption(
        COMPILE_SPEC_KEYS.COMPUTE_UNITS, ct.ComputeUnit.ALL, lambda unit: str(unit.name).lower(), _compute_unit
    ),
    "deployment_target": CompileOption(
        COMPILE_SPEC_KEYS.MIN_DEPLOYMENT_TARGET,
        None,
        lambda target: "" if target is None else str(target.value),
        lambda text: ct.target(int(text)) if text else None,
    ),
    "compute_precision": _choice(COMPILE_SPEC_KEYS.MODEL_COMPUTE_PRECISION, ct.precision.FLOAT16, ct.precision),
    "model_type": _choice(COMPILE_SPEC_KEYS.MODEL_TYPE, ModelType.MODEL, ModelType),
    "blob_format": _choice(COMPILE_SPEC_KEYS.BLOB_FORMAT, BlobFormat.BOTH, BlobFormat),
    "quantizer_config": _configuration(COMPILE_SPEC_KEYS.OP_LINEAR_QUANTIZER_CONFIG, _linear_quantizer),
    "palettizer_config": _configuration(COMPILE_SPEC_KEYS.OP_PALETTIZER_CONFIG, _palettizer),
    "pruner_config": _configuration(COMPILE_SPEC_KEYS.OP_PRUNER_CONFIG, weight_compression.parse_pruner),
    "enumerated_shapes": CompileOption(
        COMPILE_SPEC_KEYS.ENUMERATED_SHAPES, None, EnumeratedShapes.to_json, EnumeratedShapes.from_json
    ),
    "pass_names": CompileOption(COMPILE_SPEC_KEYS.PASS_PIPELINE, None, lambda names: json.dumps(list(names)), _names),
    "weight_sharing": _choice(COMPILE_SPEC_KEYS.MULTIMETHOD_WEIGHT_SHARING_STRATEGY, None, MULTIMETHOD_WEIGHT_SHARING_STRATEGY),
    "device_guards": CompileOption(COMPILE_SPEC_KEYS.DEVICE_GUARDS, True, lambda value: "true" if value else "false", _truth),
    "float32_ops": CompileOption(COMPILE_SPEC_KEYS.FLOAT32_OPS, (), lambda entries: json.dumps(list(entries)), _names),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Compile specs, parsed. Each field is a row of `OPTIONS`."""

    compute_unit: ct.ComputeUnit
    # None lets coremltools choose: iOS 15, and more where the compression of weights needs more.
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
    device_guards: bool
    float32_ops: tuple[str, ...]

    @classmethod
    def parse(cls, compile_specs: Sequence[CompileSpec]) -> Options:
        """Raises ValueError for a value that is none of its option's, for options that exclude each other, and for weight compression that needs
        a higher deployment target.
        """
        options = cls(**{name: option.of(compile_specs) for name, option in OPTIONS.items()})
        if options.float32_ops and options.compute_precision != ct.precision.FLOAT16:
            raise ValueError(
                "float32_ops keeps ops of a float16 program in float32, but compute_precision is already FLOAT32. "
                "Leave out float32_ops, or use compute_precision=ct.precision.FLOAT16."
            )
        weight_compression.check(
            options.quantizer_config, options.palettizer_config, options.pruner_config, options.deployment_target
        )
        return options

    @property
    def guarded(self) -> frozenset[OnDevices]:
        """Which rows about devices hold."""
        if not self.device_guards:
            return frozenset()
        return EVERYWHERE if self.compute_precision == ct.precision.FLOAT16 else frozenset({OnDevices.ANY})

    def targets(self, target: ct.target) -> bool:
        """Whether the deployment target is at least this one. The default target is iOS 15."""
        return bool((self.deployment_target or ct.target.iOS15) >= target)

    def pass_pipeline(self) -> ct.PassPipeline:
        """A new pipeline, with our own passes in it: conversion changes it."""
        return passes.pipeline(self.pass_names, self.compute_precision)
