"""Recipes of `executorch.export` for Core ML. Importing this package registers them."""

# First: every module here imports torch or coremltools, which this imports quietly.
from executorch.export import recipe_registry

from executorch_coreml import _dependencies  # noqa: F401
from executorch_coreml.recipes.coreml_recipe_provider import CoreMLRecipeProvider
from executorch_coreml.recipes.coreml_recipe_types import CoreMLRecipeType

recipe_registry.register_backend_recipe_provider(CoreMLRecipeProvider())

__all__ = ["CoreMLRecipeProvider", "CoreMLRecipeType"]
