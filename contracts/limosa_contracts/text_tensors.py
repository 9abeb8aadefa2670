"""Texts in a tensor file, which knows numbers only: UTF-8 bytes, padded with zeros to one width.

A tensor of texts [N, …] is U8 [N, …, width]; the file's metadata says so under the tensor's name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.tensors import RawTensor

TEXT: Final = "text"
"""What the metadata of a tensor file says of a tensor of texts."""
_ALIGNMENT: Final = 8  # bytes; whatever follows in the file stays aligned


def encode_texts(texts: Sequence[str], shape: Sequence[int]) -> RawTensor:
    """Texts in row-major order. Raises InvalidArtifact for a text with a zero character.

    >>> tensor = encode_texts(["ab", "ä"], [2])
    >>> tensor.shape, bytes(tensor.data)[:8]
    ((2, 8), b'ab\\x00\\x00\\x00\\x00\\x00\\x00')
    """
    if len(texts) != math.prod(shape):
        raise InvalidArtifact("texts do not fill their shape", where="tensors")
    raw = [text.encode() for text in texts]
    if any(0 in item for item in raw):
        raise InvalidArtifact("a text holds a zero character", where="tensors")
    longest = max((len(item) for item in raw), default=0)
    width = max(1, -(-longest // _ALIGNMENT)) * _ALIGNMENT
    return RawTensor("U8", (*shape, width), b"".join(item.ljust(width, b"\0") for item in raw))


def parse_texts(tensor: RawTensor) -> tuple[list[str], tuple[int, ...]]:
    """(texts in row-major order, their shape). Raises InvalidArtifact.

    >>> parse_texts(encode_texts(["ab", "ä"], [2]))
    (['ab', 'ä'], (2,))
    """
    if tensor.dtype != "U8" or not tensor.shape:
        raise InvalidArtifact("a tensor of texts is not U8 [..., width]", where="tensors")
    *shape, width = tensor.shape
    data = bytes(tensor.data)
    try:
        texts = [data[at * width : (at + 1) * width].rstrip(b"\0").decode() for at in range(math.prod(shape))]
    except UnicodeDecodeError as error:
        raise InvalidArtifact("a text is not UTF-8", where="tensors", why=str(error)[:200]) from error
    if any("\0" in text for text in texts):
        raise InvalidArtifact("a text holds a zero character", where="tensors")
    return texts, tuple(shape)
