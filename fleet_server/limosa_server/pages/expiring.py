"""What ends soon, as the overview shows it: somebody must act before it does (trust 2.2, 6.3)."""

from __future__ import annotations

from limosa_server.pages.attention import Concern, worst_first
from limosa_server.state import ServerState
from limosa_server.trust.expiries import Expiry, Severity, expiries, pressing

DAY_S = 86400.0


def with_expiries(state: ServerState, found: list[Concern], *, now: float) -> list[Concern]:
    """The concerns of the fleet, and what ends within 30 days."""
    return worst_first([*found, *(_concern(one, now) for one in pressing(expiries(state, now)))])


def _concern(one: Expiry, now: float) -> Concern:
    over = one.severity is Severity.EXPIRED
    name = f"{one.what} {one.name}".strip()
    left = f"ends in {max(0, int(one.left_s(now) / DAY_S))} days"
    return Concern(
        tone="bad" if one.severity >= Severity.URGENT else "warn",
        mark="◷",
        what=f"The {name} {'has expired' if over else left}",
        why=f"{'Now' if over else 'Then'} {one.consequence}. Do: {one.remedy}",
        link="",
    )
