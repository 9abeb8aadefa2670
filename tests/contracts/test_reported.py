from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.errors import InvalidField
from limosa_contracts.phases import Phase
from limosa_contracts.reported import CLOCKS, SEEN_MAX, Installed, Reported, ReportedModel
from tests.support import documents as some
from tests.support.golden import GONE, LATER, changed_bytes, golden_bytes

installed = st.builds(
    Installed,
    version=some.versions,
    index_sha256=some.sha256s,
    manifest_sha256=some.sha256s,
    variant=some.short_texts,
)
reported_models = st.builds(
    ReportedModel,
    model=some.models,
    phase=st.sampled_from(Phase),
    active=st.none() | installed,
    previous=st.none() | installed,
    candidate=st.none() | installed,
    rollout=some.short_texts,
    attempt=st.integers(1, 1000),
    reason=some.short_texts,
    quarantined=st.lists(some.sha256s, max_size=2).map(tuple),
    extra=some.extras,
)
reports = st.builds(
    Reported,
    device=some.names,
    agent=some.texts,
    boot=some.texts,
    clock=st.sampled_from(CLOCKS),
    at=some.seconds,
    desired=st.tuples(st.integers(0, SEEN_MAX), st.integers(0, SEEN_MAX)),
    models=st.lists(reported_models, max_size=2).map(tuple),
    capabilities=some.json_objects,
    resources=some.json_objects,
    labels=st.dictionaries(some.names, some.short_texts, max_size=3),
    extra=some.extras,
)


def test_golden_report_is_read_and_written_as_it_was() -> None:
    report = Reported.parse(golden_bytes("reported-1"))
    model = report.models[0]
    assert (report.desired, model.phase) == ((1, 1767225600123), Phase.PROBATION)
    assert model.active is not None
    assert model.previous is not None
    assert (model.active.version, model.previous.version, model.candidate) == ("2.0.0", "1.0.0", None)
    assert report.encode() == golden_bytes("reported-1")


@pytest.mark.parametrize("place", ["x-later", "models.0.x-later"])
def test_field_of_a_later_version_survives(place: str) -> None:
    data = changed_bytes("reported-1", place, LATER["x-later"])
    assert Reported.parse(data).encode() == data


@given(reports)
def test_any_report_comes_back_as_it_went(report: Reported) -> None:
    assert Reported.parse(report.encode()) == report


@pytest.mark.parametrize("place, value", [
    ("schema", GONE), ("device", ""), ("clock", "sundial"), ("at", -1), ("at", "now"), ("desired", None),
    ("desired.epoch", -1), ("models.0.phase", "HAPPY"), ("models.0.active.version", "x"),
    ("models.0.active.index_sha256", "a"), ("models.0.quarantined", ["x"]), ("models.0.quarantined", "x"),
    ("labels", {"a": 1}), ("labels", {f"l{i}": "" for i in range(33)}), ("capabilities", []),
])  # fmt: skip
def test_field_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        Reported.parse(changed_bytes("reported-1", place, value))
    assert caught.value.where.startswith("reported") or place.endswith(caught.value.where)
