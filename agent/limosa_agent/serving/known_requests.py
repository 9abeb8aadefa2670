"""Inference requests that look like earlier ones are parsed only where they differ. Pure.

A client sends the same JSON over and over. What stays of it, the text without the value of a leading
"id" and without arrays of plain numbers, is looked up; what is new is checked by itself. A text that is
in any way unusual goes the whole way (`oip_json`), which also words every refusal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Final

import orjson

from limosa_agent.serving.oip_json import (
    NAME_MAX_CHARS,
    TENSORS_MAX,
    InferRequest,
    TensorIn,
    parse_infer_request,
)
from limosa_contracts.json_value import JsonValue

TEXT_MAX_BYTES: Final = 4096  # of what stays; longer is not kept
KEPT_MAX: Final = 256  # texts; more: the store begins anew
ID_FIRST: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"id"[ \t\r\n]*:[ \t\r\n]*"([ !#-\[\]-~]*)"')
"""Of printable ASCII that JSON does not escape."""
ARRAY: Final = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*\[')
OF_NUMBERS: Final = b"0123456789+-.eE, \t\r\n[]"
BETWEEN: Final = b" \t\r\n,"
FLOATS: Final = frozenset(("FP16", "FP32", "FP64"))
CUT: Final = b"\0"  # stands for what was cut out: no JSON text holds this byte
MARK: Final = "\0"  # in a JSON string, where it must be written as an escape
MARK_ESCAPED: Final = b"\\u0000"


@dataclass(slots=True)  # made for every request, as what is made of it
class _Split:
    """`stays` holds CUT for the value of the id, if `ident` is one, and for each array of `numbers`."""

    ident: str | None
    stays: bytes
    numbers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """`places[k]`: the input whose numbers the array k holds."""

    request: InferRequest
    places: tuple[int, ...]


class KnownRequests:
    """Not thread-safe."""

    def __init__(self) -> None:
        self._known: Final[dict[bytes, _Known]] = {}

    def parse(self, text: bytes) -> InferRequest:
        """The same as `parse_infer_request`. Raises BadInferRequest."""
        split = _split(text)
        if split is None:
            return parse_infer_request(text)
        known = self._known.get(split.stays)
        if known is None:
            return self._learn(text, split)
        request = known.request
        inputs = request.inputs
        if known.places:
            filled = list(inputs)
            try:
                for place, numbers in zip(known.places, split.numbers, strict=True):
                    filled[place] = _filled(filled[place], numbers)
            except (ValueError, RecursionError):
                return parse_infer_request(text)  # which says what is wrong
            inputs = tuple(filled)
        ident = request.id if split.ident is None else split.ident
        return InferRequest(ident, inputs, request.outputs, request.binary_default)

    def _learn(self, text: bytes, split: _Split) -> InferRequest:
        request = parse_infer_request(text)
        if len(split.stays) > TEXT_MAX_BYTES:
            return request
        places = _places(split)
        if places is None:
            return request
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        emptied = tuple(
            replace(item, data=()) if place in places else item for place, item in enumerate(request.inputs)
        )
        self._known[split.stays] = _Known(replace(request, inputs=emptied), places)
        return request


def _split(text: bytes) -> _Split | None:
    """None for a text that is not looked up."""
    if CUT in text:
        return None
    ident: str | None = None
    stays: list[bytes] = []
    at = 0
    if (first := ID_FIRST.match(text)) is not None:
        ident = first[1].decode("ascii")
        at = first.end(1)
        if len(ident) > NAME_MAX_CHARS:
            return None
        stays += (text[: first.start(1)], CUT)
    numbers: list[bytes] = []
    while (array := ARRAY.search(text, at)) is not None:
        begin = array.end() - 1
        cut = _numbers(text, begin)
        end = begin + len(cut) if cut else begin + 1
        stays += (text[at:begin], CUT) if cut else (text[at:end],)
        if cut:
            numbers.append(cut)
        at = end
    if len(numbers) > TENSORS_MAX:
        return None
    stays.append(text[at:])
    return _Split(ident, b"".join(stays), tuple(numbers))


def _numbers(text: bytes, begin: int) -> bytes:
    """The array that begins here, if it can hold nothing but numbers and arrays of them; else nothing."""
    ends = [at for at in (text.find(b'"', begin), text.find(b"}", begin)) if at >= 0]
    if not ends:
        return b""
    cut = text[begin : min(ends)].rstrip(BETWEEN)
    return cut if cut.endswith(b"]") and not cut.translate(None, OF_NUMBERS) else b""


def _filled(item: TensorIn, numbers: bytes) -> TensorIn:
    """Raises ValueError if the numbers are no JSON array."""
    # Integers beyond 64 bits would come out of the fast reader as floating point numbers.
    data = orjson.loads(numbers) if item.dtype in FLOATS else json.loads(numbers)
    return TensorIn(item.name, item.dtype, item.shape, data, None, only_numbers=True)


def _places(split: _Split) -> tuple[int, ...] | None:
    """Which input each array belongs to, found by putting a mark in its place. None: not an input's data."""
    if MARK_ESCAPED in split.stays:
        return None
    pieces = split.stays.split(CUT)
    marked = [pieces[0]]
    first = 0
    if split.ident is not None:
        marked.append(pieces[1])
        first = 1
    for number, piece in enumerate(pieces[first + 1 :]):
        marked += (b'"%b%d"' % (MARK_ESCAPED, number), piece)
    value: JsonValue = json.loads(b"".join(marked))
    inputs = value.get("inputs") if isinstance(value, dict) else None
    places: dict[str, int] = {}
    for place, item in enumerate(inputs if isinstance(inputs, list) else ()):
        data = item.get("data") if isinstance(item, dict) else None
        if isinstance(data, str) and data.startswith(MARK):
            places[data] = place
    wanted = [f"{MARK}{number}" for number in range(len(split.numbers))]
    if sorted(wanted) != sorted(places):
        return None
    return tuple(places[mark] for mark in wanted)
