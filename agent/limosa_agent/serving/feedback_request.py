"""`POST /v2/models/{model}/feedback`: its JSON. Pure.

One piece of feedback, or {"feedback": [...]} with several:
{"id": "<the id of the inference request>", "label": "walking"} or {"id": …, "name": "clicked", "value": 1}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from limosa_agent.serving.errors import BadFeedback
from limosa_contracts.canonical import parse_object
from limosa_contracts.errors import LimosaError
from limosa_contracts.feedback import ACCURACY, VALUE_MAX
from limosa_contracts.json_value import JsonValue
from limosa_contracts.names import NAME

PIECES_MAX: Final = 1000
BODY_MAX_BYTES: Final = 1024 * 1024
ID_MAX_CHARS: Final = 256
LABEL_MAX_CHARS: Final = 256
ROW_MAX: Final = 65535
_KNOWN: Final = frozenset(("id", "row", "name", "value", "label"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Either a label (a class by its name or number), or a value of the KPI `name`."""

    ident: str
    row: int = 0  # of the request's rows
    name: str = ""
    value: float = 0.0
    label: str | int | None = None


def parse_feedback(body: bytes | memoryview) -> tuple[Piece, ...]:
    """Raises BadFeedback, naming the place; then nothing of the request counts."""
    try:
        said = parse_object(bytes(body), what="feedback", max_bytes=BODY_MAX_BYTES)
    except LimosaError as error:
        raise BadFeedback("the feedback is not valid JSON", why=str(error)[:200]) from error
    if "feedback" not in said:
        return (read_piece(said, ""),)
    pieces = said["feedback"]
    if len(said) > 1 or not isinstance(pieces, (list, tuple)) or not 0 < len(pieces) <= PIECES_MAX:
        _refuse(f"must be a list of 1 to {PIECES_MAX}, alone", "feedback")
    return tuple(_each(pieces))


def read_piece(said: JsonValue, where: str) -> Piece:
    """Raises BadFeedback."""

    def at(name: str) -> str:
        return f"{where}.{name}" if where else name

    if not isinstance(said, dict):
        _refuse("an object is needed", where or "feedback")
    for key in said:
        if key not in _KNOWN:
            _refuse(f"is none of {', '.join(sorted(_KNOWN))}", at(str(key)[:80]))
    ident, row = said.get("id"), said.get("row", 0)
    if not isinstance(ident, str) or not 0 < len(ident) <= ID_MAX_CHARS:
        _refuse(f"the id of the inference request is needed: 1 to {ID_MAX_CHARS} characters", at("id"))
    if type(row) is not int or not 0 <= row <= ROW_MAX:
        _refuse(f"must be a whole number from 0 to {ROW_MAX}", at("row"))
    label, value = said.get("label"), said.get("value")
    if (label is None) == (value is None):
        _refuse("either label, or name and value, is needed", where or "feedback")
    if label is not None:
        return Piece(ident=ident, row=row, label=_label(said, at))
    name = said.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == ACCURACY:
        _refuse(f"must be a name like clicked-through, and not {ACCURACY}: labels give that", at("name"))
    return Piece(ident=ident, row=row, name=name, value=_value(value, at("value")))


def _label(said: dict[str, JsonValue], at: Callable[[str], str]) -> str | int:
    label = said["label"]
    if "name" in said:
        _refuse("a label has no name", at("name"))
    text = isinstance(label, str) and 0 < len(label) <= LABEL_MAX_CHARS
    number = type(label) is int and 0 <= label < 2**31
    if not isinstance(label, (str, int)) or not (text or number):
        _refuse("must be a class, by its name or its number", at("label"))
    return label


def _value(value: JsonValue, where: str) -> float:
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, (int, float)) or not math.isfinite(value) or abs(value) > VALUE_MAX:
        _refuse(f"must be true, false or a number of at most {VALUE_MAX:g}", where)
    return float(value)


def _each(pieces: list[JsonValue] | tuple[JsonValue, ...]) -> Iterator[Piece]:
    for i, piece in enumerate(pieces):
        yield read_piece(piece, f"feedback[{i}]")


def _refuse(why: str, where: str) -> NoReturn:
    raise BadFeedback("the feedback is not valid", where=where, why=why)
