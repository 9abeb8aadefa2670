"""What the supervisor and the pool tell each other. Pure, and light: the supervisor imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeAlias

from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import MODEL, SHA256_HEX, check_version


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRef:
    """One installed release; `directory` is its folder `releases/<manifest_sha256>`."""

    model: str
    version: str
    manifest_sha256: str
    directory: str

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        item = Fields(value, where=where)
        return cls(
            model=item.text("model", pattern=MODEL),
            version=check_version(item.text("version")),
            manifest_sha256=item.text("manifest_sha256", pattern=SHA256_HEX),
            directory=item.text("directory"),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "model": self.model,
            "version": self.version,
            "manifest_sha256": self.manifest_sha256,
            "directory": self.directory,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCrashed:
    """The generation that served has ended without being asked to.

    `requests_lost`: requests it had begun to read or to answer. `put_back`: the standby accepts
    again, so the pool serves the previous set. Otherwise the same set is started again, with back-off.
    `running`: the model whose inference it died in, "" if in none.
    """

    generation: int
    models: tuple[SlotRef, ...]
    returncode: int
    signal_name: str  # "" if it exited by itself
    requests_lost: int
    put_back: bool
    running: str = ""
    hung: bool = False  # killed by the pool because its loop no longer turned
    back_after_s: float = 0.0  # from the end of the worker to the standby's word that it accepts


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowCrashed:
    """The shadow worker has ended without being asked to, or its loop no longer turned (`hung`).

    It is not started again: who wants it asks for a set that may do better. Nothing that serves is touched.
    """

    models: tuple[SlotRef, ...]
    signal_name: str  # "" if it exited by itself
    running: str = ""  # the challenger it died in, as team/model; "" if in none
    manifest_sha256: str = ""  # the same one's digest
    returncode: int = 0
    hung: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One snapshot of one model; cumulative since the worker of this generation loaded it.

    `shadow`: of a challenger, whose answers went to nobody. Its snapshot has three counters more, all
    of rows: `shadow_compared` with the active version's answers, `shadow_disagreed` of these, and of
    requests `shadow_dropped`, copies for which there was no room; and `shadow_against`, the manifest of
    the version compared with last.
    """

    generation: int
    model: str
    manifest_sha256: str
    snapshot: Mapping[str, JsonValue]
    shadow: bool = False


PoolEvent: TypeAlias = WorkerCrashed | ShadowCrashed | Observation
