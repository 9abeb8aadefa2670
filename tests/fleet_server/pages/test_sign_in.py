"""Who may see the pages, who may act on them, and forms that are not ours."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest
from sqlmodel import col, select

from limosa_server.access.roles import Role
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.live import STOPPING
from limosa_server.pages.session import Session
from limosa_server.tables.access import ApiToken, AuditRow
from limosa_server.tables.rollouts import DecisionRow, RolloutRow
from tests.fleet_server.pages.conftest import Dashboard
from tests.fleet_server.pages.html_tags import read
from tests.support.waiting import wait_until

RUNNING = 13
PAUSED = 12


def fields_of(visitor: httpx.Client, path: str, action: str) -> dict[str, str]:
    """What the form on that page sends of itself."""
    return read(visitor.get(path).text).forms[action]


def form(visitor: httpx.Client, rollout: int, action: str) -> dict[str, str]:
    return fields_of(visitor, f"/rollouts/{rollout}", f"/rollouts/{rollout}/{action}")


def submit(visitor: httpx.Client, rollout: int, action: str, **more: str) -> httpx.Response:
    return visitor.post(f"/rollouts/{rollout}/{action}", data={**form(visitor, rollout, action), **more})


def status_of(dashboard: Dashboard, rollout: int) -> str:
    with dashboard.fleet.state.store.read() as tx:
        return tx.get_one(RolloutRow, rollout).status


def test_stranger_is_asked_to_sign_in_and_comes_back_to_where_he_was(empty: Dashboard) -> None:
    stranger = empty.visitor(None, follow=False)
    for path in ("/", "/rollouts/7?wave=1", "/devices", "/releases", "/json/rollouts", "/events/stream"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        asked, _, query = answer.headers["location"].partition("?")
        assert asked == "/login"
        assert httpx.QueryParams(query).get("next", "/") == path
    # A part of a page must not be replaced by the form: the whole page goes there.
    part = stranger.get("/rollouts/7", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login?next=%2Frollouts%2F7")


def test_sign_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(empty: Dashboard) -> None:
    stranger = empty.visitor(None, follow=False)
    token = empty.fleet.token(Role.VIEWER)
    answer = stranger.post("/login", data={"token": f" {token}\n", "next": "/devices"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert token.partition(".")[2] not in cookie
    assert stranger.get("/devices").status_code == 200


def test_wrong_token_is_refused_in_words(empty: Dashboard) -> None:
    stranger = empty.visitor(None)
    for token in ("", "x", "lmp_abcdefghijkl." + "s" * 43, "<script>", "lmd_x.y", "é" * 10):
        answer = stranger.post("/login", data={"token": token})
        assert answer.status_code == 401
        assert "the token is not valid" in answer.text
        assert "set-cookie" not in answer.headers


def test_sign_in_leads_nowhere_else(empty: Dashboard) -> None:
    stranger = empty.visitor(None, follow=False)
    token = empty.fleet.token(Role.VIEWER)
    for there in (
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\nx",
    ):
        answer = stranger.post("/login", data={"token": token, "next": there})
        assert answer.headers["location"] == "/"


def test_forged_and_stale_cookies_are_strangers(empty: Dashboard) -> None:
    state = empty.fleet.state
    visitor = empty.visitor(follow=False)
    cookie = visitor.cookies["limosa"]
    claims, _, mac = cookie.partition(".")
    for forged in (
        "x",
        ".",
        cookie[:-1],
        f"{claims}x.{mac}",
        f".{mac}",
        "é".encode().decode("latin-1"),
        "a" * 5000,
    ):
        answer = empty.visitor(None, follow=False).get(
            "/", headers={b"Cookie": f"limosa={forged}".encode("latin-1")}
        )
        assert answer.status_code == 303
    assert visitor.get("/").status_code == 200
    empty.fleet.clock.now += 13 * 3600
    assert visitor.get("/").status_code == 303
    ended = Session.begin("nobody", now=state.clock()).cookie(state)
    assert (
        empty.visitor(None, follow=False).get("/", headers={"Cookie": f"limosa={ended}"}).status_code == 303
    )


def test_revoked_token_ends_its_sessions_at_once(empty: Dashboard) -> None:
    visitor = empty.visitor(follow=False)
    assert visitor.get("/").status_code == 200
    with empty.fleet.state.store.transaction() as tx:
        for row in tx.exec(select(ApiToken)):
            row.revoked_at = empty.fleet.clock.now
    assert visitor.get("/").status_code == 303


def test_sign_out_needs_its_form_and_takes_the_cookie(empty: Dashboard) -> None:
    visitor = empty.visitor(follow=False)
    assert visitor.post("/logout").status_code == 403
    proof = fields_of(visitor, "/", "/logout")
    assert visitor.post("/logout", data=proof).headers["location"] == "/login"
    assert visitor.get("/").status_code == 303


def test_operator_pauses_resumes_and_cancels_with_plain_forms(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor()
    page = submit(visitor, RUNNING, "pause", remark="  looks\r\n odd ")
    assert "paused by operator: looks odd" in page.text
    assert "LM-" not in submit(visitor, RUNNING, "resume").text
    assert status_of(dashboard, RUNNING) == "RUNNING"
    submit(visitor, RUNNING, "cancel")
    assert status_of(dashboard, RUNNING) == "CANCELING"
    submit(visitor, PAUSED, "rollback", remark="<script>alert(1)</script>")
    assert status_of(dashboard, PAUSED) == "ROLLING_BACK"
    with dashboard.fleet.state.store.read() as tx:
        acted = tx.exec(
            select(AuditRow.action)
            .where(col(AuditRow.action).startswith("rollout."))
            .order_by(col(AuditRow.seq))
        ).all()
        said = tx.exec(select(DecisionRow.sentence).where(DecisionRow.by == "operator")).all()
    assert acted == ["rollout.paused", "rollout.resumed", "rollout.canceled", "rollout.canceled"]
    assert len(said) == 4


def test_who_only_looks_cannot_act(shown: Dashboard) -> None:
    stolen = form(shown.visitor(), RUNNING, "pause")
    for role in (Role.VIEWER, Role.PUBLISHER, Role.APPROVER):
        visitor = shown.visitor(role)
        page = read(visitor.get(f"/rollouts/{RUNNING}").text)
        assert list(page.forms) == ["/logout"]
        answer = visitor.post(f"/rollouts/{RUNNING}/pause", data={**stolen, **page.forms["/logout"]})
        assert answer.status_code == 403
        assert "LM-401" in answer.text
        assert status_of(shown, RUNNING) == "RUNNING"


def test_form_without_its_proof_or_from_elsewhere_does_nothing(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor()
    path = f"/rollouts/{RUNNING}/pause"
    good = form(visitor, RUNNING, "pause")
    other = form(dashboard.visitor(), RUNNING, "pause")
    for fields in ({}, {**good, "proof": ""}, {**good, "proof": "é"}, {**good, "proof": other["proof"]}):
        answer = visitor.post(path, data=fields)
        assert (answer.status_code, "LM-690" in answer.text) == (403, True)
    for site in ("cross-site", "same-site"):
        assert visitor.post(path, data=good, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert visitor.post("/login", data={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert dashboard.visitor(None, follow=False).post(path, data=good).headers["location"] == "/login"
    assert status_of(dashboard, RUNNING) == "RUNNING"
    assert visitor.post(path, data=good).status_code == 200
    assert status_of(dashboard, RUNNING) == "PAUSED"


def test_of_two_operators_the_second_is_told_that_it_changed(dashboard: Dashboard) -> None:
    ana, ben = dashboard.visitor(), dashboard.visitor()
    path = f"/rollouts/{RUNNING}/cancel"
    seen = form(ben, RUNNING, "cancel")
    submit(ana, RUNNING, "pause")
    answer = ben.post(path, data=seen)
    assert (answer.status_code, "LM-601" in answer.text) == (412, True)
    answer = ben.post(path, data={"proof": seen["proof"]})
    assert answer.status_code == 412  # a form without the state it was made for matches none
    assert status_of(dashboard, RUNNING) == "PAUSED"


def test_unreadable_form_is_refused(shown: Dashboard) -> None:
    visitor = shown.visitor()
    for body in (b"\xff\xfe", b"a=1&" * 50, b"x" * 20_000):
        answer = visitor.post(f"/rollouts/{RUNNING}/pause", content=body)
        assert 400 <= answer.status_code < 500
    assert (
        visitor.post(f"/rollouts/{RUNNING}/explode", data=form(visitor, RUNNING, "pause")).status_code == 404
    )
    assert status_of(shown, RUNNING) == "RUNNING"


def test_token_of_another_team_sees_no_rollout_of_ours_and_cannot_act_on_it(shown: Dashboard) -> None:
    ours = form(shown.visitor(Role.OPERATOR), RUNNING, "pause")
    visitor = shown.visitor(None)
    visitor.post("/login", data={"token": shown.fleet.token(Role.OPERATOR, team="other")})
    assert visitor.get(f"/rollouts/{RUNNING}").status_code == 404
    assert visitor.post(f"/rollouts/{RUNNING}/pause", data=ours).status_code in (403, 404)
    assert status_of(shown, RUNNING) == "RUNNING"


def test_commit_reaches_an_open_page(shown: Dashboard) -> None:
    visitor = shown.visitor(Role.VIEWER)
    with visitor.stream("GET", "/events/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        wait_until(lambda: next(lines) == "event: hello", timeout_s=10, what="the stream begins")
        with shown.fleet.state.store.transaction() as tx:
            tx.announce("rollouts", f"rollout {RUNNING}")
        wait_until(lambda: next(lines) == "event: changed", timeout_s=10, what="the news")
        topics = json.loads(next(lines).removeprefix("data: "))
    assert topics == [f"rollout {RUNNING}", "rollouts"]


def test_closed_pages_are_not_counted_and_too_many_are_told(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limosa_server.pages.live.LIMITS", replace(LIMITS, followers_max=1, heartbeat_s=0.2))
    visitor, other = dashboard.visitor(Role.VIEWER), dashboard.visitor(Role.VIEWER)
    with visitor.stream("GET", "/events/stream") as answer:
        lines = answer.iter_lines()
        wait_until(lambda: next(lines) == "event: hello", timeout_s=10, what="the stream begins")
        refused = other.get("/events/stream")
        assert (refused.status_code, "LM-691" in refused.text) == (503, True)

    def free() -> bool:
        with other.stream("GET", "/events/stream") as again:
            return again.status_code == 200

    wait_until(free, timeout_s=10, what="the place of the page that was closed")


def test_stream_ends_when_its_token_is_revoked(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limosa_server.pages.live.LIMITS", replace(LIMITS, heartbeat_s=0.2))
    visitor = dashboard.visitor(Role.VIEWER)
    with visitor.stream("GET", "/events/stream") as answer:
        lines = answer.iter_lines()
        wait_until(lambda: next(lines) == "event: hello", timeout_s=10, what="the stream begins")
        with dashboard.fleet.state.store.transaction() as tx:
            for row in tx.exec(select(ApiToken)):
                row.revoked_at = dashboard.fleet.clock.now
        assert "event: hello" not in list(lines)  # ends, or this would wait for ever


def test_open_page_does_not_keep_a_server_that_ends_waiting(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor(Role.VIEWER)
    with visitor.stream("GET", "/events/stream") as answer:
        lines = answer.iter_lines()
        wait_until(lambda: next(lines) == "event: hello", timeout_s=10, what="the stream begins")
        dashboard.fleet.state.store.notify(frozenset({STOPPING}))
        assert "event: changed" not in list(lines)  # ends, or this would wait for ever
