"""How much memory a process takes."""

from __future__ import annotations

import os


def rss_bytes(pid: int | None = None) -> int:
    """Resident memory of this process, or of `pid`; 0 where the system does not say, or it has ended."""
    try:
        with open(f"/proc/{pid or 'self'}/statm", "rb") as file:  # noqa: PTH123  # each second: no Path object
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
