"""`NAME-VERSION.evidence.json`: how every candidate did, beside the artifact and outside its digest.

What was measured (time) differs from run to run, the artifact must not (compiler 2.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from limosa_compiler.choice.choose import Choice
from limosa_compiler.choice.promises import Promise
from limosa_compiler.evidence.candidates import (
    candidate_json,
    parse_candidate,
    parse_choice,
    parse_pruned,
    pruned_json,
)
from limosa_compiler.evidence.candidates import choice_json as choice_json  # also found here
from limosa_compiler.evidence.parts import FeatureImportance, Mistakes, NodeSensitivity, RangeSummary
from limosa_compiler.measuring.measure import Measured, Pruned
from limosa_compiler.search.left_out import LeftOut
from limosa_contracts.archive import SUFFIX as ARCHIVE_SUFFIX
from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import DIGEST, SHA256_HEX, ReleaseName

SCHEMA: Final = "limosa.evidence/1"
SUFFIX: Final = ".evidence.json"
T = TypeVar("T", covariant=True)


class Parse(Protocol[T]):
    def __call__(self, value: JsonValue, /, *, where: str) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`content` is the artifact's `content_digest`: it survives signing. `build` holds gate, metric, …"""

    release: ReleaseName
    index_digest: str  # as built, before signing
    content: str
    candidates: tuple[Measured, ...]
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]
    tools: Mapping[str, str]
    inputs: Mapping[str, str]  # what went in -> sha256
    build: JsonObject  # gate, metric, split
    passes: tuple[JsonValue, ...]
    machine: Mapping[str, str]
    lineage: Mapping[str, str] = field(default_factory=dict)  # where model and data come from
    sensitivity: tuple[NodeSensitivity, ...] = ()  # worst first
    left_out: tuple[LeftOut, ...] = ()  # ways of making a candidate that gave none
    ranges: tuple[RangeSummary, ...] = ()  # of the tensors that were cut most
    importance: tuple[FeatureImportance, ...] = ()  # of the first target's choice, on tune rows
    pruned: tuple[Pruned, ...] = ()  # not measured to the end
    promises: tuple[Promise, ...] = ()  # one for each target
    mistakes: tuple[Mistakes, ...] = ()  # of each candidate that was chosen, on holdout rows
    extra: JsonObject = field(default_factory=dict)

    def candidate(self, name: str) -> Measured | None:
        return next((item for item in self.candidates if item.name == name), None)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge."""
        fields = Fields(parse_object(data, what="evidence"), where="evidence")
        fields.schema(SCHEMA)
        return cls(
            release=ReleaseName.parse(fields.text("release")),
            index_digest=fields.text("index_digest", pattern=DIGEST),
            content=fields.text("content", pattern=SHA256_HEX),
            candidates=tuple(
                parse_candidate(item, where=place) for place, item in fields.items("candidates")
            ),
            choices=tuple(parse_choice(item, where=place) for place, item in fields.items("targets")),
            warnings=fields.texts("warnings"),
            tools=fields.text_map("tools"),
            inputs=fields.text_map("inputs"),
            build=fields.object("build"),
            passes=tuple(item for _, item in fields.items("passes")),
            machine=fields.text_map("machine"),
            lineage=fields.optional("lineage", fields.text_map, {}),
            sensitivity=_parts(fields, "sensitivity", NodeSensitivity.parse),
            left_out=_parts(fields, "left_out", LeftOut.parse),
            ranges=_parts(fields, "ranges", RangeSummary.parse),
            importance=_parts(fields, "importance", FeatureImportance.parse),
            pruned=_parts(fields, "pruned", parse_pruned),
            promises=_parts(fields, "promises", Promise.parse),
            mistakes=_parts(fields, "mistakes", Mistakes.parse),
            extra=fields.rest(),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            **self.extra,
            "schema": SCHEMA,
            "release": str(self.release),
            "index_digest": self.index_digest,
            "content": self.content,
            "candidates": [candidate_json(item) for item in self.candidates],
            "targets": [choice_json(choice) for choice in self.choices],
            "warnings": list(self.warnings),
            "tools": dict(self.tools),
            "inputs": dict(self.inputs),
            "build": dict(self.build),
            "passes": list(self.passes),
            "machine": dict(self.machine),
            **self._optional_parts(),
        }

    def _optional_parts(self) -> dict[str, JsonValue]:
        """Left out where there are none: the evidence of a build that did not look says nothing."""
        parts: dict[str, JsonValue] = {
            "lineage": dict(self.lineage),
            "sensitivity": [item.as_json() for item in self.sensitivity],
            "left_out": [item.as_json() for item in self.left_out],
            "ranges": [item.as_json() for item in self.ranges],
            "importance": [item.as_json() for item in self.importance],
            "pruned": [pruned_json(item) for item in self.pruned],
            "promises": [item.as_json() for item in self.promises],
            "mistakes": [item.as_json() for item in self.mistakes],
        }
        return {name: value for name, value in parts.items() if value}

    def encode(self) -> bytes:
        return encode_canonical(self.as_json()) + b"\n"


def evidence_path_of(artifact: Path) -> Path:
    """Beside the artifact, signed or not.

    >>> [str(evidence_path_of(Path(name))) for name in ("m-1.0.0.limosa", "m-1.0.0.signed.limosa")]
    ['m-1.0.0.evidence.json', 'm-1.0.0.evidence.json']
    """
    plain = artifact.name.removesuffix(ARCHIVE_SUFFIX).removesuffix(".signed")
    return artifact.with_name(plain + SUFFIX)


def _parts(fields: Fields, name: str, parse: Parse[T]) -> tuple[T, ...]:
    nothing: tuple[T, ...] = ()
    return fields.optional(
        name, lambda n: tuple(parse(item, where=place) for place, item in fields.items(n)), nothing
    )
