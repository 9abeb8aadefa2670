"""How much of this disk the models take, and which holds what (agent 3, the disk budget)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from limosa_agent.fetch.errors import DiskFull
from limosa_agent.fetch.paths import StatePaths
from limosa_contracts.json_value import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """Bytes of files, each counted once however many releases share it: to the first model by name that
    has it. What no release has, counts to "" (blobs of a download that was not finished)."""

    by_model: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.by_model.values())

    def told(self) -> str:
        """For people: the largest first.

        >>> DiskUse(by_model={"a/b": 10, "": 5}).told()
        'a/b holds 10, unfinished downloads hold 5 bytes'
        """
        ordered = sorted(self.by_model.items(), key=lambda item: (-item[1], item[0]))
        parts = [
            f"{model} holds {size}" if model else f"unfinished downloads hold {size}"
            for model, size in ordered
        ]
        return f"{', '.join(parts)} bytes" if parts else "no model is on this disk"


def disk_use(state: StatePaths) -> DiskUse:
    """Walks over the folders of all models and the blobs; nothing is opened."""
    seen: set[tuple[int, int]] = set()
    found: dict[str, int] = {}
    for folder in sorted(state.models.glob("*/*")):
        size = sum(_sizes(folder, seen))
        if size:
            found[f"{folder.parent.name}/{folder.name}"] = size
    loose = sum(_sizes(state.blobs, seen))
    return DiskUse(by_model={**found, **({"": loose} if loose else {})})


def room_bytes(state: StatePaths, *, reserve: int, disk_max: int) -> int:
    """Bytes that may still be written, by the disk's free space and by the budget (0: none). May be < 0."""
    facts = os.statvfs(state.folder)
    free = facts.f_bavail * facts.f_frsize - reserve
    return min(free, disk_max - disk_use(state).total) if disk_max else free


def check_room(state: StatePaths, missing: int, *, reserve: int, disk_max: int) -> None:
    """Raises DiskFull, which names who holds what."""
    room = room_bytes(state, reserve=reserve, disk_max=disk_max)
    if not missing or missing <= room:
        return
    use = disk_use(state)
    holders: dict[str, JsonValue] = {model or "unfinished": size for model, size in use.by_model.items()}
    budget = f", and {disk_max} of limits.disk_max_bytes for all models" if disk_max else ""
    raise DiskFull(
        "there is not enough space for the download",
        where=str(state.folder),
        why=f"{missing} bytes are needed, {max(0, room)} are left beside a reserve of {reserve}{budget}; "
        f"{use.told()}",
        evidence={"needed_bytes": missing, "room_bytes": max(0, room), "models": holders},
    )


def _sizes(folder: Path, seen: set[tuple[int, int]]) -> Iterator[int]:
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                facts = os.lstat(os.path.join(root, name))  # noqa: PTH118  a walk of many files
            except OSError:
                continue  # it was removed meanwhile
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                yield facts.st_size
