from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.desired import MODES, DesiredModel, DesiredState, Farewell, Trial
from limosa_contracts.errors import InvalidField, InvalidJson, TooLarge
from limosa_contracts.limits import LIMITS
from tests.support import documents as some
from tests.support.golden import GONE, LATER, changed_bytes, golden, golden_bytes

trials = st.builds(
    Trial,
    inferences=st.integers(1, 10_000_000),
    seconds=st.floats(0.1, 86400),
    max_seconds=st.floats(0.1, 604800),
    max_error_ratio=st.floats(0, 1),
    max_latency_ratio=st.floats(1, 1000),
    max_class_distance=st.floats(0, 1),
    commit_needs_link=st.booleans(),
)
desired_models = st.builds(
    DesiredModel,
    model=some.models,
    version=some.versions,
    index_sha256=some.sha256s,
    mode=st.sampled_from(MODES),
    rollout=some.short_texts,
    attempt=st.integers(1, 1000),
    trial=trials,
    window=st.none() | some.json_objects,
    permit=st.none() | some.json_objects,
    extra=some.extras,
)
states = st.builds(
    DesiredState,
    device=some.names,
    epoch=some.counters,
    counter=some.counters,
    issued=st.just(1),
    expires=st.integers(2, 2**40),
    models=st.lists(desired_models, max_size=3, unique_by=lambda model: model.model).map(tuple),
    report_every_s=st.floats(0.5, 86400),
    report_every_in_probation_s=st.floats(0.5, 86400),
    decommissioned=st.none() | st.builds(Farewell, at=some.counters, reason=some.short_texts),
    audit_head=some.short_texts,
    extra=some.extras,
)


def test_golden_desired_state_is_read_and_written_as_it_was() -> None:
    state = DesiredState.parse(golden_bytes("desired-1"))
    assert state.order == (1, 1767225600123)
    assert [(model.model, model.version, model.mode) for model in state.models] == [
        ("demo/motion", "2.0.0", "active"),
        ("demo/motion", "3.0.0", "shadow"),
    ]
    assert state.models[0].trial.inferences == 20
    assert state.encode() == golden_bytes("desired-1")


@pytest.mark.parametrize("place", ["x-later", "models.0.x-later"])
def test_field_of_a_later_version_survives(place: str) -> None:
    data = changed_bytes("desired-1", place, LATER["x-later"])
    assert DesiredState.parse(data).encode() == data


@given(states)
def test_any_state_comes_back_as_it_went(state: DesiredState) -> None:
    assert DesiredState.parse(state.encode()) == state


@pytest.mark.parametrize("place, value", [
    ("schema", "limosa.desired/2"), ("device", "<script>"), ("device", GONE), ("epoch", -1),
    ("counter", "1"), ("counter", True), ("counter", 2**63), ("expires", 1767225600), ("models", {}),
    ("models.0.index_sha256", "A" * 64), ("models.0.version", "2.0"), ("models.0.model", "motion"),
    ("models.0.mode", "maybe"), ("models.0.attempt", 0), ("models.1.mode", "active"),
    ("models.0.trial.inferences", 0), ("models.0.trial.max_error_ratio", 1.5),
    ("models.0.permit", "text"), ("telemetry.report_every_s", 0), ("audit_head", "x" * 5000),
])  # fmt: skip
def test_field_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        DesiredState.parse(changed_bytes("desired-1", place, value))
    assert caught.value.where.startswith("desired") or place.endswith(caught.value.where)


def test_too_many_models_and_too_many_bytes_are_refused() -> None:
    model = golden("desired-1")["models"][0]
    many = [{**model, "model": f"demo/m{i}"} for i in range(LIMITS.models_per_device_max + 1)]
    with pytest.raises(InvalidField):
        DesiredState.parse(changed_bytes("desired-1", "models", many))
    with pytest.raises(TooLarge):
        DesiredState.parse(b" " * (LIMITS.mqtt_message_max_bytes + 1))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"a":1,"a":2}', b'{"a":NaN}'])
def test_what_is_not_a_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidJson):
        DesiredState.parse(data)


def test_golden_last_document_is_read_and_written_as_it_was() -> None:
    """An agent from before reads one that names no model, and goes on with what it runs."""
    state = DesiredState.parse(golden_bytes("desired-last-1"))
    assert state.decommissioned == Farewell(at=1790000000, reason="end of life")
    assert state.models == ()
    assert state.encode() == golden_bytes("desired-last-1")


@pytest.mark.parametrize("place", ["decommissioned.at", "decommissioned.reason"])
def test_last_words_that_are_wrong_are_named(place: str) -> None:
    with pytest.raises(InvalidField, match=place):
        DesiredState.parse(changed_bytes("desired-last-1", place, []))
