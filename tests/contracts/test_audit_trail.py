"""The audit trail's wire: chained entries and signed heads (trust 6.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.audit_trail import (
    GENESIS,
    HEAD_MAX_BYTES,
    HEAD_TYPE,
    AuditEntry,
    AuditHead,
    compare_heads,
    first_break,
)
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import InvalidField, InvalidJson, SignatureMismatch
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support.golden import golden_bytes

KEY = SigningKey.generate(Algorithm.ED25519)
HEAD = AuditHead(seq=7, hash="ab" * 32, time=1_800_000_000, epoch=2)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20).filter(lambda text: text.isprintable()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def chain(contents: list[object]) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    previous = GENESIS
    for seq, content in enumerate(contents, start=1):
        entry = AuditEntry(
            seq=seq, time=seq + 0.5, actor="token x alice", action="group.add", object="group lab",
            before=None, after=content, prev_hash=previous, hash="",  # type: ignore[arg-type]  # any JSON
        )  # fmt: skip
        entry = replace(entry, hash=entry.computed())
        entries.append(entry)
        previous = entry.hash
    return entries


@given(st.lists(values, max_size=6))
def test_a_trail_survives_json_and_holds_together(contents: list[object]) -> None:
    entries = chain(contents)
    again = [AuditEntry.parse(entry.as_json()) for entry in entries]
    assert again == entries
    assert first_break(again) is None


@given(st.lists(values, min_size=2, max_size=6), st.data())
def test_any_entry_that_is_changed_moved_or_left_out_is_found(
    contents: list[object], data: st.DataObject
) -> None:
    entries = chain(contents)
    place = data.draw(st.integers(0, len(entries) - 1))
    changed = [*entries]
    changed[place] = replace(changed[place], actor="somebody else")
    assert first_break(changed) == place + 1
    if place < len(entries) - 1:
        assert first_break([*entries[:place], *entries[place + 1 :]]) == place + 2


def test_a_head_of_the_first_version_is_read_and_written_as_it_was() -> None:
    assert AuditHead.parse(golden_bytes("audit-head-1")) == HEAD
    assert HEAD.encode() == golden_bytes("audit-head-1")


def test_a_head_fits_into_a_document_and_is_of_one_of_the_keys() -> None:
    other = SigningKey.generate(Algorithm.ED25519)
    text = HEAD.sign(KEY)
    assert len(text) < HEAD_MAX_BYTES / 4
    assert AuditHead.verify(text, [other.public, KEY.public]) == HEAD
    with pytest.raises(SignatureMismatch):
        AuditHead.verify(text, [other.public])
    with pytest.raises(SignatureMismatch):
        AuditHead.verify(text, [])
    as_another = Envelope.sign(HEAD.encode(), payload_type="application/json", key=KEY).encode().decode()
    with pytest.raises(SignatureMismatch):
        AuditHead.verify(as_another, [KEY.public])
    assert Envelope.parse(text.encode(), max_bytes=HEAD_MAX_BYTES).payload_type == HEAD_TYPE


@given(st.text(max_size=60))
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises((InvalidJson, InvalidField)):
        AuditHead.read(text)


def test_kept_heads_say_what_was_done_to_a_trail() -> None:
    entries = chain([1, 2, 3])
    hashes = {one.seq: one.hash for one in entries}
    good = AuditHead(seq=2, hash=entries[1].hash, time=0, epoch=1).sign(KEY)
    longer = AuditHead(seq=9, hash="cd" * 32, time=0, epoch=1).sign(KEY)
    other = AuditHead(seq=2, hash="cd" * 32, time=0, epoch=1).sign(KEY)
    found = compare_heads(hashes, [("a", good), ("b", longer), ("c", other), ("d", "x")], [KEY.public])
    assert [bool(one.problem) for one in found] == [False, True, True, True]
    assert "taken away" in found[1].problem
    assert "rewritten" in found[2].problem
