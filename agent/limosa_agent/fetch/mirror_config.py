"""The table `[mirror]` of agent.toml: where a stick with a mirror may appear (trust 3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from limosa_contracts.fields import Fields

PATTERNS_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorConfig:
    paths: tuple[str, ...] = ()  # shell patterns of folders, looked at again and again
    look_every_s: float = 10.0

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidField."""
        none: tuple[str, ...] = ()
        paths = fields.optional("paths", lambda n: fields.texts(n, max_items=PATTERNS_MAX), none)
        for path in paths:
            strange = "**" in path or "/../" in f"{path}/" or "//" in path or "\0" in path
            if not path.startswith("/") or path == "/" or strange:
                raise fields.wrong("paths", f"{path[:80]!r} is no absolute pattern of one depth")
        config = cls(
            paths=paths,
            look_every_s=fields.optional(
                "look_every_s", lambda n: fields.number(n, low=0.05, high=86400), cls().look_every_s
            ),
        )
        fields.refuse_rest()
        return config
