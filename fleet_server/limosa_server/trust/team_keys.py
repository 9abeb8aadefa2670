"""The public keys of a team, as the top role delegates to them (trust 1)."""

from __future__ import annotations

from collections.abc import Sequence

from tuf.api.metadata import Targets

from limosa_contracts.signing_keys import PublicKey
from limosa_server.store import Transaction
from limosa_server.tables.releases import TufRole
from limosa_server.trust.team_metadata import parse_targets


def team_keys(tx: Transaction, team: str) -> Sequence[PublicKey]:
    """None for a team that the server does not know; two while one is being rotated."""
    row = tx.get(TufRole, "targets")
    top: Targets | None = parse_targets(row.body.encode(), role="targets").signed if row else None
    delegations = top.delegations if top is not None else None
    role = (delegations.roles or {}).get(team) if delegations is not None else None
    if delegations is None or role is None:
        return ()
    listed = (delegations.keys.get(keyid) for keyid in role.keyids)
    return tuple(PublicKey.parse(str(key.keyval["public"]).encode()) for key in listed if key is not None)
