"""The bill of materials: a CycloneDX 1.6 ML-BOM, the same bytes for the same release (compiler 6.5).

Source: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/. No timestamp is in it, and its serial number
is made from its contents.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Final

from limosa_compiler.artifact.release_facts import ReleaseFacts
from limosa_compiler.measuring.measure import Measured
from limosa_compiler.measuring.scores import Score
from limosa_compiler.recipe.about import text_of, texts_of
from limosa_contracts.canonical import encode_canonical
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import TensorSpec

SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
MODEL_REF: Final = "model"
# Ids of the SPDX list that models come under; others are told by name, which the format allows for all.
SPDX: Final = frozenset({
    "0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0",
    "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0",
    "CC-BY-SA-4.0", "CC0-1.0", "CDLA-Permissive-2.0", "ECL-2.0", "EUPL-1.2", "GPL-2.0-only",
    "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-3.0-only", "MIT", "MPL-2.0", "NCSA", "ODbL-1.0",
    "PostgreSQL", "Unlicense", "Zlib",
})  # fmt: skip
_DATA: Final = ("calibration", "evaluation", "dataset")


def make_bom(facts: ReleaseFacts) -> bytes:
    """Canonical JSON in UTF-8."""
    found = facts.candidates()
    models = [_model(facts, item, targets) for item, targets in found.values()]
    data = [_data(name, digest) for name, digest in sorted(_data_digests(facts).items())]
    document: dict[str, JsonValue] = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _release(facts), "tools": {"components": _tools(facts)}},
        "components": [*models, *data],
        "dependencies": [
            {"ref": MODEL_REF, "dependsOn": [str(part["bom-ref"]) for part in (*models, *data)]},
        ],
    }
    digest = hashlib.sha256(encode_canonical(document)).hexdigest()
    serial = uuid.uuid5(uuid.NAMESPACE_OID, f"limosa.bom/1:{digest}")
    return encode_canonical({**document, "serialNumber": serial.urn}) + b"\n"


def _release(facts: ReleaseFacts) -> dict[str, JsonValue]:
    about = facts.about
    component: dict[str, JsonValue] = {
        "type": "machine-learning-model",
        "bom-ref": MODEL_REF,
        "group": facts.release.name.team,
        "name": facts.release.name.model,
        "version": facts.release.version,
        "modelCard": _card(facts),
        "properties": _properties(
            {f"limosa:lineage:{key}": text for key, text in facts.lineage.items()}
            | {f"limosa:input:{key}": digest for key, digest in facts.inputs_digests.items()}
        ),
    }
    if description := text_of(about, "description") or text_of(about, "title"):
        component["description"] = description
    if authors := texts_of(about, "authors"):
        component["authors"] = [{"name": author} for author in authors]
    if vendor := text_of(about, "vendor"):
        component["supplier"] = {"name": vendor}
    if licenses := texts_of(about, "licenses"):
        component["licenses"] = [{"license": {"id" if name in SPDX else "name": name}} for name in licenses]
    return component


def _card(facts: ReleaseFacts) -> dict[str, JsonValue]:
    metrics = [metric for item, _ in facts.candidates().values() for metric in _metrics(facts.metric, item)]
    card: dict[str, JsonValue] = {
        "modelParameters": {
            "task": facts.task,
            "datasets": [{"ref": f"data-{name}"} for name in sorted(_data_digests(facts))],
            "inputs": [{"format": _format(spec)} for spec in facts.inputs],
            "outputs": [{"format": _format(spec)} for spec in facts.outputs],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
    }
    considerations: dict[str, JsonValue] = {}
    if use := text_of(facts.about, "intended_use"):
        considerations["useCases"] = [use]
    limits = [text_of(facts.about, "limits"), *facts.warnings]
    if any(limits):
        considerations["technicalLimitations"] = [text for text in limits if text]
    return {**card, "considerations": considerations} if considerations else card


def _metrics(name: str, item: Measured) -> list[JsonValue]:
    parts = [("tune", item.tune), ("holdout", item.holdout)]
    parts += [(f"tune, {key}", score) for key, score in item.tune_slices.items()]
    parts += [(f"holdout, {key}", score) for key, score in item.holdout_slices.items()]
    return [_metric(name, f"{item.name}: {part}", score) for part, score in parts]


def _metric(name: str, part: str, score: Score) -> dict[str, JsonValue]:
    said: dict[str, JsonValue] = {"type": name, "value": f"{score.metric:.6g}", "slice": part}
    if score.interval is not None:
        said["confidenceInterval"] = {
            "lowerBound": f"{score.interval.low:.6g}",
            "upperBound": f"{score.interval.high:.6g}",
        }
    return said


def _model(facts: ReleaseFacts, item: Measured, targets: tuple[str, ...]) -> dict[str, JsonValue]:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"candidate-{item.name}",
        "name": f"{facts.release.name.model} {item.name}",
        "version": facts.release.version,
        "hashes": _hashes(item.digest),
        "properties": _properties(
            {
                "limosa:bytes": str(item.size),
                "limosa:precision": item.precision,
                "limosa:runtime": item.runtime,
                "limosa:targets": ",".join(targets),
            }
        ),
    }


def _data(name: str, digest: str) -> dict[str, JsonValue]:
    return {
        "type": "data",
        "bom-ref": f"data-{name}",
        "name": name,
        "data": [{"type": "dataset", "name": name}],
        "hashes": _hashes(digest),
    }


def _data_digests(facts: ReleaseFacts) -> dict[str, str]:
    known = {**facts.inputs_digests, **facts.lineage}
    return {name: known[name] for name in _DATA if known.get(name, "").startswith("sha256:")}


def _tools(facts: ReleaseFacts) -> list[JsonValue]:
    return [
        {"type": "application" if name == "limosa" else "library", "name": name, "version": version}
        for name, version in sorted(facts.tools.items())
    ]


def _hashes(digest: str) -> list[JsonValue]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]


def _properties(said: Mapping[str, str]) -> list[JsonValue]:
    return [{"name": name, "value": text} for name, text in sorted(said.items())]


def _format(spec: TensorSpec) -> str:
    return f"{spec.name}: {spec.dtype} {list(spec.shape)}"
