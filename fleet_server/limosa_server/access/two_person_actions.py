"""What the two-person rule may be set for, in words; apart, so that the command line loads no tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ACTIONS: Final[Mapping[str, str]] = {
    "device.revoke": "shut a device out",
    "device.decommission": "let a device go for good",
    "release.promote": "move a release on to production",
    "release.retract": "offer a release to nobody any more",
    "mirror.export": "write a stick with documents and a timestamp that live long",
    "server.epoch": "begin a new epoch of the director",
    "token.create": "make a token with which a second person could be played: operator, approver or admin",
}
