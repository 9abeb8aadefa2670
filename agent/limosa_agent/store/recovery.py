"""What the agent does with what it finds on disk at start (agent 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from limosa_agent.fetch.errors import ReleaseBroken
from limosa_agent.fetch.slots import installed, read_current, verify_release
from limosa_agent.store.floor import read_floor
from limosa_agent.update.state import ModelState, Release
from limosa_contracts.event import Reason
from limosa_contracts.phases import Phase


def without_broken(state: ModelState, broken: Collection[str]) -> ModelState:
    """The state when these manifests cannot be read any more: current, else previous, else no model.

    A candidate or an active version that is lost is to be fetched again: the target is forgotten, so
    that the desired state is looked at afresh. Pure.
    """

    def whole(release: Release | None) -> Release | None:
        return release if release is not None and release.manifest_sha256 not in broken else None

    if not any(
        slot is not None and whole(slot) is None for slot in (state.active, state.previous, state.candidate)
    ):
        return state
    reason = Reason(code="release_broken", message="files of a release on this disk have changed")
    kept = replace(
        state,
        candidate=whole(state.candidate),
        active=whole(state.active),
        previous=whole(state.previous),
        reason=reason,
    )
    if kept.active is None and kept.previous is not None:
        kept = replace(kept, active=kept.previous, previous=None)
    elif kept.active == state.active and kept.candidate == state.candidate:
        return kept
    return replace(kept, phase=Phase.IDLE, target=None, candidate=None, tries=0, transitions=0)


def find_broken(model_dir: Path, state: ModelState) -> set[str]:
    """Reads every byte of the releases the state names."""
    broken = set()
    for sha in sorted(state.kept):
        try:
            verify_release(model_dir, sha)
        except ReleaseBroken:
            broken.add(sha)
    return broken


def state_from_disk(models_dir: Path) -> Iterator[ModelState]:
    """After a corrupt journal: what was committed serves, if it is whole, else what `current` points to;
    the highest other release is previous. The counter that was committed stays the floor of updates.

    A link to another release than the committed one was made for a trial, whose verdict nobody knows
    any more, or by a late failure: the floor holds either way (trust 2.4).
    """
    for model_dir in sorted(models_dir.glob("*/*")):
        current = read_current(model_dir)
        whole: dict[str, Release] = {}
        for sha in installed(model_dir):
            try:
                found = verify_release(model_dir, sha)
            except ReleaseBroken:
                continue  # it is collected as garbage later
            whole[sha] = Release(
                version=found.version,
                index_sha256=found.index_sha256,
                manifest_sha256=sha,
                variant=found.variant,
                release_counter=found.release_counter,
                may_return_to=found.may_return_to,
            )
        by_counter = sorted(whole.values(), key=lambda release: release.release_counter)
        floor = read_floor(model_dir)
        committed = [release for release in by_counter if release.release_counter == floor]
        linked = whole.get(current or "")
        if linked is not None and floor is not None and linked.release_counter > floor and committed:
            linked = None  # on trial
        active = linked or next(iter([*committed, *reversed(by_counter)]), None)
        others = [release for release in by_counter if release is not active]
        yield ModelState(
            model=f"{model_dir.parent.name}/{model_dir.name}",
            active=active,
            previous=others[-1] if others else None,
            committed_counter=floor if floor is not None else active.release_counter if active else 0,
            reason=Reason(code="journal_corrupt", message="the state was made again from the slots on disk"),
        )
