"""Clocks of a rollout (rollouts 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from limosa_contracts.duration import format_duration
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.reading import enum_values, read_duration, without_none


class AtEnd(Enum):
    """What happens when a rollout's time is over."""

    STOP = "stop"
    """No further device is offered the release; those at it may finish."""
    CANCEL = "cancel"
    """Those at it are told to stay with what they run, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Two clocks for each device (rollouts 3.4), and limits on two parts of the second; none of them runs
    while the device cannot be reached or waits for its maintenance window."""

    offer_s: float = 86400.0  # from the offer to the first progress
    in_progress_s: float = 4 * 3600.0  # from the first progress to the end
    download_stall_s: float | None = None  # of that, how long a download may take without a next step
    verify_s: float | None = None  # of that, from the downloaded bytes to the device's verdict
    silence_s: float = 900.0  # offline this long: the wave goes on without the device
    end_s: float | None = None  # the whole rollout, from its start
    at_end: AtEnd = AtEnd.STOP

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        timeouts = cls(
            offer_s=fields.optional("offer", read_duration(fields, at_least=0.1), 86400.0),
            in_progress_s=fields.optional("in_progress", read_duration(fields, at_least=0.1), 4 * 3600.0),
            download_stall_s=fields.maybe("download_stall", read_duration(fields, at_least=0.1)),
            verify_s=fields.maybe("verify", read_duration(fields, at_least=0.1)),
            silence_s=fields.optional("silence", read_duration(fields), 900.0),
            end_s=fields.maybe("end", read_duration(fields, at_least=0.1)),
            at_end=AtEnd(fields.optional("at_end", lambda n: fields.choice(n, enum_values(AtEnd)), "stop")),
        )
        if fields.has("at_end") and timeouts.end_s is None:
            raise fields.wrong("at_end", "without `end` there is no end")
        fields.refuse_rest()
        return timeouts

    def as_json(self) -> dict[str, JsonValue]:
        return without_none(
            {
                "offer": format_duration(self.offer_s),
                "in_progress": format_duration(self.in_progress_s),
                "download_stall": _or_none(self.download_stall_s),
                "verify": _or_none(self.verify_s),
                "silence": format_duration(self.silence_s),
                "end": _or_none(self.end_s),
                "at_end": None if self.end_s is None else self.at_end.value,
            }
        )


def _or_none(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
