"""What serves after a start: every release that the state names and that is whole (agent 3.2)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from limosa_agent.daemon_thread import in_daemon_thread
from limosa_agent.fetch.errors import ReleaseBroken
from limosa_agent.fetch.paths import StatePaths
from limosa_agent.serving.errors import LoadFailed
from limosa_agent.serving.pool import ServingPool
from limosa_agent.store.recovery import find_broken, without_broken
from limosa_agent.update.effects import DeviceEffects
from limosa_agent.update.state import ModelState
from limosa_agent.update.updater import Updater
from limosa_contracts.names import ModelName
from limosa_contracts.phases import Phase

log = logging.getLogger(__name__)


async def find_slots(
    state_dir: Path, updater: Updater, effects: DeviceEffects, *, broken: Callable[[ModelState], None]
) -> None:
    """3.2: what the state names is read again, every byte; 3.0: the link is made from the state.

    `broken` hears of each state that lost a release.
    """
    paths = StatePaths(state_dir)
    for state in updater.lanes:
        folder = paths.model(ModelName.parse(state.model)).folder
        lost = await in_daemon_thread(find_broken, folder, state)
        if lost:
            repaired = without_broken(state, lost)
            updater.repair(repaired)
            broken(repaired)
        try:
            effects.switch_link(updater.state(state.key))
        except (OSError, ReleaseBroken) as error:
            # The link is for others: what serves is named by its digest.
            log.error("the link of %s was not made again: %s", state.model, error)


async def serve_committed(
    pool: ServingPool, states: Mapping[str, ModelState], effects: DeviceEffects
) -> None:
    """Every committed version at once; one that does not load gives way to its previous, then to none.
    What is being removed was told not to serve any more."""
    states = {model: state for model, state in states.items() if state.phase is not Phase.REMOVING}
    slots = {model: effects.slot(model, state.active) for model, state in states.items() if state.active}
    try:
        await pool.start(list(slots.values()))
        return
    except LoadFailed as error:
        log.error("the committed versions do not load together: %s", error)
    await pool.start([])
    for model, state in states.items():
        for release in (state.active, state.previous):
            if release is None:
                continue
            try:
                others = list(pool.models)
                await pool.switch([*others, effects.slot(model, release)], keep_standby=False)
                break
            except LoadFailed as error:
                log.error("%s %s does not load: %s", model, release.version, error)
