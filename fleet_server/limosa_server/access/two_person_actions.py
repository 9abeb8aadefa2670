"""What the two-person rule may be set for, in words; apart, so that the command line loads no tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

ACTIONS: Final[Mapping[str, str]] = {
    "device.revoke": "shut a device out",
    "device.decommission": "let a device go for good",
    "device.replace": "let new hardware take a device's place, which shuts the old one out",
    "release.promote": "move a release on to production",
    "release.gate": "change what production asks for",
    "release.retract": "offer a release to nobody any more",
    "release.archive": "put a release away, so that it is offered to nobody",
    "mirror.export": "write a stick with documents and a timestamp that live long",
    "server.epoch": "begin a new epoch of the director",
    "token.create": "make a token with which a second person could be played: operator, approver or admin",
}
COVERED_BY: Final[Mapping[str, frozenset[str]]] = {
    "device.decommission": frozenset({"device.revoke"}),
    "device.replace": frozenset({"device.revoke"}),
    "release.gate": frozenset({"release.promote"}),
    "release.archive": frozenset({"release.retract"}),
}
"""Actions that do what another one does, and more: where that one takes two persons, so do these."""


def takes_two(action: str, ruled: Collection[str]) -> bool:
    """Whether `action` takes two persons where the rule is set for `ruled`.

    >>> takes_two("device.replace", ["device.revoke"]), takes_two("device.revoke", ["device.replace"])
    (True, False)
    """
    return action in ruled or bool(COVERED_BY.get(action, frozenset()) & set(ruled))
