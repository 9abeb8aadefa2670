"""Candidates of the pruned model stand behind the same gate, and what they did not gain is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import numpy_helper

from limosa_compiler.building import BuildResult
from limosa_compiler.choice.choose import Standing
from tests.compiler.conftest import TOY
from tests.compiler.graphs import FEATURES, classifier, recipe_folder

SEARCH = '[search]\nrungs = ["int8"]\n'


@pytest.mark.parametrize(
    "kind, prefix, said",
    [
        ("structured", "slim-", "structured pruning does not pay"),
        ("magnitude", "sparse-", "zeros take as much"),
    ],
)
def test_pruned_model_that_loses_too_much_or_gains_nothing_is_not_shipped(
    tmp_path: Path, build_recipe: Callable[[Path], BuildResult], kind: str, prefix: str, said: str
) -> None:
    model = classifier()
    wide = next(tensor for tensor in model.graph.initializer if tensor.name == "wide")
    loud = numpy_helper.to_array(wide).copy()
    loud[:, FEATURES:] = 9.0  # the largest weights are those that the layers behind ignore
    wide.CopyFrom(numpy_helper.from_array(loud, "wide"))
    more = f'{TOY}{SEARCH}[prune]\nkind = "{kind}"\nshare = 0.9\n'
    built = build_recipe(recipe_folder(tmp_path / "r", model, more=more))
    (choice,) = built.evidence.choices
    pruned = [verdict for verdict in choice.verdicts if verdict.candidate.startswith(prefix)]
    assert len(pruned) >= 2
    assert all(verdict.standing is not Standing.CHOSEN and verdict.reason for verdict in pruned)
    assert not (choice.chosen or "").startswith(prefix)
    assert any(said in warning for warning in built.evidence.warnings)


def test_channels_that_nobody_misses_go_and_the_smaller_model_is_shipped(
    tmp_path: Path, build_recipe: Callable[[Path], BuildResult]
) -> None:
    """Of the toy's 64 hidden channels only the first four carry anything but a constant that cancels."""
    model = classifier()
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    first = bytearray(constants["first"].raw_data)
    first[4 * 4 :] = bytes(len(first) - 4 * 4)
    constants["first"].raw_data = bytes(first)
    more = f'{TOY}{SEARCH}[prune]\nkind = "structured"\nshare = 0.5\n'
    built = build_recipe(recipe_folder(tmp_path / "r", model, more=more))
    (choice,) = built.evidence.choices
    assert (choice.chosen or "").startswith("slim-")
    chosen = built.chosen["generic-x86-64"]
    assert chosen.size < 0.5 * next(item.size for item in built.evidence.candidates if item.name == "fp32")


def test_without_the_block_nothing_is_pruned(toy: BuildResult) -> None:
    names = [item.name for item in toy.evidence.candidates]
    assert not any(name.startswith(("slim-", "sparse-")) for name in names)
    assert not any("prun" in warning for warning in toy.evidence.warnings)
