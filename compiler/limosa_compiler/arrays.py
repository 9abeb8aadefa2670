"""numpy arrays to and from the tensor file of the contracts, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.tensors import NUMPY_NAME, RawTensor, encode_tensors, parse_tensors

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
_TENSOR_NAME: Final = {numpy_name: name for name, numpy_name in NUMPY_NAME.items()}


def encode_arrays(arrays: Arrays) -> bytes:
    """Raises InvalidArtifact for a type that a tensor file cannot hold."""
    return encode_tensors({name: _raw(name, array) for name, array in arrays.items()}, {})


def parse_arrays(data: bytes) -> dict[str, Array]:
    """Views of `data`. Raises InvalidArtifact."""
    tensors, _ = parse_tensors(data)
    return {
        name: np.frombuffer(tensor.data, dtype=np.dtype(NUMPY_NAME[tensor.dtype]).newbyteorder("<"))
        .astype(NUMPY_NAME[tensor.dtype], copy=False)
        .reshape(tensor.shape)
        for name, tensor in tensors.items()
    }


def digest_of_arrays(arrays: Arrays) -> str:
    """sha256 over names, types, shapes and values, in the order of names; 64 hex digits."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name}\0{array.dtype.newbyteorder('<').str}\0{array.shape}\0".encode())
        state.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return state.hexdigest()


def _raw(name: str, array: Array) -> RawTensor:
    if array.dtype.name not in _TENSOR_NAME:
        raise InvalidArtifact(f"a tensor file cannot hold {name!r}", why=f"its type is {array.dtype.name}")
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return RawTensor(_TENSOR_NAME[array.dtype.name], tuple(array.shape), little.tobytes())
