"""The ladders that a build needs, joined: onnxruntime's, LiteRT's, that of the pruned model."""

from __future__ import annotations

from collections.abc import Sequence

from limosa_compiler.calibration.cache import CalibrationCache
from limosa_compiler.litert.ladder import tflite_ladder, with_litert
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.passes import OnPass
from limosa_compiler.pruning.ladder import with_pruned
from limosa_compiler.recipe import Recipe
from limosa_compiler.search.candidate import ONNXRUNTIME
from limosa_compiler.search.ladder import Ladder, make_ladder
from limosa_compiler.search.strategies import Strategy, strategy_for
from limosa_contracts.profiles import Profile


def strategy_of(recipe: Recipe, profiles: Sequence[Profile]) -> Strategy:
    """Of the targets that run onnxruntime; LiteRT has rungs of its own."""
    return strategy_for([profile for profile in profiles if _runs_onnx(profile)], recipe.search)


def make_ladders(
    loaded: Loaded,
    recipe: Recipe,
    profiles: Sequence[Profile],
    strategy: Strategy,
    *,
    on_pass: OnPass,
    cache: CalibrationCache | None = None,
) -> Ladder:
    """fp32 first, which is the reference. Raises ModelRefused, PassFailed, ToolchainMissing."""
    if loaded.tflite:
        return tflite_ladder(loaded, profiles, recipe.search, on_pass=on_pass)
    found = make_ladder(loaded, strategy, on_pass=on_pass, cache=cache)
    found = with_litert(found, loaded, profiles, recipe.search, on_pass=on_pass)
    return with_pruned(found, loaded, strategy, recipe.prune, on_pass=on_pass, cache=cache)


def _runs_onnx(profile: Profile) -> bool:
    return any(runtime.name == ONNXRUNTIME for runtime in profile.runtimes)
