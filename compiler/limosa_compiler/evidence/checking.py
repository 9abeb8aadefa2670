"""`limosa build --check`: the build again, with what was measured then, and what differs (compiler 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from limosa_compiler.artifact.archive_file import Archive, read_archive
from limosa_compiler.artifact.diffing import Side, compare
from limosa_compiler.artifact.inspection import find_evidence
from limosa_compiler.building import build
from limosa_compiler.errors import NotReproduced
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.evidence.provenance import machine
from limosa_compiler.passes import OnPass
from limosa_compiler.recipe import Recipe
from limosa_contracts.errors import Usage
from limosa_contracts.json_value import JsonValue

SCHEMA: Final = "limosa.check/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """An artifact that the recipe gives again: every file but signatures has the same digest."""

    artifact: Path
    archive: Archive
    seconds: float

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "schema": SCHEMA,
            "artifact": str(self.artifact),
            "release": str(self.archive.release),
            "reproduced": True,
            "content": self.archive.content_digest,
            "seconds": round(self.seconds, 3),
        }


def check(
    recipe: Recipe, artifact: Path, *, evidence: Evidence | None = None, on_pass: OnPass = lambda report: None
) -> Checked:
    """Builds in a folder of its own and keeps nothing. `evidence` None: that beside the artifact.

    Raises Usage without evidence, NotReproduced with what differs, and whatever a build raises.
    """
    archive = read_archive(artifact)
    recorded = evidence or _evidence_of(artifact, archive)
    with TemporaryDirectory(prefix="limosa-check-") as folder:
        again = build(recipe, folder=Path(folder), on_pass=on_pass, replay=recorded)
    if again.archive.content_digest == archive.content_digest:
        return Checked(artifact=artifact, archive=archive, seconds=again.seconds)
    said: Mapping[str, Any] = compare(Side(archive=archive), Side(archive=again.archive))
    reasons = differences(said, recorded.machine)
    raise NotReproduced(
        f"the recipe does not give {archive.release} again",
        where=str(artifact),
        why="; ".join(reasons[:6]) + (f"; and {len(reasons) - 6} more" if len(reasons) > 6 else ""),
        evidence={"differences": list(reasons), "diff": dict(said)},
    )


def differences(said: Mapping[str, Any], recorded_machine: Mapping[str, str]) -> tuple[str, ...]:
    """Causes first: inputs, tools, decisions, machine; then the files that came out otherwise."""
    found = [f"release {said['old']['release']} is {said['new']['release']} in the recipe"]
    if said["old"]["release"] == said["new"]["release"]:
        found = []
    for kind, word in (("inputs", "input"), ("tools", "tool"), ("decision", "decision")):
        for name, (old, new) in said["build"][kind].items():
            found.append(f"{word} {name}: {_short(old)} then, {_short(new)} now")
    here = machine()
    for name in ("architecture", "cpu_features"):
        if recorded_machine.get(name, here[name]) != here[name]:
            found.append(f"machine, {name}: {recorded_machine[name]} then, {here[name]} now")
    for variant in said["variants"]:
        if variant["state"] in ("added", "removed"):
            when = "then" if variant["state"] == "removed" else "now"
            found.append(f"variant {variant['name']} is there only {when}")
        was, now = variant["candidate"]
        if was and now and was != now:
            found.append(f"{variant['name']}: candidate {was} then, {now} now")
        found += [
            f"{variant['name']}/{name}: {_short(old)} then, {_short(new)} now"
            for name, (old, new) in variant["files"].items()
        ]
    return tuple(found)


def _evidence_of(artifact: Path, archive: Archive) -> Evidence:
    evidence, state = find_evidence(artifact, archive)
    if evidence is None:
        raise Usage(
            "a check takes its measurements from the artifact's evidence",
            where=str(state["file"]),
            why=f"{state['state']}: {state['why']}",
            hint="name it: --replay EVIDENCE",
        )
    return evidence


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = str(value)
    return f"{text[:19]}…" if text.startswith("sha256:") else text[:120]
