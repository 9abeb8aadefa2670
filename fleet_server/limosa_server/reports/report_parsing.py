"""A signed message as the report it carries, or as a reason why it is none. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from limosa_contracts.errors import InvalidField, LimosaError, TooLarge
from limosa_contracts.event import UpdateEvent
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.reported import Reported
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window
from limosa_server.state import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """`report` is None if the message holds none; it is then refused, and acknowledged all the same:
    the device would send the very same bytes for ever."""

    message: ReportMessage
    report: Report | None
    refused: LimosaError | None


def parse_report(device: str, message: ReportMessage, max_bytes: int) -> Parsed:
    """Never raises for what a device can send."""
    try:
        if len(message.payload) > max_bytes:
            raise TooLarge(
                f"the payload has {len(message.payload)} bytes", where="payload", why=f"at most {max_bytes}"
            )
        report = _PARSERS[message.suffix](message.payload)
        if report.device != device:
            raise InvalidField("it speaks for another device", where=f"{message.suffix.value}.device")
    except LimosaError as error:
        return Parsed(message=message, report=None, refused=error)
    return Parsed(message=message, report=report, refused=None)


_PARSERS: Final[Mapping[Suffix, Callable[[bytes], Report]]] = {
    Suffix.REPORTED: Reported.parse,
    Suffix.EVENT: UpdateEvent.parse,
    Suffix.WINDOW: Window.parse,
}
