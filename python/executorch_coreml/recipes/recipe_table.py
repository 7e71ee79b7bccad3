"""What each recipe is: its lowest deployment target, the arguments it takes, how it quantizes."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any

import coremltools as ct
import torch
from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from executorch.export import AOQuantizationConfig, QuantizationRecipe
from torchao.quantization.granularity import PerAxis, PerGroup

from executorch_coreml.quantizer import CoreMLQuantizer
from executorch_coreml.recipes.coreml_recipe_types import CoreMLRecipeType
from executorch_coreml.recipes.weight_configs import CheckedCodebookConfig, CheckedIntxConfig

COMMON_ARGUMENTS = frozenset(
    {
        "minimum_deployment_target",
        "compute_unit",
        "skip_ops_for_coreml_delegation",
        "lower_full_graph",
        "take_over_constant_data",
        "edge_transform_passes",
        "edge_manager_transform_passes",
        "methods",
    }
)

# What a method may have otherwise than the recipe.
METHOD_ARGUMENTS = COMMON_ARGUMENTS - {"edge_transform_passes", "edge_manager_transform_passes", "methods"}

Arguments = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One row.

    family: how messages call the quantization. minimum_target: the lowest deployment target that can express it; None for any. arguments: what
    it takes besides the common ones. required: those of them without a default.
    """

    family: str = ""
    minimum_target: ct.target | None = None
    precision: ct.precision = ct.precision.FLOAT16
    arguments: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    quantization: Callable[[Arguments], QuantizationRecipe | None] = lambda arguments: None


# Fields of ExecuTorch's QuantizationRecipe, passed on as they are.
_PASS_LISTS = frozenset({"pre_prepare_passes", "post_prepare_passes", "pre_convert_passes", "post_convert_passes"})
_PT2E = _PASS_LISTS | {"calibration_inputs_fn", "is_qat", "train_fn", "dynamic_batch_size"}


def _pt2e(activation_dtype: torch.dtype) -> Callable[[Arguments], QuantizationRecipe]:
    def quantization(arguments: Arguments) -> QuantizationRecipe:
        config = ModuleLinearQuantizerConfig(
            quantization_scheme="symmetric",
            activation_dtype=activation_dtype,
            weight_dtype=torch.qint8,
            weight_per_channel=True,
        )
        quantizer = CoreMLQuantizer(LinearQuantizerConfig(global_config=config))
        return QuantizationRecipe(quantizers=[quantizer], **{name: arguments[name] for name in _PT2E & arguments.keys()})

    return quantization


def _torchao(weight_dtype: torch.dtype, *, grouped: bool) -> Callable[[Arguments], QuantizationRecipe]:
    def quantization(arguments: Arguments) -> QuantizationRecipe:
        granularity = PerGroup(arguments.get("group_size", 32)) if grouped else PerAxis(axis=0)
        config = CheckedIntxConfig(weight_dtype=weight_dtype, granularity=granularity)
        return QuantizationRecipe(ao_quantization_configs=[AOQuantizationConfig(config, arguments.get("filter_fn"))])

    return quantization


def _is_linear_or_embedding(module: torch.nn.Module, name: str) -> bool:
    return isinstance(module, (torch.nn.Embedding, torch.nn.Linear))


def _codebook(arguments: Arguments) -> QuantizationRecipe:
    config = CheckedCodebookConfig(getattr(torch, f"uint{arguments['bits']}"), arguments["block_size"])
    return QuantizationRecipe(
        ao_quantization_configs=[AOQuantizationConfig(config, arguments.get("filter_fn", _is_linear_or_embedding))]
    )


# torch declares its smallest integers to nobody but the interpreter.
_INT4: torch.dtype = getattr(torch, "int4")  # noqa: B009
_FILTER = frozenset({"filter_fn"})
_GROUPS = frozenset({"filter_fn", "group_size"})

RECIPES: Mapping[Any, Recipe] = {
    CoreMLRecipeType.FP32: Recipe(precision=ct.precision.FLOAT32),
    CoreMLRecipeType.FP16: Recipe(),
    CoreMLRecipeType.PT2E_INT8_STATIC: Recipe("pt2e", ct.target.iOS17, arguments=_PT2E, quantization=_pt2e(torch.quint8)),
    CoreMLRecipeType.PT2E_INT8_WEIGHT_ONLY: Recipe("pt2e", ct.target.iOS17, arguments=_PT2E, quantization=_pt2e(torch.float32)),
    CoreMLRecipeType.TORCHAO_INT4_WEIGHT_ONLY_PER_CHANNEL: Recipe(
        "torchao", ct.target.iOS18, arguments=_FILTER, quantization=_torchao(_INT4, grouped=False)
    ),
    CoreMLRecipeType.TORCHAO_INT4_WEIGHT_ONLY_PER_GROUP: Recipe(
        "torchao", ct.target.iOS18, arguments=_GROUPS, quantization=_torchao(_INT4, grouped=True)
    ),
    CoreMLRecipeType.TORCHAO_INT8_WEIGHT_ONLY_PER_CHANNEL: Recipe(
        "torchao", ct.target.iOS16, arguments=_FILTER, quantization=_torchao(torch.int8, grouped=False)
    ),
    CoreMLRecipeType.TORCHAO_INT8_WEIGHT_ONLY_PER_GROUP: Recipe(
        "torchao", ct.target.iOS18, arguments=_GROUPS, quantization=_torchao(torch.int8, grouped=True)
    ),
    CoreMLRecipeType.CODEBOOK_WEIGHT_ONLY: Recipe(
        "codebook",
        ct.target.iOS18,
        arguments=frozenset({"filter_fn", "bits", "block_size"}),
        required=frozenset({"bits", "block_size"}),
        quantization=_codebook,
    ),
}


def check_arguments(recipe_type: CoreMLRecipeType, arguments: Arguments) -> None:
    """Raises ValueError, which says what to write, for an argument that the recipe does not take, lacks, or cannot use."""
    recipe = RECIPES[recipe_type]
    accepted = COMMON_ARGUMENTS | recipe.arguments
    for name in arguments.keys() - accepted:
        near = difflib.get_close_matches(name, accepted, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(sorted(accepted))}"
        raise ValueError(f"Core ML recipe {recipe_type.value!r} has no parameter {name!r}; {hint}")
    if missing := recipe.required - arguments.keys():
        names = " and ".join(repr(name) for name in sorted(recipe.required))
        raise ValueError(f"Parameters {names} must be present for {recipe.family} recipes; missing: {', '.join(sorted(missing))}")
    for name, check in _CHECKS.items():
        if name in arguments:
            check(name, arguments[name])
    if bool(arguments.get("is_qat")) != (arguments.get("train_fn") is not None):
        raise ValueError(
            "Parameters 'is_qat' and 'train_fn' go together: pass is_qat=True and a function that trains the prepared module, or neither"
        )
    if arguments.get("is_qat") and "calibration_inputs_fn" in arguments:
        raise ValueError(
            "Parameter 'calibration_inputs_fn' has no use with is_qat=True, where the training observes the ranges: leave it out"
        )
    for method, own in arguments.get("methods", {}).items():
        for name in own.keys() - METHOD_ARGUMENTS:
            raise ValueError(
                f"Parameter 'methods' has {name!r} for {method!r}; a method may have {', '.join(sorted(METHOD_ARGUMENTS))}"
            )
        shared = {name: value for name, value in arguments.items() if name not in ("methods", *_PT2E)}
        check_arguments(recipe_type, {**shared, **own})
    target = arguments.get("minimum_deployment_target")
    if target is not None and recipe.minimum_target is not None and target < recipe.minimum_target:
        raise ValueError(
            f"minimum_deployment_target must be {recipe.minimum_target} or higher for {recipe.family} quantization "
            f"({recipe_type.value}), not {target}; pass minimum_deployment_target={recipe.minimum_target.name} or leave it out"
        )


def deployment_target(recipe_type: CoreMLRecipeType, arguments: Arguments) -> ct.target | None:
    """The user's target, which check_arguments() found high enough, or the recipe's lowest."""
    return arguments.get("minimum_deployment_target") or RECIPES[recipe_type].minimum_target


def _is_a(kind: type, text: str) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"Parameter {name!r} must be {text}, got {type(value).__name__}: {value}")

    return check


def _target(name: str, value: Any) -> None:
    if value is not None:
        _is_a(ct.target, "a coremltools.target, such as ct.target.iOS18")(name, value)


def _group_size(name: str, value: Any) -> None:
    _is_a(int, "an integer")(name, value)
    if value <= 0:
        raise ValueError(f"Parameter {name!r} must be positive, got: {value}")


def _bits(name: str, value: Any) -> None:
    _is_a(int, "an integer")(name, value)
    if not 1 <= value <= 8:
        raise ValueError(f"Parameter {name!r} must be between 1 and 8, got: {value}")


def _block_size(name: str, value: Any) -> None:
    _is_a(list, "a list")(name, value)
    if len(value) != 2 or any(not isinstance(size, int) or (size < 1 and size != -1) for size in value):
        raise ValueError(f"Parameter {name!r} must be [rows, columns], each a positive integer or -1 for all of them, got: {value}")
    if -1 not in value:
        raise ValueError(
            f"Parameter {name!r} is {value}: a look-up table belongs to whole rows or whole columns; write [-1, {value[1]}] or [{value[0]}, -1]"
        )


def _function(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise ValueError(f"Parameter {name!r} must be a function, got {type(value).__name__}: {value}")


def _functions(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(map(callable, value)):
        raise ValueError(f"Parameter {name!r} must be a list of functions, got: {value}")


def _methods(name: str, value: Any) -> None:
    if not isinstance(value, dict) or not all(isinstance(k, str) and isinstance(v, dict) for k, v in value.items()):
        raise ValueError(f"Parameter {name!r} must be a dictionary of each method's name and its arguments, got: {value}")


_CHECKS: Mapping[str, Callable[[str, Any], None]] = {
    "minimum_deployment_target": _target,
    "compute_unit": _is_a(ct.ComputeUnit, "a coremltools.ComputeUnit, such as ct.ComputeUnit.ALL"),
    "lower_full_graph": _is_a(bool, "True or False"),
    "take_over_constant_data": _is_a(bool, "True or False"),
    "edge_transform_passes": _functions,
    "edge_manager_transform_passes": _functions,
    "methods": _methods,
    "calibration_inputs_fn": _function,
    "train_fn": _function,
    "is_qat": _is_a(bool, "True or False"),
    "dynamic_batch_size": _is_a(bool, "True or False"),
    **dict.fromkeys(sorted(_PASS_LISTS), _functions),
    "group_size": _group_size,
    "bits": _bits,
    "block_size": _block_size,
}
