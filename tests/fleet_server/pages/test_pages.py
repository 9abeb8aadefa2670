"""Every page, in every state of a rollout, for hostile names, and what a person must find on it."""

from __future__ import annotations

import re

import httpx
from sqlmodel import col, select

from limosa_contracts.canonical import parse_object
from limosa_server.access.roles import Role
from limosa_server.pages.guard import POLICY
from limosa_server.pages.static_files import assets
from limosa_server.tables.devices import Device, DeviceLabel, DeviceModel
from limosa_server.tables.reports import EventRow, OutboxRow, RefusedReport
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow
from tests.fleet_server.pages.conftest import Dashboard
from tests.fleet_server.pages.html_tags import breaches, read
from tests.support.seeded_fleet import add_device, add_group, device_name
from tests.support.seeded_rollouts import MODEL, ROLLOUTS

PAGES = (
    "/", "/rollouts", "/rollouts?show=active", "/rollouts?show=stopped",
    "/rollouts?model=demo/motion&before=5",
    "/devices", "/devices?state=trouble", "/devices?state=unreachable", "/devices?state=updating",
    "/devices?state=online&group=lab&version=demo/motion@2.0.0&q=site%3Dhq", "/devices?after=lift-0001",
    "/devices/watch-0012", "/devices/pump-0003", "/releases", "/releases?model=audio/kws",
    "/rollouts/13?state=FAILED&wave=1", "/rollouts/13?state=unreachable", "/rollouts/13?state=all&wave=99",
)  # fmt: skip
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)>' {{ 7*7 }} `x`"""


def is_page(answer: httpx.Response, status: int = 200) -> None:
    assert answer.status_code == status, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert breaches(read(answer.text)) == []


def test_every_page_answers_with_its_policy(shown: Dashboard) -> None:
    visitor = shown.visitor()
    for path in PAGES:
        is_page(visitor.get(path))
    for number in range(1, len(ROLLOUTS) + 1):
        is_page(visitor.get(f"/rollouts/{number}"))


def test_every_page_answers_in_the_first_minute_of_a_server(empty: Dashboard) -> None:
    visitor = empty.visitor(Role.VIEWER)
    for path in ("/", "/rollouts", "/devices", "/releases"):
        is_page(visitor.get(path))
    assert "Nothing needs you" in visitor.get("/").text


def test_overview_says_first_what_is_wrong_worst_first(dashboard: Dashboard) -> None:
    now = dashboard.fleet.clock.now
    with dashboard.fleet.state.store.transaction() as tx:
        tx.add(OutboxRow(topic="t", payload=b"", retain=True, created_at=now - 300))
    text = dashboard.visitor().get("/").text
    attention = text[: text.index("Under way")]
    expected = [
        "Rollout 12 of audio/kws@0.9.0 is paused",
        "1 message wait",
        "The certificate of pump-0011 has expired",
        "Rollout 11 of demo/motion@3.7.0 is paused",
        "2 devices refused a release or went back",
        "12 reports of pump-0003 refused (LM-203)",
        "4 devices cannot be reached",
        "The certificate of gate-0005 expires soon",
    ]
    places = [attention.index(words) for words in expected]
    assert places == sorted(places)
    assert "Rollout 3 " not in attention  # a later rollout of that model was started: history


def test_ladder_counts_every_device_once_and_says_why_and_what_next(shown: Dashboard) -> None:
    text = shown.visitor().get("/rollouts/12").text
    assert 'aria-label="wave second: 5 done, 3 failed, 1 in progress, 1 unreachable"' in text
    assert 'aria-label="wave rest: 2 unreachable, 24 waiting"' in text
    assert "at least 17% with 95% confidence, 10% is allowed" in text
    assert "<code>limosa rollout resume 12</code> accepts the failures" in text
    assert "holdout accuracy 0.71 on the device" in text
    assert text.index("gate-0009") < text.index("watch-0012")  # trouble first


def test_rolled_back_rollout_shows_the_way_back(shown: Dashboard) -> None:
    text = shown.visitor().get("/rollouts/3").text
    assert re.search(r"way back</span> <b>3</b> went back", text)
    assert "never started" in text
    assert "Pause…" not in text


def test_devices_are_found_by_state_group_version_and_text(shown: Dashboard) -> None:
    visitor = shown.visitor()

    def found(query: str) -> list[str]:
        return read(visitor.get(f"/devices?{query}").text).devices()

    assert found("state=trouble") == ["gate-0013", "watch-0012"]
    assert found("state=updating") == ["gate-0009", "lift-0010"]
    assert len(found("group=lab")) == 8
    assert found("version=demo/motion@1.0.0") == ["gate-0037", "lift-0038", "pump-0039"]
    assert found("version=1.0.0") == ["gate-0037", "lift-0038", "pump-0039"]
    assert found("q=SN-10007") == ["pump-0007"]
    assert len(found("q=site%3Dhq")) == 14
    assert found("q=site%3Dnowhere") == found("q=%25") == []
    assert found("after=watch-0032") == ["watch-0036"]


def test_more_devices_than_a_page_holds_are_behind_a_link(empty: Dashboard) -> None:
    with empty.fleet.state.store.transaction() as tx:
        for place in range(130):
            add_device(tx, f"dev-{place:04d}", now=empty.fleet.clock.now, place=place)
    visitor = empty.visitor()
    first = read(visitor.get("/devices?state=online").text)
    [more] = first.links("/devices?after=")
    both = first.devices() + read(visitor.get(more).text).devices()
    assert len(both) == len(set(both)) == sum(place % 9 != 4 for place in range(130))


def test_device_page_tells_what_it_measured_when_it_refused(shown: Dashboard) -> None:
    text = shown.visitor().get("/devices/gate-0005").text
    assert "golden_mismatch" in text
    assert re.search(r"<dt>difference</dt><dd>0\.41</dd>", text)
    assert "has not taken its newest orders" not in text


def test_hostile_words_are_only_words(dashboard: Dashboard) -> None:
    """Names are refused at the door; a page does not rely on it."""
    fleet = dashboard.fleet
    with fleet.state.store.transaction() as tx:
        add_device(
            tx, HOSTILE, now=fleet.clock.now, serial=HOSTILE, profile=HOSTILE, agent=HOSTILE,
            capabilities={HOSTILE: HOSTILE, "list": [HOSTILE]}, resources={"x_bytes": HOSTILE},
        )  # fmt: skip
        tx.add(DeviceLabel(device=HOSTILE, key=HOSTILE, value=HOSTILE))
        add_group(tx, HOSTILE, [HOSTILE], now=fleet.clock.now)
        model = tx.exec(select(DeviceModel).where(DeviceModel.device == HOSTILE)).one()
        model.reason, model.active_version, model.phase = HOSTILE, HOSTILE, "REJECTED"
        tx.add(RefusedReport(device=HOSTILE, code=HOSTILE, count=1, last_at=fleet.clock.now, sample=HOSTILE))
        tx.add(
            EventRow(
                device=HOSTILE, key="k", kind="update", model=HOSTILE, version=HOSTILE, rollout=HOSTILE,
                attempt=1, phase=HOSTILE, reason_code=HOSTILE, reason=HOSTILE, at=0, received_at=1e300,
                body='{"reason": {"evidence": {"<script>alert(1)</script>": "<img src=x>"}}}',
            )
        )  # fmt: skip
        for run in tx.exec(select(ExecutionRow).where(col(ExecutionRow.device) == device_name(9))):
            run.reason = run.reason_code = run.step = HOSTILE
        row = tx.get_one(RolloutRow, 12)
        row.reason = row.target = row.failing_reason = row.created_by = HOSTILE
        for wave in tx.exec(select(WaveRow).where(WaveRow.rollout == 12)):
            wave.name = wave.reason = HOSTILE
    visitor = dashboard.visitor()
    page = read(visitor.get("/devices").text)
    links = [link for link in page.links("/devices/") if "script" in link]
    query = httpx.QueryParams({"q": HOSTILE, "group": HOSTILE, "version": HOSTILE})
    for path in (*PAGES, "/rollouts/12", *links, f"/devices?{query}"):
        answer = visitor.get(path)
        is_page(answer)
        assert " 49 " not in answer.text
    assert len(links) == 1
    assert "&lt;script&gt;alert(1)" in visitor.get(links[0]).text  # it is shown, as words


def test_wrong_address_is_a_page_that_says_so(shown: Dashboard) -> None:
    visitor = shown.visitor()
    for path, status in (
        ("/rollouts/999", 404), ("/rollouts/x", 422), ("/rollouts/99999999999999999999", 404),
        ("/devices/nobody", 404), ("/devices/%00", 404), ("/rollouts?before=-1", 422),
        ("/rollouts/13?wave=x", 422), ("/devices?q=" + "x" * 129, 422),
    ):  # fmt: skip
        answer = visitor.get(path)
        is_page(answer, status)
        assert re.search(r"LM-\d{3}", answer.text)


def test_a_page_is_a_resource_in_json_too(shown: Dashboard) -> None:
    visitor = shown.visitor()
    for path in ("/rollouts", "/rollouts/12", "/devices", "/devices/watch-0012", "/releases"):
        [link] = read(visitor.get(path).text).links("/json/")
        answer = visitor.get(link)
        assert answer.headers["content-type"] == "application/json"
        assert parse_object(answer.content, what="answer")
    assert visitor.get("/json/rollouts/12").json()["status"] == "PAUSED"


def test_files_are_kept_for_ever_by_their_hash_and_nothing_else_is_served(shown: Dashboard) -> None:
    stranger = shown.visitor(None)
    page = stranger.get("/login").text
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        answer = stranger.get(path)
        assert answer.status_code == 200, path
        assert "immutable" in answer.headers["cache-control"]
        again = stranger.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert len(assets()) == 4
    for path in ("vendor/README.md", "../pages/guard.py", "%2e%2e/pages/guard.py", "nothing.css", ""):
        assert stranger.get(f"/static/{path}").status_code == 404


def test_a_device_that_was_revoked_is_not_in_the_fleet(dashboard: Dashboard) -> None:
    with dashboard.fleet.state.store.transaction() as tx:
        tx.get_one(Device, device_name(0)).state = "revoked"
    visitor = dashboard.visitor()
    assert "39</b> devices" in visitor.get("/").text
    assert "39 devices" in visitor.get("/devices").text
    assert device_name(0) in visitor.get("/devices?state=revoked").text
    assert "revoked" in visitor.get(f"/devices/{device_name(0)}").text
    assert len(read(visitor.get(f"/devices?version={MODEL}@4.0.0").text).devices()) == 8
