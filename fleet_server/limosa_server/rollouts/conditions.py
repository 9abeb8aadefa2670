"""What of a device a refused attempt may have been about (rollouts 3.9)."""

from __future__ import annotations

import hashlib

from limosa_contracts.canonical import encode_canonical
from limosa_server.core.retrying import Condition
from limosa_server.tables.devices import Device


def condition_of(device: Device) -> Condition:
    """As it last said of itself."""
    free = device.resources.get("disk_free_bytes")
    about = encode_canonical([device.agent, device.capabilities])
    return Condition(
        disk_free_bytes=int(free) if isinstance(free, (int, float)) else None,
        about=hashlib.sha256(about).hexdigest()[:16],
        last_seen=device.last_seen or 0.0,
    )
