"""`limosa rollout explain` and its resource: decisions made once more from their records (rollouts 5.6)."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import pytest

from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_server.core.judging.compare import compare
from limosa_server.rollouts.controller import Controller
from limosa_server.rollouts.decisions import keep_decision
from limosa_server.tables.judging import DecisionInputs
from tests.fleet_server.core.judging.test_compare import good, hits, spread
from tests.fleet_server.obedient import start
from tests.fleet_server.world import Device, Fleet


@pytest.fixture
def compared(fleet: Fleet, devices: list[Device], operator: dict[str, str], controller: Controller) -> int:
    """A rollout of which a comparison was kept; its decision's id."""
    start(fleet, operator)
    controller.tick()
    inputs = good(latency=spread("latency", 0.29), crashes=hits("crashes", (1, 20), (0, 80)))
    with fleet.state.store.transaction() as tx:
        row = keep_decision(tx, 1, compare(inputs, wave=0).decision, at=fleet.clock.now)
        tx.flush()
        assert row.id is not None
        return row.id


def test_each_decision_says_whether_it_comes_out_the_same(
    fleet: Fleet, compared: int, operator: dict[str, str]
) -> None:
    items = fleet.http.get("/api/v1/rollouts/1/explain", headers=operator).json()["items"]
    by_kind = {one["kind"]: one for one in items}
    assert by_kind["started"]["replay"] == {"outcome": "nothing to decide", "why": ""}
    assert by_kind["compared"]["replay"] == {"outcome": "same", "why": ""}
    assert by_kind["compared"]["numbers"]["judge"] == "compare/1"
    paged = fleet.http.get("/api/v1/rollouts/1/explain?limit=1", headers=operator).json()
    assert len(paged["items"]) == 1
    assert paged["next"]
    decision = by_kind["compared"]  # what it was made on can be had, and has the hash that it names
    answer = fleet.http.get(f"/api/v1/rollouts/1/decisions/{compared}/inputs", headers=operator)
    assert answer.headers["content-type"] == "application/json"
    assert hashlib.sha256(answer.content).hexdigest() == decision["inputs_sha256"]
    for other in (compared - 1, compared + 100):
        assert (
            fleet.http.get(f"/api/v1/rollouts/1/decisions/{other}/inputs", headers=operator).status_code
            == 404
        )


def test_a_record_that_was_touched_is_told_apart(
    fleet: Fleet, compared: int, operator: dict[str, str]
) -> None:
    with fleet.state.store.transaction() as tx:
        kept = tx.get_one(DecisionInputs, compared)
        kept.body = zlib.compress(zlib.decompress(kept.body).replace(b"latency", b"memory", 1))
        tx.add(kept)
    items = fleet.http.get("/api/v1/rollouts/1/explain", headers=operator).json()["items"]
    (found,) = [one["replay"] for one in items if one["kind"] == "compared"]
    assert found["outcome"] == "different"


def test_the_command_shows_what_each_metric_showed(
    fleet: Fleet,
    compared: int,
    operator: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", operator["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("NO_COLOR", "1")
    args: list[Any] = ["rollout", "explain", "1"]
    assert run(make_host(), prog_name="limosa", args=args) == 0
    shown = capsys.readouterr().out
    assert "latency is surely worse" in shown
    rows = {line.split("  ")[0]: line.split() for line in shown.splitlines()}
    assert rows["latency"][1:4] == ["FAILED", "20", "80"]
    assert rows["crashes"][1:5] == ["PASSED", "1", "of", "20"]
    assert "1 decision comes out the same, made once more from the record" in shown
