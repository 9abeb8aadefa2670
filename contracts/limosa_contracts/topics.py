"""MQTT topics of one device (server 3.1), and which way each goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from limosa_contracts.errors import InvalidField
from limosa_contracts.names import NAME, check_name

PREFIX: Final = "limosa/v1/d"


class Suffix(Enum):
    """The part of a topic after the device's name."""

    DESIRED = "desired"
    """Server to device, retained: the whole signed desired state."""
    CMD = "cmd"
    """Server to device, expiring: send logs, send status, identify."""
    ANSWER = "answer"
    """Device to server, signed: what it answers to a command; outside the outbox, and lost where nobody
    hears it."""
    ACK = "ack"
    """Server to device: cumulative number of what is committed."""
    REPORTED = "reported"
    """Device to server, signed: slots, versions, capabilities."""
    STATUS = "status"
    """Device to server, retained, last will: online or offline, with a session number."""
    WINDOW = "tele/window"
    """Device to server, signed: one telemetry window."""
    EVENT = "evt"
    """Device to server, signed: update and health reports, alarms."""

    @property
    def upward(self) -> bool:
        return self in _UPWARD

    @property
    def retained(self) -> bool:
        return self in (Suffix.DESIRED, Suffix.STATUS)


_UPWARD = frozenset({Suffix.REPORTED, Suffix.STATUS, Suffix.WINDOW, Suffix.EVENT, Suffix.ANSWER})
SIGNED: Final = frozenset({Suffix.REPORTED, Suffix.WINDOW, Suffix.EVENT})
"""What a gate reads goes through the outbox and is signed by the device (trust 4.5)."""


@dataclass(frozen=True, slots=True)
class Topic:
    device: str
    suffix: Suffix

    def __str__(self) -> str:
        return f"{PREFIX}/{self.device}/{self.suffix.value}"

    @classmethod
    def parse(cls, text: str) -> Topic:
        """Raises InvalidField."""
        head, _, rest = text.removeprefix(PREFIX + "/").partition("/")
        if not text.startswith(PREFIX + "/") or not NAME.fullmatch(head):
            raise InvalidField(f"{text[:200]!r} is not a topic of a device", where="topic")
        for suffix in Suffix:
            if suffix.value == rest:
                return cls(head, suffix)
        raise InvalidField(f"{text[:200]!r} has no known ending", where="topic")


def device_topic(device: str, suffix: Suffix) -> str:
    """The topic of one device.

    >>> device_topic("dev-1", Suffix.ACK)
    'limosa/v1/d/dev-1/ack'
    """
    return str(Topic(check_name(device, what="device"), suffix))


def every_device(suffix: Suffix) -> str:
    """The filter that the server subscribes to.

    >>> every_device(Suffix.EVENT)
    'limosa/v1/d/+/evt'
    """
    return f"{PREFIX}/+/{suffix.value}"
