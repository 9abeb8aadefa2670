"""Who may do what (trust 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Role(Enum):
    VIEWER = "viewer"
    """Reads everything but secrets."""
    PUBLISHER = "publisher"
    """An ML engineer: pushes blobs and their team's metadata."""
    OPERATOR = "operator"
    """Devices, groups and rollouts."""
    APPROVER = "approver"
    """Approves what others planned."""
    ADMIN = "admin"
    """All of it, and tokens."""


ROLE_NAMES: Final = tuple(role.value for role in Role)

GRANTS: Final[Mapping[Role, frozenset[Role]]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.PUBLISHER: frozenset({Role.VIEWER, Role.PUBLISHER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR}),
    Role.APPROVER: frozenset({Role.VIEWER, Role.APPROVER}),
    Role.ADMIN: frozenset(Role),
}
"""The roles that each role includes."""
