"""`CoreMLRecipeProvider`: from a recipe's name to what `executorch.export.export` needs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import coremltools as ct
from executorch.exir import EdgeCompileConfig
from executorch.exir._warnings import ExperimentalWarning
from executorch.export import BackendRecipeProvider, ExportRecipe, LoweringRecipe, RecipeType

from executorch_coreml.compiler import CoreMLBackend
from executorch_coreml.partition import CoreMLPartitioner
from executorch_coreml.recipes.coreml_recipe_types import COREML_BACKEND, CoreMLRecipeType
from executorch_coreml.recipes.recipe_table import RECIPES, Arguments, check_arguments, deployment_target

# That recipes are experimental is for whoever calls them to hear, once, not from here.
warnings.filterwarnings("ignore", category=ExperimentalWarning, module=__name__.replace(".", r"\."))


class CoreMLRecipeProvider(BackendRecipeProvider):
    """Makes the recipes of `CoreMLRecipeType`.

    recipe = ExportRecipe.get_recipe(CoreMLRecipeType.TORCHAO_INT4_WEIGHT_ONLY_PER_GROUP, group_size=64)
    session = executorch.export.export(model, [example_inputs], recipe)
    """

    @property
    def backend_name(self) -> str:
        return COREML_BACKEND

    def get_supported_recipes(self) -> Sequence[RecipeType]:
        return list(CoreMLRecipeType)

    def create_recipe(self, recipe_type: RecipeType, **kwargs: Any) -> ExportRecipe | None:
        """The recipe, or None for another backend's type.

        A minimum_deployment_target above what the recipe needs is kept; without one the recipe's lowest is taken.

        Raises:
            ValueError: an argument is unknown, missing, of the wrong type or out of range, or the target is too low; the message says which and
                what to write.
        """
        if not isinstance(recipe_type, CoreMLRecipeType):
            return None
        check_arguments(recipe_type, kwargs)
        return ExportRecipe(
            name=recipe_type.value,
            quantization_recipe=RECIPES[recipe_type].quantization(kwargs),
            lowering_recipe=_lowering(recipe_type, kwargs),
        )


def _partitioner(recipe_type: CoreMLRecipeType, arguments: Arguments) -> CoreMLPartitioner:
    target = deployment_target(recipe_type, arguments)
    compile_specs = CoreMLBackend.generate_compile_specs(
        compute_precision=RECIPES[recipe_type].precision,
        compute_unit=arguments.get("compute_unit", ct.ComputeUnit.ALL),
        minimum_deployment_target=target,
    )
    full = arguments.get("lower_full_graph", False)
    return CoreMLPartitioner(
        compile_specs=compile_specs,
        # States need iOS 18. The partitioner insists on taking over everything when asked for the full graph.
        take_over_mutable_buffer=full or target is None or target >= ct.target.iOS18,
        skip_ops_for_coreml_delegation=arguments.get("skip_ops_for_coreml_delegation"),
        lower_full_graph=full,
        take_over_constant_data=arguments.get("take_over_constant_data", True),
    )


def _lowering(recipe_type: CoreMLRecipeType, arguments: Arguments) -> LoweringRecipe:
    methods = arguments.get("methods")
    partitioners: Any = [_partitioner(recipe_type, arguments)]
    if methods:
        partitioners = {method: [_partitioner(recipe_type, {**arguments, **own})] for method, own in methods.items()}
    return LoweringRecipe(
        partitioners=partitioners,
        edge_transform_passes=arguments.get("edge_transform_passes"),
        edge_manager_transform_passes=arguments.get("edge_manager_transform_passes"),
        edge_compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=False),
    )
