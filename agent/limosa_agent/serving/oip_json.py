"""Inference requests of the Open Inference Protocol v2: their JSON. Pure.

Reading allocates by what was sent, never by what a shape claims.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, cast

from limosa_agent.serving.errors import BadInferRequest
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.serving import NUMPY_OF_DTYPE

TENSORS_MAX = 64  # inputs or outputs of one request; serving.json allows no more
RANK_MAX = 16
DIMENSION_MAX = 2**40
NAME_MAX_CHARS = 256


@dataclass(slots=True)  # made for every request: freezing would cost more than reading it
class TensorIn:
    """`binary_bytes` is set if the values follow the JSON; else `data` holds them, flat or nested.

    `only_numbers`: nothing but JSON numbers, in lists, is in `data`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Sequence[JsonValue] | None
    binary_bytes: int | None
    only_numbers: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(slots=True)  # as above
class InferRequest:
    """`outputs`: name -> whether its values go out as binary; empty: all outputs of the model."""

    id: str
    inputs: tuple[TensorIn, ...]
    outputs: Mapping[str, bool]
    binary_default: bool


def parse_infer_request(data: bytes | memoryview) -> InferRequest:
    """Raises BadInferRequest, naming the place."""
    value = _loads(data)
    if not isinstance(value, dict):
        _refuse("the request must be an object", "")
    parameters = _parameters(value, "parameters")
    binary_default = parameters.get("binary_data_output", False)
    if not isinstance(binary_default, bool):
        _refuse("must be true or false", "parameters.binary_data_output")
    if parameters.get("sequence_id"):
        _refuse("sequences are not offered: each request stands for itself", "parameters.sequence_id")
    ident = value.get("id", "")
    if not isinstance(ident, str) or len(ident) > NAME_MAX_CHARS:
        _refuse(f"must be text of at most {NAME_MAX_CHARS} characters", "id")
    inputs = tuple(_input(item, f"inputs[{i}]") for i, item in enumerate(_list(value, "inputs")))
    if not inputs:
        _refuse("at least one input is needed", "inputs")
    wanted = _list(value, "outputs") if value.get("outputs") is not None else []
    outputs = dict(
        _output(item, f"outputs[{i}]", binary_default=binary_default) for i, item in enumerate(wanted)
    )
    if len(outputs) != len(wanted):
        _refuse("an output is asked for twice", "outputs")
    return InferRequest(ident, inputs, outputs, binary_default)


def _input(item: JsonValue, where: str) -> TensorIn:
    if not isinstance(item, dict):
        _refuse("an input must be an object", where)
    name, dtype, shape = item.get("name"), item.get("datatype"), item.get("shape")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX_CHARS:
        _refuse("a name is needed", f"{where}.name")
    if not isinstance(dtype, str) or dtype not in NUMPY_OF_DTYPE:
        _refuse(f"must be one of {', '.join(NUMPY_OF_DTYPE)}", f"{where}.datatype")
    if not isinstance(shape, list) or len(shape) > RANK_MAX:
        _refuse(f"must be a list of at most {RANK_MAX} dimensions", f"{where}.shape")
    for dimension in shape:
        if type(dimension) is not int or not 0 <= dimension <= DIMENSION_MAX:
            _refuse(f"a dimension must be a whole number from 0 to {DIMENSION_MAX}", f"{where}.shape")
    parameters = _parameters(item, f"{where}.parameters")
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        _refuse("must be a whole number of bytes", f"{where}.parameters.binary_data_size")
    data = item.get("data")
    if (data is None) == (size is None):
        _refuse("either data or parameters.binary_data_size is needed, not both", where)
    if data is not None and not isinstance(data, list):
        _refuse("must be a list", f"{where}.data")
    dimensions = cast("list[int]", shape)
    return TensorIn(name, dtype, tuple(dimensions), cast("list[JsonValue] | None", data), size)


def _output(item: JsonValue, where: str, *, binary_default: bool) -> tuple[str, bool]:
    if not isinstance(item, dict):
        _refuse("an output must be an object", where)
    name = item.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX_CHARS:
        _refuse("a name is needed", f"{where}.name")
    parameters = _parameters(item, f"{where}.parameters")
    if parameters.get("classification"):
        _refuse("the classification extension is not offered", f"{where}.parameters.classification")
    binary = parameters.get("binary_data", binary_default)
    if not isinstance(binary, bool):
        _refuse("must be true or false", f"{where}.parameters.binary_data")
    return name, binary


def _parameters(item: JsonObject, where: str) -> JsonObject:
    value = item.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        _refuse("must be an object", where)
    if "shared_memory_region" in value:
        _refuse("the shared memory extension is not offered", f"{where}.shared_memory_region")
    return value


def _list(value: JsonObject, name: str) -> list[JsonValue]:
    items = value.get(name)
    if not isinstance(items, list) or len(items) > TENSORS_MAX:
        _refuse(f"must be a list of at most {TENSORS_MAX}", name)
    return cast("list[JsonValue]", items)


def _loads(data: bytes | memoryview) -> JsonValue:
    """The C scanner bounds depth by itself (RecursionError): tensors may be megabytes, so no second pass."""
    try:
        text = str(data, "utf-8")
        return cast("JsonValue", json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant))
    except (ValueError, RecursionError) as error:
        raise BadInferRequest("the request is not valid JSON", why=str(error)[:200]) from error


def _unique(pairs: Iterable[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key[:80]!r} occurs twice")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse(why: str, where: str) -> NoReturn:
    raise BadInferRequest("the inference request is not valid", where=where, why=why)
