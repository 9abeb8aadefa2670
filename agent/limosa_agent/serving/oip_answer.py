"""Answers of the Open Inference Protocol v2: tensors out, as JSON or binary. Pure.

What an answer says besides its values is the same for every request, and is written once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import orjson

from limosa_agent.serving.http_messages import BINARY, INFERENCE_HEADER_NAME, Reply
from limosa_agent.serving.oip_json import InferRequest
from limosa_agent.serving.tensor_codec import OIP, Array, to_binary, to_json

KEPT_MAX: Final = 64  # shapes of outputs whose description is kept


class AnswerWriter:
    """Of one model."""

    def __init__(self, *, model: str, version: str, outputs: tuple[str, ...]) -> None:
        """`outputs`: what is answered where the request names none, in this order."""
        self._begin: Final = b'{"model_name":%b,"model_version":%b' % (_text(model), _text(version))
        self._outputs: Final = outputs
        self._described: Final[dict[tuple[str, str, tuple[int, ...]], bytes]] = {}

    def write(self, request: InferRequest, outputs: Mapping[str, Array]) -> Reply:
        """Values that are no JSON numbers, NaN and infinity, go out as null; binary has them as they are."""
        parts = [self._begin]
        if request.id:
            parts.append(b',"id":%b' % _text(request.id))
        tail: list[bytes] = []
        separator = b',"outputs":['
        for name in request.outputs or self._outputs:
            array = outputs[name]
            parts += (separator, self._describe(name, array))
            separator = b","
            if request.outputs.get(name, request.binary_default):
                raw = to_binary(array)
                tail.append(raw)
                parts.append(b'"parameters":{"binary_data_size":%d}}' % len(raw))
            else:
                parts += (b'"data":', _values(array), b"}")
        parts.append(b"]}")
        head = b"".join(parts)
        if not tail:
            return Reply(200, (head,))
        return Reply(200, (head, *tail), ((INFERENCE_HEADER_NAME, str(len(head))),), BINARY)

    def _describe(self, name: str, array: Array) -> bytes:
        """An output's JSON up to its values."""
        key = (name, array.dtype.char, array.shape)
        known = self._described.get(key)
        if known is None:
            if len(self._described) >= KEPT_MAX:
                self._described.clear()
            item = {"name": name, "datatype": OIP[array.dtype], "shape": list(array.shape)}
            known = json.dumps(item, separators=(",", ":")).encode()[:-1] + b","
            self._described[key] = known
        return known


def _values(array: Array) -> bytes:
    """A flat JSON list; floats with as few digits as tell them from their neighbours."""
    if array.dtype.kind == "O":
        return json.dumps(to_json(array), separators=(",", ":")).encode()
    return orjson.dumps(array.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)


def _text(text: str) -> bytes:
    return json.dumps(text).encode()
