"""The committed release counter of a model, beside its slots: it outlives the state database (trust 2.4).

The database is the truth. Where it is lost, the slots alone do not tell which of them was committed, nor
that a higher one was and fell back late: without this file a device whose journal an attacker spoiled
would take a lower release than it once committed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from limosa_agent.fetch.durable import DISK, Disk

FILE: Final = "committed"
DIGITS_MAX: Final = 19  # of a 63-bit number


def read_floor(model_dir: Path) -> int | None:
    """None where there is no file, or what it holds is no counter."""
    try:
        with (model_dir / FILE).open("rb") as file:
            text = file.read(DIGITS_MAX + 2).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and len(text) <= DIGITS_MAX else None


def keep_floor(model_dir: Path, counter: int, *, disk: Disk = DISK) -> None:
    """Durable on return; nothing is written where it stands already, or nothing was ever committed."""
    if counter and model_dir.is_dir() and read_floor(model_dir) != counter:
        disk.replace_file(model_dir / FILE, f"{counter}\n".encode())
