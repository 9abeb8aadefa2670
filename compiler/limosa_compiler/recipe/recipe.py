"""The recipe of a build (`limosa.toml`): strict, so that a mistyped key never means "default"."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, cast

from limosa_compiler.external.mlflow_model import is_uri
from limosa_compiler.limits import LIMITS
from limosa_compiler.recipe.about import parse_about
from limosa_compiler.recipe.data import DataNotes, Source
from limosa_compiler.recipe.gate import Gate as Gate  # also found here
from limosa_compiler.recipe.gate import Prefer, parse_prefer
from limosa_compiler.recipe.inputs import InputNotes, parse_inputs
from limosa_compiler.recipe.lineage import LineageNotes
from limosa_compiler.recipe.metric import DEFAULT_METRIC, DEFAULT_TUNE_SHARE, MetricNotes
from limosa_compiler.recipe.processing import Processing
from limosa_compiler.recipe.prune import PruneNotes
from limosa_compiler.recipe.search import SearchNotes
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS as CONTRACT
from limosa_contracts.names import NAME, ModelName, ReleaseName, check_version

_MODELS: Final = (".onnx", ".tflite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One build. Paths are as given, or relative to the recipe's folder.

    A block is a field here, a line in `parse`, and a file of this folder that knows its keys.
    """

    release: ReleaseName
    model: Path
    targets: tuple[str, ...]
    data: DataNotes
    profiles: Path | None = None  # a folder of device profiles of one's own
    metric: str = DEFAULT_METRIC
    output: str = ""  # the model's output that the metric reads; "" is the first
    tune_share: float = DEFAULT_TUNE_SHARE  # of the evaluation rows; the rest is holdout
    gate: Gate = field(default_factory=Gate)
    prefer: Prefer = Prefer.SIZE
    search: SearchNotes = field(default_factory=SearchNotes)
    prune: PruneNotes | None = None
    classes: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()  # non-standard ones that devices' runtimes have, "domain::name"
    inputs: Mapping[str, InputNotes] = field(default_factory=dict)
    processing: Processing = field(default_factory=Processing)
    about: Mapping[str, JsonValue] = field(default_factory=dict)  # ModelPack descriptor
    lineage: LineageNotes = field(default_factory=LineageNotes)

    @property
    def calibration(self) -> Source:
        return self.data.calibration

    @property
    def evaluation(self) -> Source:
        return self.data.evaluation

    @property
    def label(self) -> str:
        return self.data.label

    @classmethod
    def parse(cls, document: JsonObject, *, folder: Path, where: str = "") -> Self:
        """Raises InvalidField, naming an unknown key's nearest. `where`: the file, for its errors."""
        fields = Fields(document, where=where)
        release = ReleaseName(
            ModelName.parse(fields.text("name")), check_version(fields.text("version", max_chars=128))
        )
        nothing: JsonObject = {}
        data = Fields(fields.optional("data", fields.object, nothing), where=fields.at("data"))
        metric = MetricNotes.parse(
            Fields(fields.optional("metric", fields.object, nothing), where=fields.at("metric"))
        )
        recipe = cls(
            release=release,
            model=_model(fields.text("model"), folder),
            targets=_targets(fields),
            data=DataNotes.parse(data, folder=folder),
            profiles=fields.maybe("profiles", lambda n: folder / fields.text(n)),
            metric=metric.name,
            output=metric.output,
            tune_share=metric.tune_share,
            gate=fields.optional("gate", lambda n: Gate.parse(fields.fields(n)), Gate()),
            prefer=parse_prefer(fields),
            search=fields.optional("search", lambda n: SearchNotes.parse(fields.fields(n)), SearchNotes()),
            prune=fields.maybe("prune", lambda n: PruneNotes.parse(fields.fields(n))),
            classes=fields.optional("classes", lambda n: fields.texts(n, max_items=LIMITS.alphabet_max), ()),
            operators=fields.optional("operators", lambda n: fields.texts(n, max_items=64), ()),
            inputs=fields.optional("inputs", lambda n: parse_inputs(fields, n), {}),
            processing=Processing.parse(fields),
            about=fields.optional("about", lambda n: parse_about(fields.fields(n)), {}),
            lineage=LineageNotes.parse(fields, folder=folder),
        )
        fields.refuse_rest()
        return recipe


def read_recipe(path: Path) -> JsonObject:
    """The recipe's document, not yet checked: flags may still be laid over it. Raises InvalidField."""
    if path.stat().st_size > LIMITS.recipe_max_bytes:
        raise InvalidField("the recipe is too large", where=str(path))
    if path.suffix.lower() in _MODELS:
        raise InvalidField(
            "this is a model, not a recipe",
            where=str(path),
            hint=f"limosa init {path} writes a recipe for it; limosa build --model builds without one",
        )
    try:
        return cast("JsonObject", tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidField("the recipe is not valid TOML", where=str(path), why=str(error)) from error


def _model(text: str, folder: Path) -> Path:
    """A registry's URI stays as it is: `mlflow_model` reads it when the build begins."""
    return Path(text) if is_uri(text) else folder / text


def _targets(fields: Fields) -> tuple[str, ...]:
    targets = fields.texts("targets", pattern=NAME, max_items=CONTRACT.variants_max)
    if not targets or len(set(targets)) != len(targets):
        raise fields.wrong("targets", "name at least one device profile, each once")
    return targets
