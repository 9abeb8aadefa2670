"""A signed message as the report it carries, or as a reason why it is none. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from limosa_contracts.errors import InvalidField, LimosaError, SignatureMismatch, TooLarge
from limosa_contracts.event import UpdateEvent
from limosa_contracts.report_message import ReportMessage
from limosa_contracts.reported import Reported
from limosa_contracts.signing_keys import PublicKey
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window, skim

AnyReport: TypeAlias = Reported | UpdateEvent | Window
NUMBER_MAX: Final = 2**63 - 1  # what a column of the database holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a message is no report: an error's code and text."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """`report` is None if the message holds none; it is then refused, and acknowledged all the same:
    the device would send the very same bytes for ever. Of a window's sketch only latency and classes are
    there, by which waves are compared; the rest stays packed in its row."""

    message: ReportMessage
    report: AnyReport | None
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A message that its device signed."""

    device: str
    parsed: Parsed


def is_signed(device: str, message: ReportMessage, keys: Sequence[PublicKey]) -> bool:
    """Whether one of the device's keys signed it: it may be the one before a renewal."""
    if max(message.session, message.seq, message.prev) > NUMBER_MAX:
        return False  # no outbox counts that far
    for key in keys:
        try:
            message.verify(key, device=device)
        except SignatureMismatch:
            continue
        return True
    return False


def parse_report(device: str, message: ReportMessage, max_bytes: int) -> AnyReport | Refusal:
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
        return Refusal(code=error.code, text=str(error))
    return report


def _window(payload: bytes) -> Window:
    return Window.parse(payload, read=skim)


_PARSERS: Final[Mapping[Suffix, Callable[[bytes], AnyReport]]] = {
    Suffix.REPORTED: Reported.parse,
    Suffix.EVENT: UpdateEvent.parse,
    Suffix.WINDOW: _window,
}
