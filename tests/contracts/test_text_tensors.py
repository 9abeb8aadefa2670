"""Texts in tensor files: what went in comes out, and what is no text is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidArtifact
from limosa_contracts.tensors import RawTensor, encode_tensors, parse_tensors
from limosa_contracts.text_tensors import TEXT, encode_texts, parse_texts

GOLDEN = Path(__file__).parent / "golden" / "golden-1-texts.safetensors"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def test_agreed_file_with_texts_is_read_and_written_as_it_was() -> None:
    data = GOLDEN.read_bytes()
    tensors, said = parse_tensors(data)
    assert said == {"input.note": TEXT, "output.label": TEXT}
    assert parse_texts(tensors["input.note"]) == (["leak", "Öl"], (2, 1))
    assert parse_texts(tensors["output.label"]) == (["no", "yes"], (2,))
    assert encode_tensors(tensors, said) == data


@given(st.lists(TEXTS, max_size=12))
def test_texts_survive_a_file(texts: list[str]) -> None:
    data = encode_tensors({"t": encode_texts(texts, [len(texts)])}, {"t": TEXT})
    tensors, said = parse_tensors(data)
    assert said == {"t": TEXT}
    assert parse_texts(tensors["t"]) == (texts, (len(texts),))


@given(st.binary(max_size=64), st.integers(1, 16))
def test_bytes_of_any_kind_are_texts_or_refused(data: bytes, width: int) -> None:
    rows = len(data) // width
    tensor = RawTensor("U8", (rows, width), data[: rows * width])
    try:
        texts, shape = parse_texts(tensor)
    except InvalidArtifact:
        return
    assert shape == (rows,)
    assert parse_texts(encode_texts(texts, shape))[0] == texts


def test_text_with_a_zero_or_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidArtifact):
        encode_texts(["a\0b"], [1])
    with pytest.raises(InvalidArtifact):
        encode_texts(["a"], [2])
    with pytest.raises(InvalidArtifact):
        parse_texts(RawTensor("F32", (1, 1), b"\0\0\0\0"))
