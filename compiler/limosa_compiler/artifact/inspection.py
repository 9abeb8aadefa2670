"""What `limosa inspect` says of an artifact, as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from limosa_compiler.artifact.archive_file import Archive, Variant
from limosa_compiler.choice.choose import Choice
from limosa_compiler.evidence.candidates import candidate_json, pruned_json
from limosa_compiler.evidence.evidence import SUFFIX as EVIDENCE_SUFFIX
from limosa_compiler.evidence.evidence import Evidence, evidence_path_of
from limosa_contracts.errors import LimosaError
from limosa_contracts.json_value import JsonValue
from limosa_contracts.oci import SIGNATURE_FILE
from limosa_contracts.serving import BASELINE_FILE, FILE, Serving

SCHEMA: Final = "limosa.inspect/1"


def find_evidence(artifact: Path, archive: Archive) -> tuple[Evidence | None, dict[str, JsonValue]]:
    """(evidence that is about this artifact, what to say of the file). Its state is matches, missing,
    other_artifact, or unreadable; only the first gives evidence."""
    path = evidence_path_of(artifact)
    if not path.is_file():
        return None, _found(path, "missing", "candidates and measurements are in that file only")
    try:
        evidence = Evidence.parse(path.read_bytes())
    except LimosaError as error:
        return None, _found(path, "unreadable", str(error))
    if evidence.content != archive.content_digest:
        return None, _found(path, "other_artifact", f"it is about {evidence.release} with other contents")
    return evidence, _found(path, "matches", "not covered by the artifact's signature")


def describe(artifact: Path, archive: Archive) -> dict[str, JsonValue]:
    """Everything, also without evidence and without a signature."""
    evidence, found = find_evidence(artifact, archive)
    result: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "artifact": str(artifact),
        "release": str(archive.release),
        "size_bytes": artifact.stat().st_size,
        "index_digest": archive.index_descriptor.digest,
        "signed": all(variant.manifest.has(SIGNATURE_FILE) for variant in archive.variants),
        "variants": [_variant(archive, variant) for variant in archive.variants],
        "evidence": found,
        "candidates": _candidates(evidence) if evidence else [],
        "warnings": list(evidence.warnings) if evidence else [],
    }
    if evidence:
        result |= {
            "build": evidence.build,
            "left_out": [item.as_json() for item in evidence.left_out],
            "pruned": [pruned_json(item) for item in evidence.pruned],
            "promises": [promise.as_json() for promise in evidence.promises],
            "sensitivity": [item.as_json() for item in evidence.sensitivity],
            "importance": [item.as_json() for item in evidence.importance],
            "lineage": dict(evidence.lineage),
            "report": _report(artifact),
            "passes": list(evidence.passes),
            "machine": dict(evidence.machine),
        }
    return result


def _report(artifact: Path) -> str:
    """The report's path, "" where it is not beside the artifact. Made with it, and not checked here."""
    path = evidence_path_of(artifact)
    report = path.with_name(path.name.removesuffix(EVIDENCE_SUFFIX) + ".report.html")
    return str(report) if report.is_file() else ""


def _found(path: Path, state: str, why: str) -> dict[str, JsonValue]:
    return {"file": str(path), "state": state, "why": why}


def _variant(archive: Archive, variant: Variant) -> dict[str, JsonValue]:
    said: dict[str, JsonValue] = {
        "name": variant.name,
        "manifest_digest": variant.descriptor.digest,
        "signed": variant.manifest.has(SIGNATURE_FILE),
        "platform": dict(variant.descriptor.platform),
        "requires": json.loads(variant.requirements.encode()),
        "annotations": dict(variant.manifest.annotations),
        "files": [
            {
                "name": layer.filename,
                "size_bytes": layer.size,
                "digest": layer.digest,
                "type": layer.media_type,
            }
            for layer in variant.manifest.layers
        ],
    }
    if not variant.manifest.has(FILE):
        return said
    serving = Serving.parse(archive.files(variant)[FILE])
    return said | {
        "candidate": variant.manifest.annotations.get("dev.limosa.candidate", ""),
        "precision": serving.precision,
        "inputs": [spec.as_json() for spec in serving.inputs],
        "outputs": [spec.as_json() for spec in serving.outputs],
        "task": serving.task,
        "classes": list(serving.classes),
        "features": [feature.name for feature in serving.features],
        "golden": serving.golden.as_json(),
        "baseline": variant.manifest.has(BASELINE_FILE),
    }


def _candidates(evidence: Evidence) -> list[JsonValue]:
    metric = evidence.build.get("metric", "")
    return [
        {
            **candidate_json(item),
            "metric": metric,
            "latency_ratio": item.latency.ratio,
            "targets": {choice.target: _standing(choice, item.name) for choice in evidence.choices},
        }
        for item in evidence.candidates
    ]


def _standing(choice: Choice, candidate: str) -> JsonValue:
    """Why the candidate was or was not chosen for one target."""
    for verdict in choice.verdicts:
        if verdict.candidate == candidate:
            return {
                "chosen": verdict.candidate == choice.chosen,
                "standing": verdict.standing.value,
                "reason": verdict.reason,
            }
    return None
