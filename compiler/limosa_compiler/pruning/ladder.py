"""Candidates of the pruned model, behind the same gate as all others (compiler 2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from limosa_compiler.calibration.cache import CalibrationCache
from limosa_compiler.choice.choose import Choice
from limosa_compiler.errors import PassFailed
from limosa_compiler.loading.loaded import Loaded
from limosa_compiler.passes import OnPass, PassReport
from limosa_compiler.pruning import prune
from limosa_compiler.recipe.prune import Kind, PruneNotes
from limosa_compiler.search.candidate import Candidate
from limosa_compiler.search.ladder import Ladder, make_ladder
from limosa_compiler.search.left_out import NOT_APPLICABLE, LeftOut
from limosa_compiler.search.strategies import Strategy

PREFIXES: Final[Mapping[Kind, str]] = {Kind.MAGNITUDE: "sparse-", Kind.STRUCTURED: "slim-"}


def with_pruned(
    found: Ladder,
    loaded: Loaded,
    strategy: Strategy,
    notes: PruneNotes | None,
    *,
    on_pass: OnPass,
    cache: CalibrationCache | None = None,
) -> Ladder:
    """The same, and every rung again of the pruned model; the reference stays the model as it came.

    `max_abs_error` in their reports is against the pruned model in fp32.
    """
    if notes is None:
        return found
    prefix = PREFIXES[notes.kind]
    try:
        model, report = prune(loaded.model, notes, loaded.context)
    except PassFailed as failed:
        left = LeftOut(name=prefix + "fp32", reason=NOT_APPLICABLE, detail=str(failed)[:300])
        return replace(found, left_out=(*found.left_out, left))
    on_pass(report)

    def named(inner: PassReport) -> PassReport:
        return replace(inner, name=f"{inner.name}, pruned")

    other = make_ladder(
        replace(loaded, model=model), strategy, on_pass=lambda inner: on_pass(named(inner)), cache=cache
    )
    candidates = tuple(_renamed(item, notes) for item in other.candidates)
    for item in candidates:
        found.runners.add(item.name, lambda one=item: loaded.runner(one.model, one.name))  # type: ignore[misc]  # bound now
    return replace(
        found,
        candidates=(*found.candidates, *candidates),
        reports=(*found.reports, report, *(named(inner) for inner in other.reports)),
        left_out=(
            *found.left_out,
            *(replace(left, name=prefix + left.name) for left in other.left_out),
        ),
        warnings=(*found.warnings, *other.warnings),
    )


def pruning_warnings(notes: PruneNotes | None, choices: Sequence[Choice]) -> tuple[str, ...]:
    """For each target that gets no candidate of the pruned model: that pruning did not pay, and why."""
    if notes is None:
        return ()
    prefix = PREFIXES[notes.kind]
    return tuple(
        _said(choice, notes.kind, prefix)
        for choice in choices
        if not (choice.chosen or "").startswith(prefix)
    )


def _said(choice: Choice, kind: Kind, prefix: str) -> str:
    """The twin of what was chosen says it best."""
    reasons = {verdict.candidate: verdict.reason for verdict in choice.verdicts}
    twin = f"{prefix}{choice.chosen}"
    told = twin if twin in reasons else next((name for name in reasons if name.startswith(prefix)), "")
    if not told:
        return f"{choice.target}: pruning gave no candidate"
    zeros = ", where zeros take as much room and time as other weights" if kind is Kind.MAGNITUDE else ""
    return f"{choice.target}: {kind.value} pruning does not pay there{zeros}; {told}: {reasons[told]}"


def _renamed(item: Candidate, notes: PruneNotes) -> Candidate:
    return replace(
        item, name=PREFIXES[notes.kind] + item.name, recipe={**item.recipe, "prune": notes.as_json()}
    )
