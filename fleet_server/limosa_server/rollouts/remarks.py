"""What a plan warns of beside the release: rollouts that keep devices, zones that nobody knows."""

from __future__ import annotations

from collections.abc import Collection

from limosa_contracts.maintenance_window import DEVICE_ZONE
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.wording import devices
from limosa_server.rollouts.outer_facts import zone_of
from limosa_server.rollouts.taking_over import held_above
from limosa_server.store import Transaction


def remarks(tx: Transaction, spec: RolloutSpec, wanted: Collection[str]) -> list[str]:
    """One sentence each; none for most rollouts."""
    found = [
        f"{devices(count)} of it {'is' if count == 1 else 'are'} with rollout {number}, of higher priority: "
        "they stay with that unless it has ended by the start"
        for number, count in held_above(tx, spec, frozenset(wanted)).items()
    ]
    windows = spec.schedule.windows
    zones = {window.tz for window in windows.windows} if windows is not None else set()
    found += [
        f"this server knows no time zone {zone!r}: on devices that do not know it either, its window "
        "never opens"
        for zone in sorted(zones - {DEVICE_ZONE})
        if zone_of(zone) is None
    ]
    return found
