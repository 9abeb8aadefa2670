"""One line of the log. Pure: a record goes in, text comes out; no secret is ever in it (trust 7.4)."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Final

from limosa_contracts.json_value import JsonValue

MESSAGE_MAX_CHARS: Final = 4000
TRACE_MAX_CHARS: Final = 8000
SEARCHED_MAX_CHARS: Final = 32 * 1024  # for secrets, of a text of which far less is written
PACKAGE: Final = "limosa_agent."

SECRETS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        "***",
    ),
    (re.compile(r"\b(lm[tp]_[A-Za-z0-9]{1,64})\.[A-Za-z0-9_~+/=-]+"), r"\1.***"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*)?"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 ***"),
    (re.compile(r"(://)[^/\s@]+@"), r"\1***@"),
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|access_token|client_assertion|authorization)"
            r"(['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,;}]+"
        ),
        r"\1\2***",
    ),
)
"""What looks like a token, a private key or a password, whoever wrote it there, and what stands instead."""


def redacted(text: str) -> str:
    """The text without secrets.

    >>> redacted("enrolled with lmt_abc.s3cret over https://user:pw@proxy")
    'enrolled with lmt_abc.*** over https://***@proxy'
    """
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def message_of(record: logging.LogRecord) -> str:
    """Never raises: a record whose arguments do not fit is told as it is."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError):
        text = f"{record.msg} {record.args!r}"
    return redacted(text[:SEARCHED_MAX_CHARS])[:MESSAGE_MAX_CHARS]


def trace_of(record: logging.LogRecord) -> str:
    """The traceback, its end where it is long; "" without one."""
    if record.exc_info is None or record.exc_info[0] is None:
        return ""
    trace = logging.Formatter().formatException(record.exc_info)
    return redacted(trace[-SEARCHED_MAX_CHARS:])[-TRACE_MAX_CHARS:]


def json_line(record: logging.LogRecord, *, device: str, about: tuple[str, str]) -> str:
    """Without a line break. `time` is UTC by the device's clock; empty fields are left out."""
    value: dict[str, JsonValue] = {
        "time": stamp(record.created),
        "level": record.levelname.lower(),
        "part": record.name.removeprefix(PACKAGE),
        "device": device,
        "model": about[0],
        "rollout": about[1],
        "message": message_of(record),
        "trace": trace_of(record),
    }
    kept = {name: field for name, field in value.items() if field != ""}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def text_line(record: logging.LogRecord, *, about: tuple[str, str]) -> str:
    """For people and for journals, which know the time and the device themselves.

    Whatever a stranger's words hold, they begin no line of their own and steer no terminal."""
    place = " ".join(part for part in (record.name.removeprefix(PACKAGE), *about) if part)
    trace = trace_of(record)
    line = f"{stamp(record.created)} {record.levelname.lower()} {place}: {_visible(message_of(record))}"
    return "\n  ".join([line, *(_visible(below) for below in trace.split("\n"))]) if trace else line


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def stamp(at: float) -> str:
    """
    >>> stamp(1_800_000_000.25)
    '2027-01-15T08:00:00.250Z'
    """
    when = datetime.fromtimestamp(max(0.0, at), UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"
