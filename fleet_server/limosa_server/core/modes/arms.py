"""Who gets which release of a comparison: drawn within strata, by the rollout's salt (rollouts 5.1, 6)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

CHAMPION = "a"
CHALLENGER = "b"


def draw(strata: Mapping[str, str], *, percent: float, salt: str) -> dict[str, str]:
    """device -> arm. `strata`: device -> its stratum. In each stratum the challenger's share is `percent`,
    as near as whole devices allow; what is over goes on to the next stratum, in an order that is drawn too.

    Both arms have a device wherever there are two. Independent of the order of `strata`.

    >>> arms = draw({f"d{i}": "pi4" if i < 4 else "pi5" for i in range(8)}, percent=50, salt="s")
    >>> sorted(arms.values()), sorted(arms[f"d{i}"] for i in range(4))
    (['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b'], ['a', 'a', 'b', 'b'])
    """
    members: dict[str, list[str]] = {}
    for device in sorted(strata):
        members.setdefault(strata[device], []).append(device)
    order = [
        device
        for stratum in sorted(members, key=lambda name: (_rank(salt, "stratum", name), name))
        for device in sorted(members[stratum], key=lambda name: (_rank(salt, "device", name), name))
    ]
    arms: dict[str, str] = {}
    given = 0
    for number, device in enumerate(order, start=1):
        wanted = int(number * percent / 100 + 0.5)
        arms[device] = CHALLENGER if wanted > given else CHAMPION
        given += arms[device] == CHALLENGER
    if len(order) > 1 and len(set(arms.values())) == 1:
        arms[order[-1]] = CHALLENGER if arms[order[-1]] == CHAMPION else CHAMPION
    return arms


def stratum_of(keys: tuple[str, ...], facts: Mapping[str, str]) -> str:
    """What a device is, as far as `keys` ask: "profile=rpi4,site=hq"."""
    return ",".join(f"{key}={facts.get(key, '')}" for key in keys)


def _rank(salt: str, what: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}/ab/{what}/{name}".encode()).digest()
