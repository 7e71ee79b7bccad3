"""Recipes of `executorch.export` for Core ML. Importing this package registers them."""

# First: every module here imports torch or coremltools, which this imports quietly.
from executorch.backends.apple.coreml import _dependencies  # noqa: F401
from executorch.backends.apple.coreml.recipes.coreml_recipe_provider import CoreMLRecipeProvider
from executorch.backends.apple.coreml.recipes.coreml_recipe_types import CoreMLRecipeType
from executorch.export import recipe_registry

recipe_registry.register_backend_recipe_provider(CoreMLRecipeProvider())

__all__ = ["CoreMLRecipeProvider", "CoreMLRecipeType"]
