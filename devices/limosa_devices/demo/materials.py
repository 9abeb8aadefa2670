"""Writes the demo's models, data and recipes as files, for a tutorial by hand.

`python -m limosa_devices.demo.materials FOLDER` makes FOLDER/<version>/limosa.toml with what it names,
and windows of people whom no model has seen: FOLDER/live.npz, and requests of one and of many of them,
FOLDER/window.json and FOLDER/windows.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
import numpy as np

from limosa_contracts.cli import answer, columns, command, json_option, run
from limosa_contracts.json_value import JsonValue
from limosa_devices.demo.motion import CLASSES, INPUT_NAME, Windows, load
from limosa_devices.demo.releases import STORIES, write_recipe

LIVE_ROWS: Final = 200  # every seventh window in recording order: two people, all seven exercises
LIVE_STEP: Final = 7
REQUEST_STEP: Final = 5  # 40 windows in a request: an application that asks without starting a program


def write_materials(folder: Path) -> list[Path]:
    """The recipes, in the order of their versions. One that needs more than its recipe is left out."""
    recipes = [write_recipe(folder / story.version, story) for story in STORIES if not story.golden_of]
    motion = load("live")
    rows = motion.window[::LIVE_STEP][:LIVE_ROWS]
    np.savez(folder / "live.npz", allow_pickle=False, **{INPUT_NAME: rows})
    for name, part in (("window", rows[:1]), ("windows", rows[::REQUEST_STEP])):
        text = json.dumps(_request(part)) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return recipes


def _request(rows: Windows) -> Mapping[str, JsonValue]:
    """A request of the Open Inference Protocol for these windows, [N, channels, samples]."""
    data: list[JsonValue] = [round(float(value), 4) for value in rows.ravel()]
    shape: list[JsonValue] = [*rows.shape]
    return {"inputs": [{"name": INPUT_NAME, "datatype": "FP32", "shape": shape, "data": data}]}


@command("materials", examples=["python -m limosa_devices.demo.materials motion"])
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
def materials(folder: Path, as_json: bool) -> None:
    """Write the demo's models, data and recipes into a folder."""
    recipes = write_materials(folder)
    titles = {story.version: story.title for story in STORIES}
    found: list[JsonValue] = [str(recipe) for recipe in recipes]
    answer(
        {"recipes": found, "classes": list(CLASSES)},
        as_json=as_json,
        text=lambda: columns(
            ["RECIPE", "WHAT IT IS"], [[str(recipe), titles[recipe.parent.name]] for recipe in recipes]
        ),
    )


if __name__ == "__main__":
    sys.exit(run(materials, prog_name="python -m limosa_devices.demo.materials", extra="all"))
