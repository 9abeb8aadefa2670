"""Report and promotion over REST, on the page and in the terminal (rollouts 6)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlmodel import select

from limosa_server.access.roles import Role
from limosa_server.cli.rollout_modes import report_text
from limosa_server.core.judging.judge import Decision
from limosa_server.rollouts.rollout_rows import decision_row
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.modes import ArmKpiRow, ArmRow, ShadowCountRow, ShadowWindowRow
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.obedient import index_of
from tests.fleet_server.world import MODEL, Device, Fleet

BASE: dict[str, Any] = {"release": f"{MODEL}@2.0.0", "group": "all", "timeouts": {"silence": "1h"}}
AB = {**BASE, "mode": "ab", "ab": {"kpis": [{"name": "clicked", "worth": 0.1}], "duration": "1h"}}
SHADOW = {**BASE, "mode": "shadow", "waves": [{"name": "all", "bake": "1h"}]}


@pytest.fixture
def running(fleet: Fleet, devices: list[Device]) -> list[Device]:
    """Four devices that answer with 1.0.0."""
    every = [*devices, fleet.enroll(fleet.enroll_token(group="all"))]
    with fleet.state.store.transaction() as tx:
        for device in every:
            tx.add(
                DeviceModel(
                    device=device.id,
                    model=MODEL,
                    phase="COMMITTED",
                    active_version="1.0.0",
                    active_index=index_of("1.0.0"),
                    updated_at=fleet.clock.now,
                )
            )
    return every


def start(fleet: Fleet, body: dict[str, Any], operator: dict[str, str]) -> int:
    answer = fleet.http.post("/api/v1/rollouts", json=body, headers=operator)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def report(fleet: Fleet, rollout: int) -> dict[str, Any]:
    answer = fleet.http.get(f"/api/v1/rollouts/{rollout}/report", headers=fleet.headers(Role.VIEWER))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def hold(fleet: Fleet, rollout: int) -> None:
    """All of arm b are through, and applications have reported."""
    now = fleet.clock.now
    with fleet.state.store.transaction() as tx:
        through = Decision(kind="through", verdict="BAKING", sentence="", numbers={}, wave=0)
        tx.add(decision_row(rollout, through, at=now))
        for number, arm in enumerate(tx.exec(select(ArmRow).where(ArmRow.rollout == rollout)).all()):
            mean = (0.3 if arm.arm == "a" else 0.8) + 0.001 * (number % 2)
            tx.add(
                ArmKpiRow(
                    rollout=rollout, kpi="clicked", device=arm.device, n=100, total=100 * mean,
                    squares=100 * mean,
                )
            )  # fmt: skip
    fleet.clock.now += 2 * 3600


def set_status(fleet: Fleet, rollout: int, status: str, pause: str = "") -> None:
    with fleet.state.store.transaction() as tx:
        row = tx.get_one(RolloutRow, rollout)
        row.status, row.pause = status, pause
        tx.add(row)


def page_of(fleet: Fleet, rollout: int) -> str:
    with httpx.Client(base_url=str(fleet.http.base_url), follow_redirects=True, timeout=30) as browser:
        browser.post("/login", data={"token": fleet.token(Role.OPERATOR), "next": "/"})
        answer = browser.get(f"/rollouts/{rollout}")
    assert answer.status_code == 200
    return answer.text


def test_comparison_is_planned_reported_and_promoted(
    fleet: Fleet, running: list[Device], operator: dict[str, str]
) -> None:
    planned = fleet.http.post("/api/v1/rollouts/plan", json=AB, headers=operator).json()
    assert sorted(planned["excluded"].values()) == ["the other arm: arm a: it keeps 1.0.0"] * 2
    rollout = start(fleet, AB, operator)
    early = report(fleet, rollout)
    assert (early["advice"], early["held_since"], early["left_s"]) == ("wait", None, 3600.0)
    refused = fleet.http.post(f"/api/v1/rollouts/{rollout}/promote", json={}, headers=operator)
    assert (refused.status_code, refused.json()["where"]) == (409, f"rollout {rollout}")

    hold(fleet, rollout)
    said = report(fleet, rollout)
    assert (said["advice"], said["final"], said["reported"]) == ("challenger", True, {"clicked": 400})
    text = report_text(said)
    assert "2.0.0 is better in clicked: roll it out" in text
    assert "2 devices keep 1.0.0, 2 have the new release" in text
    page = page_of(fleet, rollout)
    assert "Comparison" in page
    assert "2.0.0 is better in clicked: roll it out" in page

    set_status(fleet, rollout, "PAUSED", "manual")
    operator = fleet.headers(Role.OPERATOR)  # two hours have passed
    waves = [{"name": "everybody", "bake": "1s"}]
    answer = fleet.http.post(f"/api/v1/rollouts/{rollout}/promote", json={"waves": waves}, headers=operator)
    assert answer.status_code == 201, answer.text
    with fleet.state.store.read() as tx:
        spec = tx.get_one(RolloutRow, int(answer.json()["id"])).spec
    assert {"mode", "ab"}.isdisjoint(spec)
    assert [wave["name"] for wave in spec["waves"]] == ["everybody"]
    viewer = fleet.headers(Role.VIEWER)
    assert fleet.http.post(f"/api/v1/rollouts/{rollout}/promote", json={}, headers=viewer).status_code == 403


def test_shadow_says_where_it_disagrees_and_cannot_be_rolled_back(
    fleet: Fleet, running: list[Device], operator: dict[str, str]
) -> None:
    rollout = start(fleet, SHADOW, operator)
    assert report(fleet, rollout)["sentence"] == "no row was compared; 1,000 rows more are needed"
    bins = [0] * 9
    with fleet.state.store.transaction() as tx:
        for number, device in enumerate(running):
            tx.add(
                ShadowCountRow(
                    rollout=rollout, device=device.id, compared=1000, disagreed=10 * number, dropped=0
                )
            )
            tx.add(
                ShadowWindowRow(
                    device=device.id, boot="b", window_index=0, model_digest="0" * 16, model=MODEL,
                    version="2.0.0", rev=1, compared=1000, disagreed=10 * number, dropped=0,
                    sketch={
                        "rollout": rollout, "compared": [*bins, 1000], "disagreed": [*bins, 10 * number],
                        "pairs": [[1, 2, 10 * number]],
                    },
                    received_at=fleet.clock.now + 1,
                )
            )  # fmt: skip
    said = report(fleet, rollout)
    assert (said["advice"], said["rows"], said["disagreed"]) == ("passed", 4000, 60)
    assert said["pairs"] == [{"answered": 1, "challenger": 2, "rows": 60}]
    assert said["most_disagreement"][0] == {"device": running[3].id, "compared": 1000, "disagreed": 30}
    assert said["by_confidence"]["disagreed"][9] == 60
    assert "devices that disagree most:" in report_text(said)
    page = page_of(fleet, rollout)
    assert "Agreement" in page
    assert "Roll back" not in page
    set_status(fleet, rollout, "COMPLETED")
    answer = fleet.http.post(f"/api/v1/rollouts/{rollout}/promote", json={}, headers=operator)
    assert (answer.status_code, answer.json()["waves"][0]["name"]) == (201, "all")


def test_rollout_that_replaces_has_neither(
    fleet: Fleet, running: list[Device], operator: dict[str, str]
) -> None:
    rollout = start(fleet, BASE, operator)
    for answer in (
        fleet.http.get(f"/api/v1/rollouts/{rollout}/report", headers=operator),
        fleet.http.post(f"/api/v1/rollouts/{rollout}/promote", json={}, headers=operator),
    ):
        assert answer.status_code == 409
        assert answer.json()["code"]
    assert fleet.http.get("/api/v1/rollouts/99/report", headers=operator).status_code == 404
