"""The recipe of a build, `limosa.toml`: a file a block (compiler 1.1)."""

from limosa_compiler.recipe.gate import Gate
from limosa_compiler.recipe.recipe import Recipe, read_recipe

__all__ = ["Gate", "Recipe", "read_recipe"]
