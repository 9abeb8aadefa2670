"""Builds that several tests look at, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from limosa_compiler.building import BuildResult, build
from limosa_compiler.recipe import Recipe, read_recipe
from tests.compiler.graphs import classifier, recipe_folder

TOY = '[about]\nlicenses = ["Apache-2.0"]\n[gate]\nmax_loss_points = 10\n'


def build_from(recipe: Path, folder: Path) -> BuildResult:
    return build(Recipe.parse(read_recipe(recipe), folder=recipe.parent), folder=folder)


@pytest.fixture
def build_recipe(tmp_path: Path) -> Callable[[Path], BuildResult]:
    """Builds a recipe into a folder of the test."""
    return lambda recipe: build_from(recipe, tmp_path / "dist")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """A build of the small classifier; tests do not change its files."""
    folder = tmp_path_factory.mktemp("toy")
    recipe = recipe_folder(folder, classifier(), more=TOY)
    return build_from(recipe, folder / "dist")
