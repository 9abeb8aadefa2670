"""`limosa_compiler.build`: the compiler from Python, for notebooks and continuous integration.

>>> from limosa_compiler import build                                    # doctest: +SKIP
>>> result = build("limosa.toml", version="1.4.0", folder="dist")        # doctest: +SKIP
>>> result.chosen["rpi4"].size, result.chosen["rpi4"].holdout.metric     # doctest: +SKIP
(152318, 0.891)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import cast

from limosa_compiler.building import BuildResult
from limosa_compiler.building import build as build_recipe
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.external.mlflow_model import is_uri
from limosa_compiler.passes import OnPass
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import ReleaseName, check_version


def build(
    recipe: str | PathLike[str] | Mapping[str, JsonValue] | Recipe,
    *,
    folder: str | PathLike[str] = "dist",
    version: str | None = None,
    model: str | PathLike[str] | None = None,
    replay: Evidence | None = None,
    on_pass: OnPass = lambda report: None,
    mtime: int = 0,
) -> BuildResult:
    """Compiles a model, and writes artifact, evidence and report into `folder`, or nothing.

    `recipe` is the path of a limosa.toml, its document, or a Recipe. Paths in a recipe file are
    relative to its folder, in a document to the working folder. `version` and `model` go before what
    it says: a pipeline sets them. `mtime`: Unix seconds, of every member of the archive.

    Raises GateNotMet if no candidate may be shipped to some target (its `evidence` lists what came
    closest), InvalidField for a wrong recipe, and RequestErrors for what is wrong with model or data.
    """
    if isinstance(recipe, Recipe):
        parsed = _with(recipe, version=version, model=model)
    else:
        parsed = _parsed(recipe, version=version, model=model)
    return build_recipe(parsed, folder=Path(folder), on_pass=on_pass, replay=replay, mtime=mtime)


def _with(recipe: Recipe, *, version: str | None, model: str | PathLike[str] | None) -> Recipe:
    if version is not None:
        recipe = replace(recipe, release=ReleaseName(recipe.release.name, check_version(version)))
    return recipe if model is None else replace(recipe, model=Path(model))


def _parsed(
    recipe: str | PathLike[str] | Mapping[str, JsonValue],
    *,
    version: str | None,
    model: str | PathLike[str] | None,
) -> Recipe:
    if isinstance(recipe, Mapping):
        document, place, name = dict(recipe), Path(), "recipe"
    else:
        path = Path(recipe)
        document, place, name = dict(read_recipe(path)), path.parent, path.name
    if version is not None:
        document["version"] = version
    if model is not None:
        document["model"] = str(model if is_uri(str(model)) else Path(model).absolute())
    return Recipe.parse(cast("JsonObject", document), folder=place, where=name)
