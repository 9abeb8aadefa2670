"""How much memory is left, for what may be kept but need not be. Light: the supervisor imports it."""

from __future__ import annotations

import os
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


def standby_fits(*, available: int | None, serving_rss: int, reserve: int) -> bool:
    """Whether the previous generation may stay loaded beside the one that serves now.

    Both are loaded when this is asked: `available` bytes are left beside them. Unknown: it may.

    >>> standby_fits(available=200, serving_rss=400, reserve=100)
    True
    >>> standby_fits(available=199, serving_rss=400, reserve=100)
    False
    """
    return available is None or available >= reserve + serving_rss // GROWTH_SHARE


def rss_of(pid: int) -> int:
    """Resident memory of a process; 0 where /proc does not say, or it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


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
