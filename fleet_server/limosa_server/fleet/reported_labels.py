"""Labels that devices say of themselves, as their reports bring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limosa_contracts.names import LABEL_KEY, LABEL_VALUE
from limosa_contracts.reported import Reported
from limosa_server.fleet.labels import DEVICE, set_many
from limosa_server.state import Report
from limosa_server.store import Transaction


def take(tx: Transaction, news: Mapping[str, Sequence[Report]]) -> list[str]:
    """From the last `reported` of each device in `news`; gives those of which other labels hold now."""
    said = {device: labels for device, reports in news.items() if (labels := _said(reports)) is not None}
    return set_many(tx, said, source=DEVICE) if said else []


def _said(reports: Sequence[Report]) -> dict[str, str] | None:
    """Labels that do not have a label's form are left out: they can name nothing in a selector."""
    last = next((one for one in reversed(reports) if isinstance(one, Reported)), None)
    if last is None:
        return None
    return {
        key: value
        for key, value in last.labels.items()
        if LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value)
    }
