"""Compile specs: keys and bytes are the stock package's, and every option comes back as it went in."""

from __future__ import annotations

import dataclasses
import enum

import coremltools as ct
import pytest
import torch
from aot_lowering import Unary, export
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler import passes as passes_of_ours
from executorch.backends.apple.coreml.compiler.compile_options import OPTIONS, CompileOption
from executorch.backends.apple.coreml.compiler.coreml_preprocess import (
    COMPILE_SPEC_KEYS,
    MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    Options,
)
from executorch.exir.backend.compile_spec_schema import CompileSpec
from torch.export import Dim


def test_keys():
    assert {key.name: key.value for key in COMPILE_SPEC_KEYS} == {
        "COMPUTE_UNITS": "compute_units",
        "MODEL_TYPE": "model_type",
        "MIN_DEPLOYMENT_TARGET": "min_deployment_target",
        "MODEL_COMPUTE_PRECISION": "model_compute_precision",
        "OP_LINEAR_QUANTIZER_CONFIG": "op_linear_quantizer_config",
        "OP_PALETTIZER_CONFIG": "op_palettizer_config",
        "OP_PRUNER_CONFIG": "op_pruner_config",
        "ENUMERATED_SHAPES": "enumerated_shapes",
        "PASS_PIPELINE": "pass_pipeline",
        "MULTIMETHOD_WEIGHT_SHARING_STRATEGY": "multimethod_weight_sharing_strategy",
        "BLOB_FORMAT": "blob_format",
        "DEVICE_GUARDS": "device_guards",
        "FLOAT32_OPS": "float32_ops",
    }


def test_all_options_as_bytes():
    specs = CoreMLBackend.generate_compile_specs(
        compute_unit=ct.ComputeUnit.CPU_AND_NE,
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        model_type=CoreMLBackend.MODEL_TYPE.COMPILED_MODEL,
        op_linear_quantizer_config={"mode": "linear_symmetric", "dtype": "int8"},
        pass_names=["common::const_elimination"],
        blob_format="inmemoryfs",
    )
    assert [(spec.key, bytes(spec.value)) for spec in specs] == [
        ("compute_units", b"cpu_and_ne"),
        ("min_deployment_target", b"8"),
        ("model_compute_precision", b"float32"),
        ("model_type", b"compiled_model"),
        ("op_linear_quantizer_config", b'{"mode": "linear_symmetric", "dtype": "int8"}'),
        ("pass_pipeline", b'["common::const_elimination"]'),
        ("blob_format", b"inmemoryfs"),
    ]
    options = Options.parse(specs)
    assert options.compute_unit == ct.ComputeUnit.CPU_AND_NE
    assert options.deployment_target == ct.target.iOS17
    assert options.compute_precision == ct.precision.FLOAT32
    assert options.model_type == CoreMLBackend.MODEL_TYPE.COMPILED_MODEL
    assert options.quantizer_config is not None
    assert options.quantizer_config.dtype == ct.converters.mil.mil.types.int8
    assert options.pass_pipeline().passes == ["common::const_elimination"]
    assert options.blob_format == CoreMLBackend.BLOB_FORMAT.INMEMORYFS


def test_defaults():
    for specs in ([], CoreMLBackend.generate_compile_specs()):
        options = Options.parse(specs)
        assert options.compute_unit == ct.ComputeUnit.ALL
        assert options.deployment_target is None
        assert options.compute_precision == ct.precision.FLOAT16
        assert options.model_type == CoreMLBackend.MODEL_TYPE.MODEL
        assert options.blob_format == CoreMLBackend.BLOB_FORMAT.BOTH
        assert options.quantizer_config is None
        assert options.enumerated_shapes is None
        assert options.weight_sharing is None
        passes = options.pass_pipeline().passes
        # coremltools' own, of which some run as ours of the same name, and some nowhere.
        own = [name for name in passes if name != "executorch::bound_float16_sentinels"]
        assert [f"common::{name.partition('::')[2]}" if "executorch" in name else name for name in own] == [
            name for name in ct.PassPipeline.DEFAULT.passes if name not in passes_of_ours.DROPPED
        ]
        assert sum(name.startswith("executorch::") for name in own) == sum(
            name in passes_of_ours.EXACT for name in ct.PassPipeline.DEFAULT.passes
        )
        # Just before the cast that it is about.
        assert passes[passes.index("executorch::bound_float16_sentinels") + 1] == "executorch::add_fp16_cast"
    assert [spec.key for spec in CoreMLBackend.generate_compile_specs()] == [
        "compute_units",
        "min_deployment_target",
        "model_compute_precision",
        "model_type",
    ]


def test_stock_parsers_give_their_defaults():
    assert CoreMLBackend.model_type_from_compile_specs([]) == CoreMLBackend.MODEL_TYPE.MODEL
    assert CoreMLBackend.model_compute_precision_from_compile_specs([]) == ct.precision.FLOAT16
    assert CoreMLBackend.min_deployment_target_from_compile_specs([]) is None
    assert CoreMLBackend.compute_unit_from_compile_specs([]) == ct.ComputeUnit.ALL
    assert CoreMLBackend.op_linear_quantizer_config_from_compile_specs([]) is None
    assert CoreMLBackend.pass_pipeline_from_compile_specs([]).passes == ct.PassPipeline.DEFAULT.passes
    assert CoreMLBackend.enumerated_shapes_from_compile_specs([]) is None
    assert (
        CoreMLBackend.multimethod_weight_sharing_strategy_from_compile_specs([]) == MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL
    )


@pytest.mark.parametrize("strategy", list(MULTIMETHOD_WEIGHT_SHARING_STRATEGY))
def test_weight_sharing_strategy(strategy):
    spec = CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(strategy)
    assert (spec.key, spec.value) == ("multimethod_weight_sharing_strategy", strategy.value.encode())
    assert Options.parse([spec]).weight_sharing == strategy


def test_the_first_of_two_specs_with_one_key_counts():
    specs = [CompileSpec("compute_units", b"cpu_only"), CompileSpec("compute_units", b"all")]
    assert CoreMLBackend.compute_unit_from_compile_specs(specs) == ct.ComputeUnit.CPU_ONLY


@pytest.mark.parametrize("key", [key.value for key in COMPILE_SPEC_KEYS])
@pytest.mark.parametrize("value", [b"nonsense", b"[1, 2]", b'{"a": {}}', b"\xff\xfe"])
def test_unknown_values_are_refused(key, value):
    with pytest.raises(ValueError, match=f"the compile spec {key} cannot be"):
        Options.parse([CompileSpec(key, value)])


def test_an_unknown_choice_is_told_the_choices():
    with pytest.raises(ValueError, match=r"it must be one of .*cpu_and_ne"):
        Options.parse([CompileSpec("compute_units", b"tpu")])
    with pytest.raises(ValueError, match="both, coreml_blob, inmemoryfs"):
        Options.parse([CompileSpec("blob_format", b"zip")])


def test_every_option_has_one_row():
    assert list(OPTIONS) == [field.name for field in dataclasses.fields(Options)]
    assert sorted(option.key.value for option in OPTIONS.values()) == sorted(key.value for key in COMPILE_SPEC_KEYS)


class _Key(enum.Enum):
    ROUNDS = "rounds"


def test_an_option_is_added_by_its_key_its_row_and_its_field(monkeypatch):
    """Parsing, the default and the refusal follow from the three."""
    monkeypatch.setitem(OPTIONS, "rounds", CompileOption(_Key.ROUNDS, 1, str, int))
    Extended = dataclasses.make_dataclass("Extended", [("rounds", int)], bases=(Options,), frozen=True)
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS17)
    assert Extended.parse(specs).rounds == 1
    options = Extended.parse([*specs, OPTIONS["rounds"].spec(3)])
    assert (options.rounds, options.deployment_target) == (3, ct.target.iOS17)
    with pytest.raises(ValueError, match="the compile spec rounds cannot be b'many'"):
        Extended.parse([CompileSpec("rounds", b"many")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compute_unit", ct.ComputeUnit.CPU_AND_GPU),
        ("deployment_target", ct.target.iOS18),
        ("deployment_target", None),
        ("compute_precision", ct.precision.FLOAT32),
        ("model_type", CoreMLBackend.MODEL_TYPE.COMPILED_MODEL),
        ("blob_format", CoreMLBackend.BLOB_FORMAT.COREML_BLOB),
        ("pass_names", ("common::const_elimination", "common::dead_code_elimination")),
        ("weight_sharing", MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL),
        ("device_guards", False),
        ("float32_ops", ("LayerNorm", "aten.softmax", "head.*")),
    ],
)
def test_an_option_comes_back_as_it_went_in(name, value):
    assert OPTIONS[name].of([OPTIONS[name].spec(value)]) == value
    assert OPTIONS[name].of([]) == OPTIONS[name].default


def _dynamic_program():
    return export(Unary(lambda x: torch.relu(x)), (torch.randn(4, 3),), ({0: Dim("n", min=2, max=8)},))


def test_enumerated_shapes_round_trip():
    spec = CoreMLBackend.generate_enumerated_shapes_compile_spec(_dynamic_program(), {"x": [[1, 3], [4, 3]]})
    shapes = CoreMLBackend.enumerated_shapes_from_compile_specs([spec])
    assert list(shapes.shapes.values()) == [((1, 3), (4, 3))]


@pytest.mark.parametrize(
    ("enumerated", "error", "message"),
    [
        ({}, AssertionError, "No enumerated shapes provided"),
        ({"x": [[1, 3]]}, AssertionError, "only has 1 enumerated shapes provided"),
        ({"x": [[1, 3], [4, 4]]}, AssertionError, "non-symbolic value at index 1"),
        ({"x": [[1, 3], [9, 3]]}, AssertionError, "violates the upper range-constraint"),
        ({"x": [[1, 3], [4]]}, AssertionError, "the rank of the enumeration is 1"),
        ({"x": [[0, 3], [4, 3]]}, AssertionError, "must be >= 1"),
        ({"y": [[1, 3], [4, 3]]}, ValueError, "which is not an input"),
    ],
)
def test_enumerated_shapes_that_do_not_fit_are_refused(enumerated, error, message):
    with pytest.raises(error, match=message):
        CoreMLBackend.generate_enumerated_shapes_compile_spec(_dynamic_program(), enumerated)
