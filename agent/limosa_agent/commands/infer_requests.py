"""Files with inputs, as requests of the Open Inference Protocol; and their answers put together again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_agent.errors import InputUnreadable
from limosa_agent.serving.tensor_codec import NUMPY, Array, to_binary
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

REQUEST_MAX_ROWS: Final = 256  # a file with more rows is asked in parts
REQUEST_MAX_BYTES: Final = 4 * 1024 * 1024
Loaded: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What the model says of one input; -1 in `shape` is a dynamic dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, value: JsonValue, *, where: str) -> Self:
        fields = Fields(value, where=where)
        return cls(
            name=fields.text("name"),
            datatype=fields.text("datatype"),
            shape=fields.integers("shape", low=-1, max_items=16),
        )

    @property
    def batched(self) -> bool:
        return self.shape[:1] == (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferBody:
    """`json_bytes`: where the JSON ends and the binary tensors begin; 0: it is JSON alone."""

    body: bytes
    json_bytes: int = 0

    @property
    def headers(self) -> dict[str, str]:
        if not self.json_bytes:
            return {"Content-Type": "application/json"}
        return {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(self.json_bytes),
        }


def specs_of(described: JsonObject) -> tuple[InputSpec, ...]:
    """Of a model's metadata. Raises InvalidField."""
    fields = Fields(described, where="model")
    return tuple(InputSpec.parse(item, where=where) for where, item in fields.items("inputs"))


def bodies_of(path: Path, specs: tuple[InputSpec, ...]) -> Iterator[InferBody]:
    """One file is one request, or several if it has many rows. Raises InputUnreadable."""
    if path.suffix == ".json":
        value = _json_file(path)
        inputs = value.get("inputs")
        if isinstance(inputs, list):
            yield InferBody(body=json.dumps(value).encode())
            return
        if not isinstance(inputs, dict):
            raise InputUnreadable('there is no "inputs" in the file', where=str(path))
        loaded = {name: _listed(name, data, path) for name, data in inputs.items()}
    else:
        loaded = _arrays(path, specs)
    arrays = {name: _fitted(name, array, specs, path) for name, array in loaded.items()}
    for part in _parts(arrays, specs):
        yield _encode(part)


def joined(answers: list[JsonObject]) -> list[JsonValue]:
    """The outputs of a file's requests, one after the other along their first dimension."""
    first, *others = [list(Fields(answer, where="answer").items("outputs")) for answer in answers]
    result: list[JsonValue] = []
    for i, (_, item) in enumerate(first):
        output = dict(item) if isinstance(item, Mapping) else {}
        data, shape = list(_list(output.get("data"))), list(_list(output.get("shape")))
        for other in others:
            more = other[i][1]
            assert isinstance(more, Mapping)
            data += _list(more.get("data"))
            rows, added = shape[0], _list(more.get("shape"))[0]
            assert isinstance(rows, int)
            assert isinstance(added, int)
            shape[0] = rows + added
        result.append({**output, "shape": shape, "data": data})
    return result


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _json_file(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputUnreadable("the file cannot be read", where=str(path), why=str(error)) from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputUnreadable("the file is not JSON", where=str(path), why=str(error)) from error
    if not isinstance(value, dict):
        raise InputUnreadable("the file is not a JSON object", where=str(path))
    return value


def _listed(name: str, data: object, path: Path) -> Loaded:
    try:
        return np.asarray(data)
    except (ValueError, OverflowError) as error:
        raise InputUnreadable(
            f"the lists of {name!r} are ragged", where=str(path), why=str(error)[:200]
        ) from error


def _arrays(path: Path, specs: tuple[InputSpec, ...]) -> dict[str, Loaded]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if len(specs) != 1:
                raise InputUnreadable(
                    f"one array for a model with {len(specs)} inputs",
                    where=str(path),
                    hint=f"an .npz with {', '.join(spec.name for spec in specs)}",
                )
            return {specs[0].name: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise InputUnreadable("the file cannot be read", where=str(path), why=str(error)) from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        # numpy's own words propose to load it as a pickle, which runs what is in it.
        raise InputUnreadable(
            "the file is neither .npy nor .npz of numbers or texts", where=str(path)
        ) from error


def _fitted(name: str, array: Loaded, specs: tuple[InputSpec, ...], path: Path) -> Array:
    """Of the model's own type; a single row without its batch dimension gets it. Raises InputUnreadable."""
    spec = next((spec for spec in specs if spec.name == name), None)
    if spec is None:
        known = ", ".join(spec.name for spec in specs)
        raise InputUnreadable(f"the model has no input {name!r}", where=str(path), why=f"it has {known}")
    wanted = NUMPY[spec.datatype]
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "O": "OUS"}[wanted.kind]
    if array.dtype.kind not in kinds:
        raise InputUnreadable(
            f"{name!r} holds {array.dtype} values", where=str(path), why=f"the model takes {spec.datatype}"
        )
    if wanted.kind in "iu" and array.size:
        bounds = np.iinfo(wanted.name)
        if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
            raise InputUnreadable(
                f"a value of {name!r} does not fit {spec.datatype}", where=str(path), why="it is too large"
            )
    with np.errstate(over="ignore"):  # infinity is refused by the endpoint, where a range is declared
        fitted = array.astype(wanted, copy=False)
    return fitted[np.newaxis] if spec.batched and array.ndim == len(spec.shape) - 1 else fitted


def _parts(arrays: Mapping[str, Array], specs: tuple[InputSpec, ...]) -> Iterator[dict[str, Array]]:
    """Cut along the batch, if every input has one of the same length."""
    lengths = {arrays[spec.name].shape[:1] for spec in specs if spec.name in arrays}
    rows = min((length[0] for length in lengths if length), default=0)
    if len(lengths) != 1 or not rows or not all(spec.batched for spec in specs):
        yield dict(arrays)
        return
    row_bytes = sum(array.nbytes // rows for array in arrays.values()) or 1
    step = max(1, min(REQUEST_MAX_ROWS, REQUEST_MAX_BYTES // row_bytes))
    for begin in range(0, rows, step):
        yield {name: array[begin : begin + step] for name, array in arrays.items()}


def _encode(arrays: Mapping[str, Array]) -> InferBody:
    described: list[JsonValue] = []
    tail: list[bytes] = []
    names = {kind: name for name, kind in NUMPY.items()}
    for name, array in arrays.items():
        tail.append(to_binary(array))
        described.append(
            {
                "name": name,
                "datatype": names[array.dtype],
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(tail[-1])},
            }
        )
    head = json.dumps({"inputs": described}).encode()
    return InferBody(body=b"".join((head, *tail)), json_bytes=len(head))
