"""The table `[update]` of agent.toml: what holds updates back, and for how long a failure counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from limosa_agent.config_path import path_of
from limosa_contracts.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateConfig:
    lock_dir: Path | None = None  # where applications lock files; `hold.d` of the state folder if absent
    removable: bool = True  # whether the fleet server may take models away from this device
    quarantine_s: float = 30 * 86400.0  # a digest that failed here is not tried again for so long

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        base = cls()
        config = cls(
            lock_dir=fields.maybe("lock_dir", lambda n: path_of(fields, n).absolute()),
            removable=fields.optional("removable", fields.boolean, base.removable),
            quarantine_s=fields.optional(
                "quarantine_s", lambda n: fields.number(n, low=60, high=3660 * 86400), base.quarantine_s
            ),
        )
        fields.refuse_rest()
        return config
