"""`limosa init`: a commented recipe from a model file."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import click

from limosa_compiler.errors import RecipeExists, UnknownTarget
from limosa_compiler.recipe.draft import draft_recipe
from limosa_contracts.cli import answer, command, json_option, progress
from limosa_contracts.errors import Usage
from limosa_contracts.names import ModelName, check_version
from limosa_contracts.profiles import load_profiles

DEFAULT_TARGETS: Final = ("generic-x86-64", "generic-aarch64")


@command(
    "init",
    examples=[
        "limosa init model.onnx",
        "limosa init model.onnx --name vision/doors --target rpi4 --evaluation eval.npz",
        "limosa init model.onnx --output -                     # only look",
    ],
)
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", metavar="TEAM/MODEL", help="Else my-team/ and the file's name.")
@click.option("--version", default="1.0.0", show_default=True, metavar="X.Y.Z", help="The first version.")
@click.option("--target", "targets", multiple=True, metavar="PROFILE", help="Device profile; several times.")
@click.option(
    "--evaluation", type=click.Path(exists=True, path_type=Path), help="To find label and slices in."
)
@click.option("--calibration", type=click.Path(exists=True, path_type=Path), help="Calibration data.")
@click.option(
    "--output",
    default="limosa.toml",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="The recipe; - prints it.",
)
@json_option
def init(
    model: Path,
    name: str | None,
    version: str,
    targets: tuple[str, ...],
    evaluation: Path | None,
    calibration: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Write a commented recipe for a model.

    Reads inputs, outputs, states and picture shapes off the model, and labels and slices off the
    evaluation data. A recipe that is there already is never overwritten.
    """
    from limosa_compiler.recipe.facts import data_facts, model_facts

    chosen = targets or DEFAULT_TARGETS
    _check_targets(chosen)
    called = str(ModelName.parse(name or f"my-team/{_plain(model.stem)}"))
    check_version(version)
    printed = str(output) == "-"
    if printed and as_json:
        raise Usage("--json and --output - are two answers", where="limosa init")
    folder = Path() if printed else output.parent
    facts = model_facts(model, shown_as=_from(folder, model))
    text = draft_recipe(
        facts,
        name=called,
        version=version,
        targets=chosen,
        data=data_facts(
            evaluation,
            calibration,
            inputs=[item.name for item in facts.inputs],
            shown_from=lambda path: _from(folder, path),
        ),
    )
    if printed:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise RecipeExists("there is a recipe already", where=str(output)) from error
    answer(
        {"schema": "limosa.init/1", "recipe": str(output), "name": called, "targets": list(chosen)},
        as_json=as_json,
        text=lambda: str(output),
    )
    progress(f"next: look through its comments, then limosa build {output}")


def _check_targets(targets: tuple[str, ...]) -> None:
    known = load_profiles()
    for target in targets:
        if target not in known:
            near = get_close_matches(target, list(known), n=1)
            raise UnknownTarget(
                f"there is no target {target[:80]!r}",
                where="--target",
                hint=f"did you mean {near[0]!r}? All of them: limosa target list" if near else "",
            )


def _plain(stem: str) -> str:
    """What a model may be called, from what its file is called.

    >>> _plain("Motion CNN (final)"), _plain("__")
    ('motion-cnn-final', 'model')
    """
    words = re.findall("[a-z0-9]+", stem.lower())
    return "-".join(words)[:48].strip("-") or "model"


def _from(folder: Path, path: Path) -> str:
    """`path` as a recipe in `folder` would name it."""
    return os.path.relpath(path.absolute(), folder.absolute())
