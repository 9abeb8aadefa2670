"""Who is connected (server 3.1): of two words the one of the later connection holds. Informational."""

from __future__ import annotations

from limosa_contracts.status import Status


def later(known: dict[str, Status], device: str, said: Status) -> None:
    """Keeps what counts of several words of one device: a will that comes late never wins.

    >>> known = {"d": Status(online=True, session=8)}
    >>> later(known, "d", Status(online=False, session=7))
    >>> known["d"].online
    True
    """
    before = known.get(device)
    if before is None or before.session <= said.session:
        known[device] = said
