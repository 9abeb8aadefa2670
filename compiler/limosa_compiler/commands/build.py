"""`limosa build`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from limosa_compiler.commands.own_process import continue_in_own_process
from limosa_compiler.external.mlflow_model import is_uri
from limosa_compiler.recipe import Recipe, read_recipe
from limosa_contracts.cli import answer, columns, command, json_option, progress
from limosa_contracts.errors import InvalidField, Usage
from limosa_contracts.json_value import JsonObject, JsonValue

if TYPE_CHECKING:
    from limosa_compiler.building import BuildResult

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
        "limosa build limosa.toml --check motion-1.0.0.limosa  # does it give the same again?",
    ],
)
@click.argument("recipe", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--model", type=click.Path(), help="ONNX or .tflite file, MLflow model folder or URI.")
@click.option("--name", help="team/model.")
@click.option("--version", help="MAJOR.MINOR.PATCH.")
@click.option("--target", "targets", multiple=True, help="Device profile; may be given several times.")
@click.option(
    "--calibration",
    type=click.Path(),
    help=".npz, .csv, .parquet or a folder of .npy: arrays named like inputs.",
)
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
    help="Evidence of an earlier build: take what it measured instead of measuring.",
)
@click.option(
    "--check",
    "artifact",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Build again with an artifact's own measurements, write nothing, and say what differs.",
)
@json_option
def build(
    recipe: Path | None,
    output: Path,
    replay: Path | None,
    artifact: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compile a trained model into an edge artifact.

    Makes candidates, measures each on labelled data, and chooses for every target the best that meets
    the gate. Writes NAME-VERSION.limosa, with NAME-VERSION.evidence.json and NAME-VERSION.report.html
    beside it. What a flag says replaces what the recipe says. If nothing meets the gate nothing is
    written, and the exit code is 3; it is 3 too if --check finds other bytes. SOURCE_DATE_EPOCH sets
    the time of the archive's members; equal inputs give an equal file.
    """
    document = with_flags(read_recipe(recipe) if recipe else {}, flags, recipe)
    place, name = (recipe.parent, recipe.name) if recipe else (Path(), "")
    parsed = Recipe.parse(document, folder=place, where=name)
    continue_in_own_process(parsed.model.name)

    from limosa_compiler.building import build as run
    from limosa_compiler.evidence.evidence import Evidence
    from limosa_compiler.pass_lines import pass_lines

    recorded = Evidence.parse(replay.read_bytes()) if replay else None
    if artifact is not None:
        from limosa_compiler.evidence.checking import check

        checked = check(parsed, artifact, evidence=recorded, on_pass=pass_lines())
        text = f"{parsed.release}  the same again: every file but signatures"
        answer(checked.as_json(), as_json=as_json, text=text)
        return
    result = run(parsed, folder=output, on_pass=pass_lines(), replay=recorded, mtime=source_date_epoch())
    for warning in result.evidence.warnings:
        progress(f"warning: {warning}")
    summary = _summary(result)
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
        table[last] = str(Path(value).absolute()) if flag in _PATHS and not is_uri(value) else _plain(value)
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


def _summary(result: BuildResult) -> dict[str, JsonValue]:
    return {
        "schema": "limosa.build/1",
        "artifact": str(result.path),
        "evidence": str(result.evidence_path),
        "report": str(result.report_path),
        "release": str(result.evidence.release),
        "index_digest": result.index_digest,
        "size_bytes": result.path.stat().st_size,
        "targets": {choice.target: choice.chosen for choice in result.evidence.choices},
        "warnings": list(result.evidence.warnings),
        "seconds": round(result.seconds, 3),
    }


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
            f"why: {summary['report']}, or limosa inspect {summary['artifact']}",
        ]
    )
