"""The table `[log]` of agent.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields

LEVELS: Final = ("debug", "info", "warning", "error")
STDERR: Final = ("text", "json", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    level: str = "info"  # the least that is written
    stderr: str = "text"  # for a journal or a container's log: text, json or none
    files: int = 4  # of the log in the state folder, the one that is written included; 0 for none
    file_max_bytes: int = 1024 * 1024  # then the next file is begun, and the oldest goes

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        base = cls()
        config = cls(
            level=fields.optional("level", lambda n: fields.choice(n, LEVELS), base.level),
            stderr=fields.optional("stderr", lambda n: fields.choice(n, STDERR), base.stderr),
            files=fields.optional("files", lambda n: fields.integer(n, low=0, high=100), base.files),
            file_max_bytes=fields.optional(
                "file_max_bytes", lambda n: fields.integer(n, low=16384, high=2**30), base.file_max_bytes
            ),
        )
        fields.refuse_rest()
        return config
