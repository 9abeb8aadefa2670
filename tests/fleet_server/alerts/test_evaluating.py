"""What operators hear of: one alert per cause, from rollouts, devices and the server (telemetry 6.3)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from limosa_contracts.errors import InvalidField
from limosa_contracts.phases import Phase
from limosa_server.access.roles import Role
from limosa_server.alerts import device_sources
from limosa_server.alerts.evaluating import Evaluator
from limosa_server.core.alerts.rules import parse_rules
from limosa_server.core.habit import Habit
from limosa_server.pages.attention import concerns
from limosa_server.rollouts.controller import Controller
from limosa_server.tables.alerts import DeviceTrouble
from limosa_server.tables.devices import Device as DeviceRow
from limosa_server.tables.habits import DeviceHabit
from limosa_server.tables.rollouts import RolloutRow
from tests.fleet_server.fleet.counting import counted
from tests.fleet_server.obedient import obey, start
from tests.fleet_server.world import MODEL, Device, Fleet

ALERTS = "/api/v1/alerts"


def alerts(fleet: Fleet, *, state: str = "open") -> list[dict[str, Any]]:
    answer = fleet.http.get(ALERTS, params={"state": state}, headers=fleet.headers(Role.VIEWER))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def rules(fleet: Fleet, *wanted: dict[str, Any]) -> None:
    answer = fleet.http.put(f"{ALERTS}/rules", json={"rule": list(wanted)}, headers=fleet.headers())
    assert answer.status_code == 200, answer.text


@pytest.fixture
def evaluator(fleet: Fleet) -> Evaluator:
    return Evaluator(fleet.state)


def test_a_release_that_falls_back_everywhere_is_one_alert_and_the_rollout_another(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    operator: dict[str, str],
    evaluator: Evaluator,
) -> None:
    start(fleet, operator, waves=[{"name": "all", "bake": "0s"}])
    for _ in range(5):
        controller.tick()
        for device in devices:
            obey(fleet, device, phase=Phase.FELL_BACK)
        fleet.clock.now += 1
    evaluator.step()
    found = {one["rule"]: one for one in alerts(fleet)}
    fell = found["device-fell-back"]
    assert (fell["count"], fell["labels"]) == (3, {"model": MODEL})
    assert sorted(fell["devices"]) == sorted(device.id for device in devices)
    assert set(found) - {"device-fell-back"} <= {"rollout-failed", "rollout-paused"}
    assert len(found) > 1
    for device in devices:
        obey(fleet, device)
    evaluator.step()
    assert "device-fell-back" not in {one["rule"] for one in alerts(fleet)}
    assert "device-fell-back" in {one["rule"] for one in alerts(fleet, state="resolved")}


def test_silent_devices_are_one_alert_per_site_where_the_rule_says_so(
    fleet: Fleet, devices: list[Device], evaluator: Evaluator
) -> None:
    rules(fleet, {"name": "silent", "source": "device_silent", "severity": "warning", "after": "1h",
                  "by": "label:site", "min_count": 2})  # fmt: skip
    fleet.clock.now += 4000
    evaluator.step()
    (one,) = alerts(fleet)  # two devices are at hq, one in the lab: below min_count
    assert (one["labels"], one["count"], one["severity"]) == ({"site": "hq"}, 2, "warning")
    silenced = fleet.http.post(
        f"{ALERTS}/silences",
        json={"matcher": "site=hq", "reason": "they move", "for": "4h"},
        headers=fleet.headers(Role.OPERATOR),
    )
    assert silenced.status_code == 201, silenced.text
    evaluator.step()
    assert alerts(fleet)[0]["silence"] == silenced.json()["id"]


def test_a_device_that_is_away_each_weekend_is_not_silent_on_a_sunday(
    fleet: Fleet, evaluator: Evaluator
) -> None:
    now, habit = fleet.clock.now, Habit(observed_to=0.0)
    for week in range(1, 9):
        habit = habit.seen(gap_s=2.5 * 86400, now=week * 604800.0)
    with fleet.state.store.transaction() as tx:
        for name in ("weekender", "steady"):
            tx.add(DeviceRow(id=name, enrolled_at=0.0, last_seen=now - 2 * 86400))
        tx.flush()
        tx.add(DeviceHabit(device="weekender", observed_to=now - 2 * 86400, spans_s=list(habit.spans_s)))
    rules(fleet, {"name": "silent", "source": "device_silent", "severity": "warning"})
    evaluator.step()
    (one,) = alerts(fleet)
    assert one["devices"] == ["steady"]


def test_a_rollout_that_nobody_looks_at_says_so(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    operator: dict[str, str],
    evaluator: Evaluator,
) -> None:
    start(fleet, operator)
    controller.tick()
    paused = fleet.http.post("/api/v1/rollouts/1/pause", json={}, headers=operator)
    assert paused.status_code == 200, paused.text
    rules(fleet, {"name": "waiting", "source": "rollout_waiting", "severity": "warning"})
    evaluator.step()
    assert alerts(fleet) == []
    fleet.clock.now += 25 * 3600
    evaluator.step()
    (one,) = alerts(fleet)
    assert "waits for too long" in one["summary"]
    assert one["link"] == "/rollouts/1"


def test_the_oldest_of_hundreds_of_open_rollouts_is_not_forgotten(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    operator: dict[str, str],
    evaluator: Evaluator,
) -> None:
    start(fleet, operator)
    controller.tick()
    with fleet.state.store.transaction() as tx:
        first = tx.get_one(RolloutRow, 1)
        first.status, first.since, first.pause = "PAUSED", fleet.clock.now - 30 * 3600, "manual"
        fresh = {**first.model_dump(exclude={"id", "idempotency_key"}), "since": fleet.clock.now}
        for _ in range(600):
            tx.add(RolloutRow(**fresh))
    rules(fleet, {"name": "waiting", "source": "rollout_waiting", "severity": "warning"})
    with counted(fleet.state.store) as statements:
        evaluator.step()
    (one,) = alerts(fleet)
    assert one["labels"]["rollout"] == "1"
    assert len([text for text in statements if "FROM rollouts" in text or "FROM waves" in text]) < 10
    with fleet.state.store.transaction() as tx:
        tx.get_one(RolloutRow, 1).status = "CANCELED"
    evaluator.step()
    assert alerts(fleet) == []


def test_a_rollout_that_only_follows_its_group_waits_for_nothing_until_it_fails(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    operator: dict[str, str],
    evaluator: Evaluator,
) -> None:
    start(fleet, operator)
    controller.tick()
    rules(fleet, {"name": "waiting", "source": "rollout_waiting", "severity": "warning"})
    with fleet.state.store.transaction() as tx:
        tx.get_one(RolloutRow, 1).settled = True
    fleet.clock.now += 90 * 86400
    evaluator.step()
    assert alerts(fleet) == []
    with fleet.state.store.transaction() as tx:
        row = tx.get_one(RolloutRow, 1)
        row.failing_since, row.failing_reason = fleet.clock.now, "its release is gone"
    evaluator.step()
    (one,) = alerts(fleet)
    assert "cannot be advanced: its release is gone" in one["summary"]


def test_a_broker_that_is_gone_is_told_of_though_nothing_is_to_be_sent(
    fleet: Fleet, evaluator: Evaluator
) -> None:
    rules(fleet, {"name": "broker", "source": "broker_down", "severity": "critical", "after": "1m"})

    class Link:
        since: float | None = None

        def down_since(self) -> float | None:
            return self.since

    link = fleet.state.broker = Link()
    evaluator.step()
    assert alerts(fleet) == []
    link.since = fleet.clock.now
    fleet.clock.now += 30
    evaluator.step()
    assert alerts(fleet) == [], "a restart of the broker takes that long"
    fleet.clock.now += 60
    evaluator.step()
    (one,) = alerts(fleet)
    assert one["summary"] == "the server has not reached the broker for 1m 30s"
    with fleet.state.store.read() as tx:
        worst = concerns(tx, broker_down_since=link.since, now=fleet.clock.now)[0]
    assert (worst.what, worst.at) == ("The server does not reach the broker", link.since)
    link.since = None
    evaluator.step()
    assert alerts(fleet) == []


def test_a_retracted_release_that_devices_still_run_is_told_after_its_time(
    fleet: Fleet,
    devices: list[Device],
    controller: Controller,
    operator: dict[str, str],
    evaluator: Evaluator,
) -> None:
    start(fleet, operator)
    controller.tick()
    for device in devices:
        obey(fleet, device)
    rules(fleet, {"name": "old", "source": "release_retracted", "severity": "warning"})
    gone = fleet.http.post(
        f"/api/v1/releases/{MODEL}/1.0.0/retract", json={"reason": "bad"}, headers=operator
    )
    assert gone.status_code == 200, gone.text
    evaluator.step()
    (one,) = alerts(fleet)
    assert one["summary"] == f"{MODEL}@1.0.0 was retracted, still on 1 device"


def test_ten_thousand_silent_devices_are_one_capped_alert_and_few_statements(
    fleet: Fleet, evaluator: Evaluator
) -> None:
    with fleet.state.store.transaction() as tx:
        tx.add_all(
            [
                DeviceRow(id=f"dev-{n:05d}", enrolled_at=0.0, last_seen=float(n))
                for n in range(10 * device_sources.ROWS_MAX)
            ]
        )
    rules(fleet, {"name": "silent", "source": "device_silent", "severity": "warning"})
    statements: list[str] = []
    engine = fleet.state.store.engine

    def note(*args: Any) -> None:
        statements.append(args[2])

    event.listen(engine, "before_cursor_execute", note)
    evaluator.step()
    event.remove(engine, "before_cursor_execute", note)
    assert len(statements) < 20
    (one,) = alerts(fleet)
    assert (one["count"], one["more"], len(one["devices"])) == (device_sources.ROWS_MAX, True, 10)
    assert one["summary"].startswith("more than 1000 devices")


def test_more_causes_than_anybody_reads_are_told_as_one(fleet: Fleet, evaluator: Evaluator) -> None:
    with fleet.state.store.transaction() as tx:
        for n in range(device_sources.ALERTS_MAX + 10):
            tx.add(DeviceRow(id=f"dev-{n:03d}", enrolled_at=0.0, last_seen=fleet.clock.now, online=True))
            tx.flush()
            tx.add(
                DeviceTrouble(
                    device=f"dev-{n:03d}", kind="fell_back", model=f"demo/m{n}", version="1.0.0", since=0.0,
                    cause="golden_mismatch", detail="",
                )
            )  # fmt: skip
    rules(fleet, {"name": "fell", "source": "device_fell_back", "severity": "warning"})
    evaluator.step()
    (one,) = alerts(fleet)
    assert one["labels"] == {"cause": "many"}
    assert one["count"] == device_sources.ALERTS_MAX + 10


def test_a_rule_whose_source_breaks_hides_no_other(
    fleet: Fleet, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules(
        fleet,
        {"name": "disk", "source": "storage_low", "severity": "critical", "share": 0.9},
        {"name": "silent", "source": "device_silent", "severity": "warning"},
    )
    with fleet.state.store.transaction() as tx:
        tx.add(DeviceRow(id="dev-1", enrolled_at=0.0, last_seen=1.0))
    monkeypatch.setattr("shutil.disk_usage", lambda _: 1 / 0)
    evaluator.step()
    assert {one["rule"] for one in alerts(fleet)} == {"silent"}
    failures = "limosa_alerts_firing"
    assert failures in fleet.http.get("/metrics", headers=fleet.headers()).text


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "x", "source": "weather", "severity": "warning"},
        {"name": "x", "source": "device_silent", "severity": "loud"},
        {"name": "x", "source": "device_silent", "severity": "warning", "by": "moon"},
        {"name": "x", "source": "expiry", "severity": "warning", "by": "device"},
        {"name": "x", "source": "device_silent", "severity": "warning", "repeat": "1s"},
        {"name": "x", "source": "device_silent", "severity": "warning", "aftr": "1h"},
        {"name": "X Y", "source": "device_silent", "severity": "warning"},
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_with_its_place(rule: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_rules({"rule": [rule]})
    assert refused.value.where.startswith("alerts.rule[0]")


def test_rules_are_refused_as_they_are_set_and_by_who_did_not_see_the_last(fleet: Fleet) -> None:
    bad = {"rule": [{"name": "x", "source": "weather", "severity": "warning"}]}
    answer = fleet.http.put(f"{ALERTS}/rules", json=bad, headers=fleet.headers())
    assert (answer.status_code, answer.json()["where"]) == (422, "alerts.rule[0].source")
    late = fleet.http.put(
        f"{ALERTS}/rules", json={"rule": []}, headers={**fleet.headers(), "If-Match": '"7"'}
    )
    assert late.status_code == 412
    seen = fleet.http.get(f"{ALERTS}/rules", headers=fleet.headers(Role.VIEWER))
    assert (seen.headers["etag"], len(seen.json()["rule"])) == ('"0"', 13)
