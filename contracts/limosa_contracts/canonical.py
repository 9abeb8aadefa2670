"""JSON in, strictly; JSON out, in exactly one way."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Final, cast

from limosa_contracts.errors import InvalidJson, TooLarge
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.limits import LIMITS

_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def encode_canonical(value: JsonValue) -> bytes:
    """UTF-8 JSON with sorted keys, no white space, no NaN: equal values give equal bytes."""
    return _ENCODER.encode(value).encode()


def parse_json(
    data: bytes,
    *,
    what: str = "document",
    max_bytes: int = LIMITS.document_max_bytes,
    max_depth: int = LIMITS.json_max_depth,
) -> JsonValue:
    """The value in `data`. Raises InvalidJson (also for duplicate keys, NaN, numbers beyond a double,
    half a surrogate pair, depth), TooLarge. So whatever is parsed can be encoded again."""
    if len(data) > max_bytes:
        raise TooLarge(f"{what} has {len(data)} bytes", where=what, why=f"at most {max_bytes} are accepted")
    _check_depth(data, what=what, max_depth=max_depth)
    try:
        value = _DECODER.decode(data.decode())
        _check_characters(data, value)
    except (UnicodeError, json.JSONDecodeError, _Refused, RecursionError, ValueError) as error:
        raise InvalidJson(f"{what} is not valid JSON", where=what, why=str(error)) from error
    return cast("JsonValue", value)


def parse_object(
    data: bytes,
    *,
    what: str = "document",
    max_bytes: int = LIMITS.document_max_bytes,
    max_depth: int = LIMITS.json_max_depth,
) -> JsonObject:
    """Like parse_json, for a document that must be an object."""
    value = parse_json(data, what=what, max_bytes=max_bytes, max_depth=max_depth)
    if not isinstance(value, dict):
        raise InvalidJson(f"{what} is not a JSON object", where=what, why=f"it is a {type(value).__name__}")
    return value


class _Refused(Exception):
    pass


def _unique(pairs: Iterable[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in result:
            raise _Refused(f"the key {key!r} occurs twice")
        result[key] = value
    return result


def _no_constant(name: str) -> JsonValue:
    raise _Refused(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Refused(f"{text[:40]} is beyond what a number holds")
    return value


def _check_characters(data: bytes, value: object) -> None:
    """An escape can write half of a surrogate pair, which UTF-8 cannot carry. Raises UnicodeEncodeError."""
    if b"\\ud" in data or b"\\uD" in data:
        json.dumps(value, ensure_ascii=False).encode()


def _check_depth(data: bytes, *, what: str, max_depth: int) -> None:
    """Refuses deep nesting before the recursive parser sees it (trust 7.3)."""
    depth = 0
    in_string = escaped = False
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > max_depth:
                raise InvalidJson(f"{what} is nested too deeply", where=what, why=f"the limit is {max_depth}")
        elif byte in b"]}":
            depth -= 1


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
)
"""One for all: `json.loads` with hooks makes a new one each time."""
