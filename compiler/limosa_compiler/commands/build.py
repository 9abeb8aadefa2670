"""`limosa build`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from limosa_compiler.recipe import Recipe, read_recipe
from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.errors import InvalidField, Usage
from limosa_contracts.json_value import JsonObject, JsonValue

PLACE_OF_FLAG: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model",),
    "name": ("name",),
    "version": ("version",),
    "targets": ("targets",),
    "calibration": ("data", "calibration"),
    "evaluation": ("data", "evaluation"),
    "label": ("data", "label"),
    "metric": ("metric", "name"),
    "max_loss_points": ("gate", "max_loss_points"),
    "min_metric": ("gate", "min_metric"),
    "prefer": ("prefer",),
}
"""Parameter -> its place in the recipe."""
_PATHS: Final = ("model", "calibration", "evaluation")


@command(
    "build",
    examples=[
        "limosa build limosa.toml",
        "limosa build limosa.toml --version 1.1.0 --output dist",
        "limosa build --model m.onnx --name demo/m --version 1.0.0 --target generic-x86-64 \\",
        "             --calibration cal.npz --evaluation eval.npz",
    ],
)
@click.argument("recipe", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--model", type=click.Path(), help="ONNX file.")
@click.option("--name", help="team/model.")
@click.option("--version", help="MAJOR.MINOR.PATCH.")
@click.option("--target", "targets", multiple=True, help="Device profile; may be given several times.")
@click.option("--calibration", type=click.Path(), help=".npz, or a folder of .npy: arrays named like inputs.")
@click.option("--evaluation", type=click.Path(), help="The same, with an array of labels.")
@click.option("--label", help="Name of the array of labels.")
@click.option("--metric", help="accuracy, macro_f1, top5, map, rmse, cer, wer, cosine, sqnr, or a function.")
@click.option("--max-loss-points", type=float, help="May be lost against fp32, in percentage points.")
@click.option("--min-metric", type=float, help="Least value of the metric.")
@click.option(
    "--prefer",
    type=click.Choice(["size", "latency", "accuracy"]),
    help="Which of those that meet the gate is best.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder to write into."
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Evidence of an earlier build: take its latencies instead of measuring.",
)
@json_option
def build(recipe: Path | None, output: Path, replay: Path | None, as_json: bool, **flags: Any) -> None:
    """Compile a trained model into an edge artifact.

    Makes candidates (fp32, static int8), measures each on labelled data, chooses for every target the
    smallest that meets the gate, and writes NAME-VERSION.limosa with NAME-VERSION.evidence.json beside
    it. Flags go before the recipe. If nothing meets the gate nothing is written, and the exit code is 3.
    SOURCE_DATE_EPOCH sets the time of the archive's members; equal inputs give an equal file.
    """
    document = with_flags(read_recipe(recipe) if recipe else {}, flags, recipe)
    place, name = (recipe.parent, recipe.name) if recipe else (Path(), "")
    parsed = Recipe.parse(document, folder=place, where=name)

    from limosa_compiler.building import build as run
    from limosa_compiler.evidence import Evidence
    from limosa_compiler.pass_lines import pass_lines

    result = run(
        parsed,
        folder=output,
        on_pass=pass_lines(),
        replay=Evidence.parse(replay.read_bytes()) if replay else None,
        mtime=source_date_epoch(),
    )
    for warning in result.evidence.warnings:
        progress(f"warning: {warning}")
    summary: dict[str, JsonValue] = {
        "schema": "limosa.build/1",
        "artifact": str(result.path),
        "evidence": str(result.evidence_path),
        "release": str(parsed.release),
        "index_digest": result.index_digest,
        "size_bytes": result.path.stat().st_size,
        "targets": {choice.target: choice.chosen for choice in result.evidence.choices},
        "warnings": list(result.evidence.warnings),
        "seconds": round(result.seconds, 3),
    }
    answer(summary, as_json=as_json, text=lambda: _text(summary))


def with_flags(document: JsonObject, flags: Mapping[str, Any], recipe: Path | None) -> JsonObject:
    """The recipe with what was given on the command line laid over it.

    Paths on the command line are relative to the working folder, those in a recipe to its own.
    """
    result: dict[str, Any] = dict(document)
    for flag, value in flags.items():
        if value is None or value == ():
            continue
        *tables, last = PLACE_OF_FLAG[flag]
        table = result
        for name in tables:
            inner = table.get(name, {})
            if not isinstance(inner, Mapping):
                raise InvalidField(f"{name!r} is not a table", where=str(recipe or name))
            table[name] = dict(inner)
            table = table[name]
        table[last] = str(Path(value).absolute()) if flag in _PATHS else _plain(value)
    if not result:
        raise Usage(
            "there is nothing to build", hint="give a recipe, or --model and what it needs; see --help"
        )
    return result


def source_date_epoch() -> int:
    """Unix seconds, 0 if not set. Raises Usage."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not text.isascii() or not text.isdigit() or int(text) >= 8**11:
        raise Usage("SOURCE_DATE_EPOCH is not a time", where="SOURCE_DATE_EPOCH", why=repr(text[:40]))
    return int(text)


def _plain(value: Any) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value


def _text(summary: Mapping[str, JsonValue]) -> str:
    targets = summary["targets"]
    rows = [[target, str(chosen)] for target, chosen in targets.items()] if isinstance(targets, dict) else []
    return "\n".join(
        [
            columns(["TARGET", "CHOSEN"], rows),
            "",
            f"{summary['artifact']}  {summary['size_bytes']} bytes  {summary['index_digest']}",
            f"why: limosa inspect {summary['artifact']}",
        ]
    )
