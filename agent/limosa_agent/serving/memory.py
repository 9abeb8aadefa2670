"""How much memory is left, for what may be kept but need not be. Light: the supervisor imports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEMINFO: Final = Path("/proc/meminfo")
CGROUP: Final = Path("/proc/self/cgroup")
CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
GROWTH_SHARE: Final = 4  # what serves may grow by this part of itself before it is short


def available_bytes() -> int | None:
    """What may be taken without pushing others out, of the machine or of the control group (a container,
    a unit's MemoryMax), whichever is less; None where the system does not say."""
    found = [size for size in (_of_machine(), _of_group()) if size is not None]
    return min(found, default=None)


@dataclass(frozen=True, slots=True)
class StandbyRoom:
    """Whether memory allows the previous generation to stay loaded. Unknown: it does."""

    available: Callable[[], int | None]
    reserve: int  # bytes that must be left beside both generations

    def fits(self, *, serving_rss: int) -> bool:
        """Asked when both are loaded: the one that serves may still grow by a part of itself.

        >>> [StandbyRoom(lambda: left, 100).fits(serving_rss=400) for left in (199, 200)]
        [False, True]
        """
        left = self.available()
        return left is None or left >= self.reserve + serving_rss // GROWTH_SHARE

    def is_gone(self) -> bool:
        """Asked while it stands by: before the kernel ends a process of its own choice."""
        left = self.available()
        return left is not None and left < self.reserve // 2


def parse_meminfo(text: str) -> int | None:
    """
    >>> parse_meminfo("MemTotal: 10 kB\\nMemAvailable:    3 kB\\n")
    3072
    """
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            words = value.split()
            return int(words[0]) * 1024 if words and words[0].isdigit() else None
    return None


def group_headroom(folder: Path, root: Path) -> int | None:
    """Least room of a version 2 control group and those around it; None where none of them is limited.

    What it has cached of files can be had back, and counts as room.
    """
    least: int | None = None
    while True:
        room = _headroom(folder)
        if room is not None:
            least = room if least is None else min(least, room)
        if folder == root or root not in folder.parents:
            return least
        folder = folder.parent


def _of_machine() -> int | None:
    try:
        return parse_meminfo(MEMINFO.read_text(encoding="ascii"))
    except OSError:
        return None  # not Linux


def _of_group() -> int | None:
    try:
        for line in CGROUP.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                return group_headroom(CGROUP_ROOT / line[3:].strip().lstrip("/"), CGROUP_ROOT)
    except OSError:
        return None
    return None


def _headroom(folder: Path) -> int | None:
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        if not limit.isdigit():
            return None  # "max"
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = dict(
            line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        )
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used + int(stat.get("inactive_file", "0")))
