"""Clocks of a rollout (rollouts 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from limosa_contracts.duration import format_duration
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.reading import read_duration, refuse_later


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Two clocks (rollouts 3.4); neither runs while the device cannot be reached."""

    offer_s: float = 86400.0  # from the offer to the first progress
    in_progress_s: float = 4 * 3600.0  # from the first progress to the end
    silence_s: float = 900.0  # offline this long: the wave goes on without the device

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        refuse_later(fields, "timeouts")
        timeouts = cls(
            offer_s=fields.optional("offer", read_duration(fields, at_least=0.1), 86400.0),
            in_progress_s=fields.optional("in_progress", read_duration(fields, at_least=0.1), 4 * 3600.0),
            silence_s=fields.optional("silence", read_duration(fields), 900.0),
        )
        fields.refuse_rest()
        return timeouts

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "offer": format_duration(self.offer_s),
            "in_progress": format_duration(self.in_progress_s),
            "silence": format_duration(self.silence_s),
        }
