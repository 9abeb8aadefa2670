"""numpy arrays to and from the tensor file of the contracts, and their digest."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.tensors import NUMPY_NAME, RawTensor, encode_tensors, parse_tensors
from limosa_contracts.text_tensors import TEXT, encode_texts, parse_texts

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
_CHUNK_BYTES: Final = 4 * 1024 * 1024  # hashed at a time: mapped files are not read into memory
_TENSOR_NAME: Final = {numpy_name: name for name, numpy_name in NUMPY_NAME.items()}


def release(array: Array) -> None:
    """Gives pages of a mapped file back to the system; nothing for other arrays."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)


def is_text(array: Array) -> bool:
    """Whether it holds texts, as numpy's own kinds or as Python objects."""
    return array.dtype.kind in "OUS"


def as_texts(array: Array) -> Array:
    """The same values as Python texts [object]: what the runtime takes. Bytes are read as UTF-8."""
    flat = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel().tolist()]
    return np.array(flat, dtype=object).reshape(array.shape)


def encode_arrays(arrays: Arrays) -> bytes:
    """Raises InvalidArtifact for a type that a tensor file cannot hold."""
    texts = {name: TEXT for name, array in sorted(arrays.items()) if is_text(array)}
    return encode_tensors({name: _raw(name, array) for name, array in arrays.items()}, texts)


def parse_arrays(data: bytes) -> dict[str, Array]:
    """Views of `data`; texts are copied. Raises InvalidArtifact."""
    tensors, said = parse_tensors(data)
    return {
        name: _texts(tensor) if said.get(name) == TEXT else _numbers(tensor)
        for name, tensor in tensors.items()
    }


def digest_of_arrays(arrays: Arrays) -> str:
    """sha256 over names, types, shapes and values, in the order of names; 64 hex digits."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        if is_text(array):
            state.update(f"{name}\0text\0{array.shape}\0".encode())
            for text in as_texts(array).ravel().tolist():
                state.update(f"{text}\0".encode())
            continue
        state.update(f"{name}\0{array.dtype.newbyteorder('<').str}\0{array.shape}\0".encode())
        rows = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes)) if array.ndim else 1
        for part in (array[at : at + rows] for at in range(0, len(array), rows)) if array.ndim else (array,):
            state.update(part.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
            release(part)
    return state.hexdigest()


def _texts(tensor: RawTensor) -> Array:
    texts, shape = parse_texts(tensor)
    return np.array(texts, dtype=object).reshape(shape)


def _numbers(tensor: RawTensor) -> Array:
    array = np.frombuffer(tensor.data, dtype=np.dtype(NUMPY_NAME[tensor.dtype]).newbyteorder("<"))
    return array.astype(NUMPY_NAME[tensor.dtype], copy=False).reshape(tensor.shape)


def _raw(name: str, array: Array) -> RawTensor:
    if is_text(array):
        return encode_texts(as_texts(array).ravel().tolist(), array.shape)
    if array.dtype.name not in _TENSOR_NAME:
        raise InvalidArtifact(f"a tensor file cannot hold {name!r}", why=f"its type is {array.dtype.name}")
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return RawTensor(_TENSOR_NAME[array.dtype.name], tuple(array.shape), little.tobytes())
