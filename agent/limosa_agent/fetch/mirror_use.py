"""A mirror that an operator or a plugged-in stick offers, taken as the source of installs (trust 3.5).

It stands for the server as long as the desired state is the one it was read with. Whatever is wrong
with it, it is forgotten, and the server is asked again: a stick can bring a release, and refuse none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from limosa_agent.daemon_thread import in_daemon_thread
from limosa_agent.fetch.errors import MirrorRefused
from limosa_agent.fetch.mirror_config import MirrorConfig
from limosa_agent.fetch_child import FetchFailed, run_fetch
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

if TYPE_CHECKING:
    from limosa_contracts.mirror import MirrorMarker

log = logging.getLogger(__name__)

FOUND_MAX: Final = 16  # folders that one look takes into account


class Surroundings(Protocol):
    """What using a mirror needs from the supervisor."""

    def learned(self, result: JsonObject) -> None: ...
    def order(self) -> tuple[int, int]: ...
    async def receive_desired(self, envelope: bytes) -> None: ...
    def source_changed(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Taken:
    folder: Path
    order: tuple[int, int]  # of the desired state that holds with it


class MirrorUse:
    """`request` gives the fields of a fetch request that do not depend on the source."""

    def __init__(
        self,
        config: MirrorConfig,
        *,
        device: str,
        request: Callable[[], dict[str, JsonValue]],
        around: Surroundings,
    ) -> None:
        self._config = config
        self._device = device
        self._request = request
        self._around = around
        self._taken: _Taken | None = None
        self._seen: set[tuple[Path, str]] = set()
        self._one = asyncio.Lock()

    @property
    def folder(self) -> Path | None:
        """Where installs come from now, if not from the server."""
        if self._taken is not None and self._taken.order != self._around.order():
            self._taken = None  # the director wants something newer: the server knows of it
        return self._taken.folder if self._taken else None

    def forget(self, why: str) -> None:
        if self._taken is not None:
            log.warning("the mirror %s is not used any more: %s", self._taken.folder, why)
        self._taken = None

    async def use(self, folder: Path) -> dict[str, JsonValue]:
        """Refreshes from the mirror, takes its desired document, and installs from it from now on.

        Raises MirrorRefused, with what the fetch child said; nothing has changed then but what verified.
        """
        async with self._one:
            request = {**self._request(), "op": "refresh", "mirror": str(folder), "device": self._device}
            outcome = await run_fetch(request, lambda progress: None)
            if isinstance(outcome, FetchFailed):
                raise MirrorRefused(
                    "the mirror is not used", where=str(folder), why=f"{outcome.code}: {outcome.message}"
                )
            self._around.learned(outcome)
            before = self._around.order()
            fields = Fields(outcome, where="fetch.result")
            if fields.has("desired"):
                await self._around.receive_desired(fields.text("desired", max_chars=1024 * 1024).encode())
            self._taken = _Taken(folder, self._around.order())
            log.info("the mirror %s is used", folder)
            self._around.source_changed()
            return {
                "mirror": str(folder),
                "desired": fields.has("desired"),
                "new": self._around.order() != before,
            }

    async def watch(self) -> None:
        """Until cancelled: takes each mirror that appears under the configured paths, once."""
        while self._config.paths:
            try:
                found = await in_daemon_thread(find_mirrors, self._config.paths)
                await self._take_new(found)
            except Exception:
                log.exception("looking for mirrors failed")
            await asyncio.sleep(self._config.look_every_s)
        await asyncio.Event().wait()  # nothing to look for; the agent ends when one of its parts does

    async def _take_new(self, found: Sequence[tuple[Path, MirrorMarker]]) -> None:
        keys = {(folder, marker.id) for folder, marker in found}
        fresh = keys - self._seen
        self._seen = keys  # one that was pulled out is new when it comes again
        for key in sorted(fresh):
            try:
                await self.use(key[0])
            except (LimosaError, OSError, ValueError) as error:  # a folder whose name is no text, say
                log.warning("a mirror was found and is not used: %s", error)


def find_mirrors(patterns: Sequence[str]) -> list[tuple[Path, MirrorMarker]]:
    """Folders with a mirror's marker, in the order of the patterns. What is none is passed over."""
    # Here: few devices look for mirrors, and each byte of the supervisor counts (agent 1).
    from heapq import nsmallest

    from limosa_agent.fetch.limits import FetchLimits
    from limosa_agent.fetch.mirror_source import MirrorSource

    found: list[tuple[Path, MirrorMarker]] = []
    for pattern in patterns:
        try:
            folders = nsmallest(FOUND_MAX, Path("/").glob(pattern[1:]))  # a stick may hold millions
        except OSError as error:  # pulled out just now, or worn out: the other patterns are looked at
            log.debug("%s cannot be looked at: %s", pattern, error)
            continue
        for folder in folders:
            try:
                found.append((folder, MirrorSource(FetchLimits(), folder).marker()))
            except LimosaError as error:
                log.debug("%s is no mirror: %s", folder, error)
    return found
