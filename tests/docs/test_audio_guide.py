"""The guide to audio models, run as it stands: raw sound in the build scores what training scored."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from limosa_compiler.building import build
from limosa_compiler.recipe import Recipe
from tests.docs.pages import fences

GUIDE = "how-to/compile-an-audio-model.md"


def test_a_build_from_raw_sound_scores_what_training_scored(tmp_path: Path) -> None:
    (script,) = fences(GUIDE, "python")
    (recipe,) = fences(GUIDE, "toml")
    printed = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for line in printed:
        assert line in recipe  # mean and std are those that training prints
    document = tomllib.loads(recipe) | {"search": {"rungs": ["int8-dynamic"]}}  # fewer, to be quick
    result = build(Recipe.parse(document, folder=tmp_path), folder=tmp_path / "dist")
    measured = {one.name: one for one in result.evidence.candidates}["fp32"]
    tune, holdout = measured.tune, measured.holdout
    correct = round(tune.metric * tune.rows) + round(holdout.metric * holdout.rows)
    assert abs(correct - correct_in_training(script, printed, tmp_path)) <= 1
    assert correct > 0.85 * (tune.rows + holdout.rows)
    sizes = [one.size for one in result.evidence.candidates]
    assert max(sizes) < 100_000  # log-mel is 45 KB of that, not a megabyte of sines


def correct_in_training(script: str, printed: list[str], folder: Path) -> int:
    """Rows that training's own code gets right: its functions, without what it does with them."""
    functions, _, _ = script.partition("sound, label = clips(600)")
    names: dict[str, object] = {}
    exec(compile(functions, "train.py", "exec"), names)
    log_mel = names["log_mel"]
    assert callable(log_mel)
    mean, std = (float(re.sub(r".*= ", "", line)) for line in printed)
    with np.load(folder / "evaluation.npz") as stored:
        sound, label = stored["frames"], stored["label"]
    (weights,) = onnx.load(folder / "tones.onnx").graph.initializer
    x = (log_mel(sound).reshape(len(sound), -1) - mean) / std
    return int(((x @ numpy_helper.to_array(weights)).argmax(axis=1) == label).sum())
