"""The documents that every variant of a release carries: model card and bill of materials (compiler 6.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limosa_compiler.artifact.release_facts import BOM_FILE, CARD_FILE, ReleaseFacts
from limosa_compiler.choice.choose import Choice
from limosa_compiler.choice.notes import choice_warnings
from limosa_compiler.evidence.provenance import tools
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.measuring.measure import Measured
from limosa_compiler.metrics import Metric
from limosa_compiler.recipe import Recipe
from limosa_compiler.report.bom import make_bom
from limosa_compiler.report.card import make_card


def release_documents(
    recipe: Recipe,
    loaded: Loaded,
    choices: Sequence[Choice],
    measured: Sequence[Measured],
    *,
    metric: Metric,
    inputs: Mapping[str, str],
    warnings: Sequence[str],
) -> dict[str, bytes]:
    """File name -> bytes; equal for all variants, so that they are stored once."""
    by_name = {item.name: item for item in measured}
    facts = ReleaseFacts(
        release=recipe.release,
        metric=metric.name,
        lower_is_better=not metric.higher_is_better,
        gate=recipe.gate,
        about=recipe.about,
        lineage=recipe.lineage.texts,
        classes=loaded.classes,
        inputs=loaded.inputs,
        outputs=loaded.outputs,
        reference=measured[0],
        chosen={choice.target: by_name[choice.chosen or ""] for choice in choices},
        inputs_digests=inputs,
        tools=tools(),
        warnings=(*warnings, *choice_warnings(choices, measured)),
    )
    return {CARD_FILE: make_card(facts), BOM_FILE: make_bom(facts)}
