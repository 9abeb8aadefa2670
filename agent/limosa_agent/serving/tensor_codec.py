"""Tensor values between the wire and numpy: JSON lists, and the binary tensor extension. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_agent.serving.errors import BadInferRequest, InputDtype, InputRange, InputShape
from limosa_agent.serving.oip_json import TensorIn
from limosa_contracts.json_value import JsonValue
from limosa_contracts.serving import NUMPY_OF_DTYPE

Array: TypeAlias = npt.NDArray[np.generic]
NUMPY: Mapping[str, np.dtype[np.generic]] = {name: np.dtype(kind) for name, kind in NUMPY_OF_DTYPE.items()}
OIP: Mapping[np.dtype[np.generic], str] = {kind: name for name, kind in NUMPY.items()}
LITTLE: Mapping[str, np.dtype[np.generic]] = {name: kind.newbyteorder("<") for name, kind in NUMPY.items()}
KINDS_TAKEN = {"b": "b", "u": "ui", "i": "ui", "f": "uif"}
"""Kind of the wanted type -> kinds numpy may find in the JSON numbers."""


def arrays_of(inputs: tuple[TensorIn, ...], tail: memoryview) -> dict[str, Array]:
    """The tensors of a request; `tail` is what follows its JSON. Raises BadInferRequest and Input*."""
    arrays: dict[str, Array] = {}
    at = 0
    for tensor in inputs:
        if tensor.binary_bytes is None:
            arrays[tensor.name] = from_json(tensor)
            continue
        end = at + tensor.binary_bytes
        if end > len(tail):
            raise BadInferRequest(
                "the body is shorter than its inputs say",
                where=tensor.name,
                why=f"{end - len(tail)} bytes lack",
            )
        arrays[tensor.name] = from_binary(tensor, tail[at:end])
        at = end
    if at != len(tail):
        raise BadInferRequest("bytes follow the last input", where="body", why=f"{len(tail) - at} bytes")
    return arrays


def from_json(tensor: TensorIn) -> Array:
    """Values may be flat or nested as the shape. Raises InputShape, InputDtype, InputRange."""
    wanted = NUMPY[tensor.dtype]
    if tensor.only_numbers and wanted.kind == "f" and (packed := _packed(tensor, wanted)) is not None:
        return packed
    try:
        # Texts stay objects: numpy's own text type drops NULs at the end.
        raw = np.array(tensor.data, dtype=object if tensor.dtype == "BYTES" else None)
    except (ValueError, OverflowError) as error:
        raise InputShape("the lists of data are ragged", where=tensor.name) from error
    if (raw.dtype.kind == "O" and wanted.kind in "uif") or tensor.dtype == "UINT64":
        raw = _of_large_integers(tensor, wanted)
    if raw.size != tensor.elements or (raw.ndim != 1 and raw.shape != tensor.shape):
        raise InputShape(
            f"data has {raw.size} elements",
            where=tensor.name,
            why=f"its shape {list(tensor.shape)} says otherwise",
        )
    if raw.size and not _is_taken(raw, wanted.kind):
        raise InputDtype(f"data does not hold {tensor.dtype} values", where=tensor.name)
    if wanted.kind in "ui" and raw.size:
        bounds = np.iinfo(wanted.name)
        if int(raw.min()) < bounds.min or int(raw.max()) > bounds.max:
            raise InputRange(f"a value does not fit {tensor.dtype}", where=tensor.name)
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            array = raw.astype(wanted)
        if not np.isfinite(array).all():
            raise InputRange(f"a value does not fit {tensor.dtype}", where=tensor.name)
        return _shaped(array, tensor)
    return _shaped(raw.astype(wanted), tensor)


def _packed(tensor: TensorIn, wanted: np.dtype[np.generic]) -> Array | None:
    """Flat numbers into floats, twice as fast as numpy reads a list; None if they are not flat, or too many.

    Raises InputRange.
    """
    data = tensor.data or ()
    if len(data) != tensor.elements:
        return None
    try:
        # "=": without it, struct makes an infinity of what is too large for 32 bits, and says nothing.
        packed = struct.pack(f"={len(data)}{wanted.char}", *data)
    except OverflowError as error:
        raise InputRange(f"a value does not fit {tensor.dtype}", where=tensor.name) from error
    except struct.error:
        return None
    return _shaped(np.frombuffer(packed, wanted), tensor)


def _shaped(array: Array, tensor: TensorIn) -> Array:
    try:
        return array.reshape(tensor.shape)
    except ValueError as error:  # no elements, but dimensions beyond what an array can have
        raise InputShape("the shape is not possible", where=tensor.name, why=str(error)[:200]) from error


def _of_large_integers(tensor: TensorIn, wanted: np.dtype[np.generic]) -> Array:
    """Integers from 2**63 on: numpy would round them to float64, or keep them as objects."""
    raw: Array = np.array(tensor.data, dtype=object)
    kinds = {type(item) for item in raw.ravel().tolist()}
    if not kinds <= {int, float} or (float in kinds and wanted.kind != "f"):
        raise InputDtype(f"data does not hold {tensor.dtype} values", where=tensor.name)
    try:
        return raw.astype(np.float64 if wanted.kind == "f" else wanted)
    except OverflowError as error:
        raise InputRange(f"a value does not fit {tensor.dtype}", where=tensor.name) from error


def _is_taken(raw: Array, kind: str) -> bool:
    if kind == "O":
        return all(isinstance(item, str) for item in raw.ravel().tolist())
    return raw.dtype.kind in KINDS_TAKEN[kind]


def from_binary(tensor: TensorIn, data: memoryview) -> Array:
    """A view of little-endian, row-major bytes; BYTES are copied. Raises InputShape, InputDtype."""
    wanted = NUMPY[tensor.dtype]
    if tensor.dtype == "BYTES":
        return _texts(tensor, data)
    if len(data) != tensor.elements * wanted.itemsize:
        raise InputShape(
            f"{len(data)} bytes came",
            where=tensor.name,
            why=f"shape {list(tensor.shape)} of {tensor.dtype} has {tensor.elements * wanted.itemsize}",
        )
    array = _shaped(np.frombuffer(data, LITTLE[tensor.dtype]), tensor)
    if not array.flags.aligned:
        array = array.copy()  # a runtime may read whole vectors from where it begins
    if wanted.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise InputDtype("a BOOL byte is neither 0 nor 1", where=tensor.name)
    return array


def to_json(array: Array) -> list[JsonValue]:
    """Flat values. JSON has no NaN or infinity: they become null, and are counted elsewhere."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [value if np.isfinite(value) else None for value in array.ravel().tolist()]
    flat: list[JsonValue] = array.ravel().tolist()
    return flat


def to_binary(array: Array) -> bytes:
    if array.dtype.kind == "O":
        return b"".join(
            struct.pack("<I", len(item)) + item
            for item in (_bytes_of(value) for value in array.ravel().tolist())
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _texts(tensor: TensorIn, data: memoryview) -> Array:
    """u32 length and UTF-8 text, one after the other."""
    texts: list[str] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise InputShape("a BYTES element is cut", where=tensor.name)
        (length,) = struct.unpack_from("<I", data, at)
        at += 4 + length
        if at > len(data):
            raise InputShape("a BYTES element is cut", where=tensor.name)
        try:
            texts.append(str(data[at - length : at], "utf-8"))
        except UnicodeDecodeError as error:
            raise InputDtype("a BYTES element is not UTF-8", where=tensor.name) from error
    if len(texts) != tensor.elements:
        raise InputShape(
            f"{len(texts)} elements came", where=tensor.name, why=f"its shape: {tensor.elements}"
        )
    return _shaped(np.array(texts, dtype=object), tensor)


def _bytes_of(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
