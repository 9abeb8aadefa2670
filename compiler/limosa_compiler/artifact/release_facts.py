"""What a release says of itself in its model card and bill of materials: only what repeats (compiler 6.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from limosa_compiler.measuring.measure import Measured
from limosa_compiler.recipe.gate import Gate
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import ReleaseName
from limosa_contracts.serving import TensorSpec

CARD_FILE: Final = "card.md"
BOM_FILE: Final = "bom.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """Nothing measured in time or memory is in it: both documents are covered by the release's digest.

    `chosen`: target -> the candidate it gets, in the order of variants. `inputs_digests`: what went into
    the build -> sha256:….
    """

    release: ReleaseName
    metric: str
    lower_is_better: bool
    gate: Gate
    about: Mapping[str, JsonValue]
    lineage: Mapping[str, str]
    classes: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reference: Measured  # fp32
    chosen: Mapping[str, Measured]
    inputs_digests: Mapping[str, str]
    tools: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """As CycloneDX has it, in words."""
        return "classification" if self.classes else "prediction"

    def candidates(self) -> dict[str, tuple[Measured, tuple[str, ...]]]:
        """Candidate -> itself, and the targets that get it."""
        found: dict[str, tuple[Measured, tuple[str, ...]]] = {}
        for target, item in self.chosen.items():
            found[item.name] = (item, (*found.get(item.name, (item, ()))[1], target))
        return found
