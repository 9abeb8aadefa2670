"""`?from=`: the server makes a delta once, keeps it, and never tells of another repository's blobs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from limosa_contracts.delta.applying import apply_delta
from limosa_contracts.delta.wire import MEDIA_TYPE
from limosa_contracts.oci import digest_of
from limosa_server.access.roles import Role
from limosa_server.settings import DeltaSettings
from tests.contracts.delta.models import quantized_model
from tests.fleet_server.publishing import push_blob
from tests.fleet_server.world import MODEL, Fleet, running_fleet

OLD = quantized_model(rows=600)
NEW = quantized_model(rows=600, moved=0.0003)
NOISE = np.random.default_rng(4).bytes(60_000)


@pytest.fixture
def headers(fleet: Fleet) -> dict[str, str]:
    """Of a device; two versions of a model and one of noise were pushed."""
    publisher = fleet.headers(Role.PUBLISHER)
    for data in (OLD, NEW, NOISE):
        push_blob(fleet.http, publisher, data)
    return fleet.access(fleet.enroll())


def asked(
    fleet: Fleet, headers: dict[str, str], new: bytes, base: bytes, *, model: str = MODEL
) -> httpx.Response:
    """The answer, once the delta is no longer being made."""
    url = f"/v2/{model}/blobs/{digest_of(new)}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = fleet.http.get(url, params={"from": digest_of(base)}, headers=headers)
        if answer.status_code != 503:
            return answer
    raise AssertionError("the delta was not made")


def made(fleet: Fleet, result: str) -> float:
    return fleet.state.metrics.registry.get_sample_value("limosa_deltas_total", {"result": result}) or 0.0


def test_a_device_gets_a_delta_and_the_next_one_the_same(
    fleet: Fleet, headers: dict[str, str], tmp_path: Path
) -> None:
    answer = asked(fleet, headers, NEW, OLD)
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE)
    assert answer.headers["limosa-delta-base"] == digest_of(OLD)
    assert apply_delta(OLD, answer.content) == NEW
    assert len(answer.content) < 0.5 * len(NEW)
    assert asked(fleet, headers, NEW, OLD).content == answer.content
    assert (made(fleet, "made"), made(fleet, "cached")) == (1, 1)
    saved = fleet.state.metrics.registry.get_sample_value("limosa_delta_bytes_saved_total")
    assert saved == 2 * (len(NEW) - len(answer.content))
    assert [path.suffix for path in (tmp_path / "data" / "deltas").iterdir()] == [".limosadelta"]


def test_a_delta_that_was_finished_meanwhile_is_not_made_again(fleet: Fleet, headers: dict[str, str]) -> None:
    """Between looking for one and asking for one to be made, somebody else's was finished."""
    deltas = fleet.state.deltas
    first = deltas.make(digest_of(OLD).removeprefix("sha256:"), digest_of(NEW).removeprefix("sha256:"))
    assert first is not None
    delta = first.result(60)
    again = deltas.make(digest_of(OLD).removeprefix("sha256:"), digest_of(NEW).removeprefix("sha256:"))
    assert again is not None
    assert (again.result(60), made(fleet, "made")) == (delta, 1)


def test_a_delta_resumes_like_a_blob(fleet: Fleet, headers: dict[str, str]) -> None:
    whole = asked(fleet, headers, NEW, OLD)
    url, params = f"/v2/{MODEL}/blobs/{digest_of(NEW)}", {"from": digest_of(OLD)}
    rest = fleet.http.get(url, params=params, headers={**headers, "Range": "bytes=1000-"})
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    assert rest.headers["content-range"] == f"bytes 1000-{len(whole.content) - 1}/{len(whole.content)}"
    head = fleet.http.head(url, params=params, headers=headers)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))
    known = {**headers, "If-None-Match": whole.headers["etag"]}
    assert fleet.http.get(url, params=params, headers=known).status_code == 304
    # without `from` it is the blob, as ever
    assert fleet.http.get(url, headers=headers).content == NEW


def test_blobs_that_share_nothing_have_no_delta_and_are_tried_once(
    fleet: Fleet, headers: dict[str, str]
) -> None:
    for _ in range(2):
        answer = asked(fleet, headers, NEW, NOISE)
        assert (answer.status_code, answer.json()["code"]) == (404, "LM-613")
    assert made(fleet, "not_worth") == 1


def test_a_base_of_another_team_is_as_unknown_as_one_that_never_was(
    fleet: Fleet, headers: dict[str, str]
) -> None:
    push_blob(fleet.http, fleet.headers(Role.ADMIN), NEW, model="audio/kws")
    theirs = asked(fleet, headers, NEW, OLD, model="audio/kws")
    nobodys = asked(fleet, headers, NEW, b"never pushed", model="audio/kws")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() == nobodys.json()
    assert made(fleet, "made") == 0
    assert asked(fleet, {}, NEW, OLD).status_code == 401
    assert asked(fleet, headers, b"unknown", OLD).json()["code"] == "LM-604"


def test_a_base_that_is_no_digest_is_a_mistake(fleet: Fleet, headers: dict[str, str]) -> None:
    url = f"/v2/{MODEL}/blobs/{digest_of(NEW)}"
    for text in ("", "sha256:../../etc", "md5:00"):
        assert fleet.http.get(url, params={"from": text}, headers=headers).status_code == 422


def test_the_server_answers_others_while_a_delta_is_made(fleet: Fleet, headers: dict[str, str]) -> None:
    answers: list[int] = []
    askers = [
        threading.Thread(target=lambda: answers.append(asked(fleet, headers, NEW, OLD).status_code))
        for _ in range(20)
    ]
    for asker in askers:
        asker.start()
    for _ in range(5):
        assert fleet.http.get("/healthz", timeout=5).status_code == 200
    for asker in askers:
        asker.join(60)
    assert answers == [200] * 20
    assert made(fleet, "made") == 1


def test_a_request_does_not_wait_longer_than_it_must(tmp_path: Path) -> None:
    with running_fleet(tmp_path, deltas=DeltaSettings(wait_s=0.0)) as fleet:
        publisher = fleet.headers(Role.PUBLISHER)
        for data in (OLD, NEW):
            push_blob(fleet.http, publisher, data)
        url = f"/v2/{MODEL}/blobs/{digest_of(NEW)}"
        first = fleet.http.get(url, params={"from": digest_of(OLD)}, headers=publisher)
        assert (first.status_code, first.json()["code"]) == (503, "LM-614")
        assert asked(fleet, publisher, NEW, OLD).status_code == 200


def test_a_worker_that_takes_too_long_or_too_much_is_ended(tmp_path: Path) -> None:
    for name, settings in (
        ("time", DeltaSettings(make_s=0.01)),
        ("memory", DeltaSettings(make_memory_bytes=50 << 20)),
    ):
        with running_fleet(tmp_path / name, deltas=settings) as fleet:
            publisher = fleet.headers(Role.PUBLISHER)
            for data in (OLD, NEW):
                push_blob(fleet.http, publisher, data)
            assert asked(fleet, publisher, NEW, OLD).json()["code"] == "LM-613"
            assert made(fleet, "failed") == 1
            assert list((tmp_path / name / "data" / "deltas").iterdir()) == []


def test_the_cache_keeps_its_budget_and_outlives_the_process(tmp_path: Path) -> None:
    newer = quantized_model(rows=600, moved=0.0004)
    with running_fleet(tmp_path) as fleet:
        publisher = fleet.headers(Role.PUBLISHER)
        for data in (OLD, NEW, newer):
            push_blob(fleet.http, publisher, data)
        sizes = [len(asked(fleet, publisher, new, OLD).content) for new in (NEW, newer)]
        settings = DeltaSettings(cache_max_bytes=max(sizes))
        again = type(fleet.state.deltas)(
            tmp_path / "data" / "deltas", fleet.state.blobs, fleet.state.metrics, settings
        )
        try:
            found = [again.find(*(digest_of(x)[7:] for x in (OLD, new))) for new in (NEW, newer)]
            assert found[0] is None
            assert found[1] is not None
            assert found[1].size == sizes[1]
        finally:
            again.stop()
