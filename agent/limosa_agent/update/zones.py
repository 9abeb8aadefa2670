"""Time zones as this device has them on disk."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

LOCALTIME: Final = Path("/etc/localtime")
NAMES_MAX: Final = 64  # zones kept in memory


class DeviceZones:
    """`device`: what TZ names, else /etc/localtime (read again when it is another file), else UTC."""

    def __init__(self, *, localtime: Path = LOCALTIME) -> None:
        self._localtime = localtime
        self._known: dict[str, tzinfo | None] = {}
        self._local: tuple[tuple[int, int], tzinfo] | None = None

    def __call__(self, name: str) -> tzinfo | None:
        """None for a name that is not on this disk."""
        from limosa_contracts.maintenance_window import DEVICE_ZONE  # asked by windows only: loaded by now

        if name == DEVICE_ZONE:
            return self._device()
        if name not in self._known:
            if len(self._known) >= NAMES_MAX:
                self._known.clear()
            self._known[name] = _named(name)
        return self._known[name]

    def _device(self) -> tzinfo:
        named = _named(os.environ.get("TZ", "").lstrip(":"))
        if named is not None:
            return named
        try:
            facts = self._localtime.stat()
            mark = (facts.st_ino, facts.st_mtime_ns)
            if self._local is None or self._local[0] != mark:
                from zoneinfo import ZoneInfo  # half a megabyte that most devices never need

                with self._localtime.open("rb") as file:
                    self._local = (mark, ZoneInfo.from_file(file, key="device"))
        except (OSError, ValueError):
            return UTC  # a device without the file counts in UTC, as its C library does
        return self._local[1]


def _named(name: str) -> tzinfo | None:
    if not name:
        return None
    if name == "UTC":
        return UTC  # also where the device has no table of zones
    from zoneinfo import ZoneInfo  # as above

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return None  # not on this disk, or no name at all
