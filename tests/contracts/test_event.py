from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.event import KINDS, Reason, UpdateEvent
from limosa_contracts.phases import Phase
from tests.support import documents as some
from tests.support.golden import GONE, LATER, changed_bytes, golden_bytes

events = st.builds(
    UpdateEvent,
    device=some.names,
    key=some.texts,
    kind=st.sampled_from(KINDS),
    model=some.models,
    version=some.versions,
    index_sha256=some.sha256s,
    manifest_sha256=st.just("") | some.sha256s,
    rollout=some.short_texts,
    attempt=st.integers(1, 1000),
    phase=st.sampled_from(Phase),
    reason=st.builds(Reason, code=some.short_texts, message=some.short_texts, evidence=some.json_objects),
    at=some.seconds,
    boot=some.texts,
    extra=some.extras,
)


def test_golden_event_is_read_and_written_as_it_was() -> None:
    event = UpdateEvent.parse(golden_bytes("event-1"))
    assert (event.phase, event.reason.code) == (Phase.FELL_BACK, "worker_crashed")
    assert event.reason.evidence == {"signal": 11, "inferences": 3}
    assert event.encode() == golden_bytes("event-1")


def test_field_of_a_later_version_survives() -> None:
    data = changed_bytes("event-1", "x-later", LATER["x-later"])
    assert UpdateEvent.parse(data).encode() == data


@given(events)
def test_any_event_comes_back_as_it_went(event: UpdateEvent) -> None:
    assert UpdateEvent.parse(event.encode()) == event


@pytest.mark.parametrize("place, value", [
    ("schema", "limosa.event/9"), ("key", ""), ("key", "k" * 257), ("kind", "gossip"), ("phase", "happy"),
    ("reason", "it broke"), ("reason.evidence", []), ("attempt", 1001), ("at", 1e12), ("boot", GONE),
    ("device", "../x"), ("rollout", None), ("manifest_sha256", "x" * 65),
])  # fmt: skip
def test_field_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        UpdateEvent.parse(changed_bytes("event-1", place, value))
    assert caught.value.where.startswith("event")
