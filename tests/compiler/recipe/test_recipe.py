"""The recipe is strict: a mistyped key never means "default"."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from limosa_compiler.commands.build import source_date_epoch, with_flags
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_contracts.errors import InvalidField, Usage

LEAST: dict[str, Any] = {
    "name": "demo/motion",
    "version": "1.0.0",
    "model": "m.onnx",
    "targets": ["rpi5"],
    "data": {"calibration": "c.npz", "evaluation": "e"},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**LEAST, **changes}.items() if value is not None}


def test_least_recipe_has_the_documented_defaults() -> None:
    recipe = Recipe.parse(LEAST, folder=Path("project"))
    assert recipe.model == Path("project/m.onnx")
    assert recipe.evaluation == Path("project/e")
    assert (recipe.label, recipe.metric, recipe.gate.max_loss_points) == ("label", "accuracy", 1.0)


@pytest.mark.parametrize(
    "document, where, hint",
    [
        (changed(modle="x"), "modle", "'model'"),
        (changed(data={**LEAST["data"], "labels": "y"}), "data.labels", "'label'"),
        (changed(gate={"max_loss_point": 1}), "gate.max_loss_point", "'max_loss_points'"),
        (changed(inputs={"x": {"channel": []}}), "inputs.x.channel", "'channels'"),
        (changed(about={"license": "MIT"}), "about.license", "'licenses'"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_name(
    document: dict[str, Any], where: str, hint: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        Recipe.parse(document, folder=Path())
    assert refused.value.where == where
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    "document",
    [
        changed(name="motion"),
        changed(version="1.0"),
        changed(version=1.0),
        changed(targets=[]),
        changed(targets=["rpi5", "rpi5"]),
        changed(targets="rpi5"),
        changed(model=None),
        changed(data={"calibration": "c.npz"}),
        changed(gate={"max_loss_points": -1}),
        changed(gate={"max_loss_points": "1"}),
        changed(metric={"tune_share": 1.5}),
        changed(classes=[1, 2]),
    ],
)
def test_value_that_makes_no_sense_is_refused_when_it_is_read(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        Recipe.parse(document, folder=Path())


def test_broken_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "limosa.toml"
    path.write_text('name = "demo/motion\n')
    with pytest.raises(InvalidField, match="line 1"):
        read_recipe(path)


def test_flags_go_before_the_recipe_and_keep_what_they_do_not_name(tmp_path: Path) -> None:
    document = with_flags(
        LEAST, {"version": "2.0.0", "label": "y", "min_metric": 0.5, "targets": ("n100", "rpi4")}, None
    )
    recipe = Recipe.parse(document, folder=tmp_path)
    assert recipe.release.version == "2.0.0"
    assert recipe.targets == ("n100", "rpi4")
    assert (recipe.label, recipe.gate.min_metric) == ("y", 0.5)
    assert recipe.calibration == tmp_path / "c.npz"
    assert LEAST["version"] == "1.0.0"
    assert "label" not in LEAST["data"]


def test_path_on_the_command_line_is_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    document = with_flags(LEAST, {"model": "here.onnx"}, Path("elsewhere/limosa.toml"))
    assert Recipe.parse(document, folder=Path("elsewhere")).model == tmp_path / "here.onnx"


def test_nothing_to_build_is_a_usage_error() -> None:
    with pytest.raises(Usage):
        with_flags({}, {"model": None, "targets": ()}, None)


def test_source_date_epoch_is_a_time_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert source_date_epoch() == 0
    monkeypatch.setitem(os.environ, "SOURCE_DATE_EPOCH", "1700000000")
    assert source_date_epoch() == 1_700_000_000
    for wrong in ("-1", "today", "1e9", "9" * 20):
        monkeypatch.setitem(os.environ, "SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(Usage):
            source_date_epoch()


def test_a_model_given_as_the_recipe_is_told_from_one(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08\x12\x8a")
    with pytest.raises(InvalidField) as refused:
        read_recipe(tmp_path / "model.onnx")
    assert "limosa init" in refused.value.hint
