"""A build, start to end: load, compile, measure, choose, prove, package (compiler 2)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from limosa_compiler.artifact.archive_file import (
    Archive,
    archive_name,
    archive_of,
)
from limosa_compiler.artifact.package import Packaged, VariantFiles, package_release
from limosa_compiler.artifact.prove import files_of_variant
from limosa_compiler.artifact.release_documents import release_documents
from limosa_compiler.artifact.requirements import best_first, requirements_for
from limosa_compiler.artifact.written_release import refuse_unwritable, write_release
from limosa_compiler.calibration.cache import CalibrationCache
from limosa_compiler.choice.choose import Choice, choose
from limosa_compiler.choice.fail_closed import require_chosen
from limosa_compiler.choice.notes import choice_warnings, data_warnings, promises_of
from limosa_compiler.choice.promises import Promise, unchecked_limits
from limosa_compiler.choice.ties import Leanings
from limosa_compiler.evidence.evidence import Evidence
from limosa_compiler.evidence.findings import ranges_summary, with_findings
from limosa_compiler.evidence.lineage import resolved
from limosa_compiler.evidence.provenance import build_facts, machine, manifest_annotations, tools
from limosa_compiler.external.mlflow_model import model_file
from limosa_compiler.ingest import opset_of
from limosa_compiler.limits import LIMITS
from limosa_compiler.litert.toolchain import toolchain_annotations
from limosa_compiler.loading.load import load
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.measuring.measure import Measured
from limosa_compiler.metrics import Metric, metric_named
from limosa_compiler.passes import OnPass, PassReport
from limosa_compiler.pruning.ladder import pruning_warnings
from limosa_compiler.recipe import Recipe
from limosa_compiler.recipe.about import descriptor_of
from limosa_compiler.report import report_path_of
from limosa_compiler.search.candidates import Outcome, Wanted, measure_all, with_choices
from limosa_compiler.search.ladder import Ladder
from limosa_compiler.search.ladders import make_ladders, strategy_of
from limosa_compiler.search.strategies import is_coarser, unfit
from limosa_compiler.targets.files import known_profiles, profile_named
from limosa_contracts.json_value import JsonValue
from limosa_contracts.profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BuildResult:
    """What a build left on disk, and why it is what it is."""

    path: Path
    evidence_path: Path
    archive: Archive
    evidence: Evidence
    seconds: float

    @property
    def report_path(self) -> Path:
        """What ships where and why, for people; beside the artifact too."""
        return report_path_of(self.path)

    @property
    def index_digest(self) -> str:
        """sha256:… of the image index; the same for the same inputs, tools and decisions."""
        return self.archive.index_descriptor.digest

    @property
    def chosen(self) -> Mapping[str, Measured]:
        """Target -> the candidate that it gets, as it was measured."""
        found: dict[str, Measured] = {}
        for choice in self.evidence.choices:
            candidate = self.evidence.candidate(choice.chosen or "")
            assert candidate is not None, "a build without a choice writes nothing"
            found[choice.target] = candidate
        return found

    def __repr__(self) -> str:
        """A few lines, as a notebook shows it: the files' contents are not for people."""
        lines = [
            f"{target}: {item.name}, {item.size} bytes, holdout {item.holdout.metric:.4f}"
            for target, item in self.chosen.items()
        ]
        return "\n  ".join([f"BuildResult({self.evidence.release}, {self.path}", *lines]) + ")"


def build(
    recipe: Recipe,
    *,
    folder: Path,
    on_pass: OnPass = lambda report: None,
    replay: Evidence | None = None,
    mtime: int = 0,
) -> BuildResult:
    """Writes `NAME-VERSION.limosa` and its evidence into `folder`, or nothing.

    With `replay`, time and memory are those recorded there. Raises GateNotMet if a target is left without a
    candidate; RequestErrors for bad input; OSError at once if nothing can be written into `folder`.
    """
    begin = time.perf_counter()
    refuse_unwritable(folder)
    recipe = replace(recipe, lineage=resolved(recipe.lineage))
    with model_file(recipe.model) as given:
        recipe = replace(recipe, model=given.file, lineage=recipe.lineage.with_texts(given.lineage))
        return _build(recipe, begin, folder=folder, on_pass=on_pass, replay=replay, mtime=mtime)


def _build(
    recipe: Recipe, begin: float, *, folder: Path, on_pass: OnPass, replay: Evidence | None, mtime: int
) -> BuildResult:
    """With a model that is a file, and lineage that is texts."""
    profiles, metric = profiles_of(recipe), metric_named(recipe.metric, classes=recipe.classes)
    loaded = load(recipe, metric, on_pass=on_pass)
    strategy = strategy_of(recipe, profiles)
    cache = CalibrationCache.of_user() if recipe.search.cache else None
    found = make_ladders(loaded, recipe, profiles, strategy, on_pass=on_pass, cache=cache)
    wanted = Wanted(
        metric=metric,
        gate=recipe.gate,
        prefer=recipe.prefer,
        profiles=profiles,
        recorded={item.digest: item.recorded for item in replay.candidates} if replay else {},
    )
    outcome = measure_all(
        found,
        loaded,
        wanted,
        float_nodes_max=recipe.search.float_nodes_max if strategy.searches else 0,
        on_pass=on_pass,
    )
    found, measured = outcome.found, outcome.measured
    choices = _choices(outcome, profiles, recipe, metric)
    require_chosen(choices, measured, outcome.pruned, gate=recipe.gate, metric=metric)
    packaged = _package(choices, profiles, found, loaded, recipe, metric, measured)
    archive = archive_of(packaged.blobs, packaged.index)
    promises = promises_of(choices, measured, profiles, archive)
    evidence = _whole_evidence(recipe, archive, loaded, outcome, choices, promises, metric)
    path = folder / archive_name(recipe.release)
    evidence_path = write_release(path, packaged, evidence, mtime=mtime)
    return BuildResult(
        path=path,
        evidence_path=evidence_path,
        archive=archive,
        evidence=evidence,
        seconds=time.perf_counter() - begin,
    )


def _whole_evidence(
    recipe: Recipe,
    archive: Archive,
    loaded: Loaded,
    outcome: Outcome,
    choices: Sequence[Choice],
    promises: tuple[Promise, ...],
    metric: Metric,
) -> Evidence:
    """What was measured and decided, and what helps to understand it."""
    found, measured = outcome.found, outcome.measured
    chosen = [found.candidate(choice.chosen or "") for choice in choices]
    evidence = _evidence(recipe, archive, loaded, found)
    evidence = replace(
        evidence,
        candidates=measured,
        pruned=outcome.pruned,
        choices=tuple(choices),
        promises=promises,
        warnings=(
            *evidence.warnings,
            *choice_warnings(choices, measured),
            *data_warnings(
                measured,
                loaded.tune.labels,
                metric=metric.name,
                same_source=recipe.calibration == recipe.evaluation,
            ),
            *unchecked_limits(promises),
            *pruning_warnings(recipe.prune, choices),
        ),
        passes=_as_json((*loaded.reports, *found.reports, *outcome.reports)),
        sensitivity=with_choices(found, chosen).sensitivity,
    )
    return with_findings(
        evidence,
        runners=found.runners,
        tune=loaded.tune,
        holdout=loaded.holdout,
        output=loaded.output,
        recipe=recipe,
        metric=metric,
        classes=loaded.classes,
        sequences=bool(loaded.states),
    )


def _choices(
    outcome: Outcome, profiles: Sequence[Profile], recipe: Recipe, metric: Metric
) -> tuple[Choice, ...]:
    """In the order of `profiles`.

    Targets that can be given the fewest candidates choose first: what they get is shipped anyway.
    """
    misfits = {profile.name: _misfits(outcome, profile) for profile in profiles}
    made: dict[str, Choice] = {}
    digests = {item.name: item.digest for item in outcome.measured}
    for profile in sorted(profiles, key=lambda item: -len(misfits[item.name])):
        coarser = {
            item.name
            for item in outcome.measured
            if is_coarser(outcome.found.candidate(item.name).recipe, profile)
        }
        shipped = {digests[choice.chosen] for choice in made.values() if choice.chosen}
        made[profile.name] = choose(
            outcome.measured,
            profile=profile,
            gate=recipe.gate,
            metric=metric,
            prefer=recipe.prefer,
            pruned=outcome.pruned,
            unfit=misfits[profile.name],
            leanings=Leanings(coarser=coarser, shipped=shipped),
        )
    return tuple(made[profile.name] for profile in profiles)


def _misfits(outcome: Outcome, profile: Profile) -> dict[str, str]:
    """Candidates that the target's processor would not compute as measured -> why."""
    found = {
        item.name: unfit(outcome.found.candidate(item.name).recipe, profile) for item in outcome.measured
    }
    return {name: why for name, why in found.items() if why}


def profiles_of(recipe: Recipe) -> tuple[Profile, ...]:
    """In the order in which devices choose. Raises UnknownTarget, ProfileUnusable."""
    known = known_profiles(recipe.profiles)
    return best_first(profile_named(target, known) for target in recipe.targets)


def _evidence(recipe: Recipe, archive: Archive, loaded: Loaded, found: Ladder) -> Evidence:
    """All but what was measured and decided."""
    return Evidence(
        release=recipe.release,
        index_digest=archive.index_descriptor.digest,
        content=archive.content_digest,
        candidates=(),
        choices=(),
        warnings=(*found.warnings, *_row_warnings(loaded)),
        tools=tools(),
        inputs=_inputs(loaded, found),
        build=build_facts(recipe),
        passes=(),
        machine=machine(),
        left_out=found.left_out,
        lineage=recipe.lineage.texts,
        ranges=ranges_summary(found.ranges.minmax, found.ranges.cut["p99.9"]) if found.ranges else (),
    )


def _package(
    choices: Sequence[Choice],
    profiles: Sequence[Profile],
    found: Ladder,
    loaded: Loaded,
    recipe: Recipe,
    metric: Metric,
    measured: Sequence[Measured],
) -> Packaged:
    variants: list[VariantFiles] = []
    documents = release_documents(
        recipe,
        loaded,
        choices,
        measured,
        metric=metric,
        inputs=_inputs(loaded, found),
        warnings=_row_warnings(loaded),
    )
    for choice, profile in zip(choices, profiles, strict=True):
        chosen = found.candidate(choice.chosen or "")
        files = documents | files_of_variant(
            profile.name, chosen, found.runners[chosen.name], loaded, recipe, metric, found.fp32
        )
        variants.append(
            VariantFiles(
                name=profile.name,
                files=files,
                requirements=requirements_for(
                    profile,
                    opset=opset_of(loaded.model),
                    ir=loaded.model.ir_version,
                    model_bytes=chosen.size,
                    files_bytes=sum(len(data) for data in files.values()),
                    runtime=chosen.runtime,
                    runtime_tested=str(chosen.recipe.get("runtime_tested", "")),
                ),
                annotations=manifest_annotations(recipe, candidate=chosen.name, inputs=_inputs(loaded, found))
                | toolchain_annotations(chosen.runtime),
                about=descriptor_of(recipe.about),
            )
        )
    return package_release(variants)


def _inputs(loaded: Loaded, found: Ladder) -> Mapping[str, str]:
    return {**loaded.digests, **found.digests}


def _row_warnings(loaded: Loaded) -> tuple[str, ...]:
    if loaded.holdout.count >= LIMITS.holdout_rows_min:
        return ()
    return (
        f"only {loaded.holdout.count} holdout rows: under {LIMITS.holdout_rows_min}, "
        "the confirmation of the choice is weak",
    )


def _as_json(reports: Sequence[PassReport]) -> tuple[JsonValue, ...]:
    return tuple(report.as_json() for report in reports)
