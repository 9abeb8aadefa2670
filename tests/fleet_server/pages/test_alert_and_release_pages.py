"""Alerts and releases on pages: what an operator needs first, and what they can do there without script."""

from __future__ import annotations

import re

import pytest

from limosa_contracts.names import ReleaseName
from limosa_server.access.roles import Role
from limosa_server.registry import release_rows
from limosa_server.tables.alerts import AlertRow, SilenceRow
from tests.fleet_server.pages.conftest import Dashboard
from tests.fleet_server.pages.html_tags import breaches, read

RELEASE = "/releases/demo/motion/4.0.0"
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)>"""


def proof_of(text: str) -> str:
    found = re.search(r'name="proof" value="([^"]+)"', text)
    assert found is not None
    return found[1]


def test_what_fires_stands_first_worst_first_and_what_is_silenced_apart(shown: Dashboard) -> None:
    text = shown.visitor(Role.VIEWER).get("/alerts").text
    assert breaches(read(text)) == []
    places = [
        text.index(words)
        for words in (
            "rollout 12 of audio/kws@0.9.0 ended badly",
            "2 devices refused a release",
            "About to fire",
            "1 device reported little room",
            "Silences",
            "6 devices said nothing",
            "Who is told",
            "it answered 503",
            "the broker has taken no message",
        )
    ]
    assert places == sorted(places)
    assert "<title>(2) Alerts" in text
    assert '<form method="post" action="/alerts' not in text  # a viewer only looks
    assert "hooks.example/x" not in text


def test_an_operator_silences_an_alert_and_ends_the_silence(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor()
    text = visitor.get("/alerts").text
    matcher = "rule=device-fell-back,version=4.0.0"
    assert matcher in text
    fields = {"proof": proof_of(text), "matcher": matcher, "reason": "known", "for": "4h"}
    answer = visitor.post("/alerts/silences", data=fields)
    assert answer.status_code == 200
    assert "known" in answer.text
    with dashboard.fleet.state.store.read() as tx:
        made = tx.get_one(SilenceRow, 2)
        assert (made.matcher, made.until) == (matcher, dashboard.fleet.clock.now + 4 * 3600)
    visitor.post("/alerts/silences/2/end", data={"proof": proof_of(text)})
    with dashboard.fleet.state.store.read() as tx:
        assert tx.get_one(SilenceRow, 2).until == dashboard.fleet.clock.now
    forged = visitor.post("/alerts/silences", data={**fields, "proof": "x"})
    assert forged.status_code == 403


def test_a_release_says_who_runs_it_and_what_production_asks_for(shown: Dashboard) -> None:
    text = shown.visitor(Role.VIEWER).get(RELEASE).text
    assert breaches(read(text)) == []
    assert "<b>9</b> devices" in text
    assert "Production asks for" in text
    assert "no rollout of it has completed" in text
    assert "Retract" not in text


def test_an_operator_retracts_a_release_on_its_page_with_a_reason(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor()
    proof = proof_of(visitor.get(RELEASE).text)
    assert visitor.post(f"{RELEASE}/retract", data={"proof": proof, "reason": ""}).status_code == 422
    answer = visitor.post(f"{RELEASE}/retract", data={"proof": proof, "reason": "wrong labels"})
    assert answer.status_code == 200
    assert "wrong labels" in answer.text
    assert "offered to nobody any more" in answer.text
    with dashboard.fleet.state.store.read() as tx:
        row = release_rows.find(tx, ReleaseName.parse("demo/motion@4.0.0"))
        assert row.retracted_at == dashboard.fleet.clock.now


@pytest.mark.parametrize("path", ["/alerts", RELEASE, "/releases"])
def test_hostile_words_are_only_words(dashboard: Dashboard, path: str) -> None:
    with dashboard.fleet.state.store.transaction() as tx:
        row = release_rows.find(tx, ReleaseName.parse("demo/motion@4.0.0"))
        row.retracted_at, row.retracted_by, row.retract_reason = 1.0, HOSTILE, HOSTILE
        tx.add(row)
        release_rows.note(tx, row, "retracted", at=1.0, by=HOSTILE, reason=HOSTILE)
        alert = tx.get_one(AlertRow, 1)
        alert.summary, alert.detail, alert.labels = HOSTILE, HOSTILE, {HOSTILE: HOSTILE}
        alert.devices = [HOSTILE]
        tx.add(alert)
    text = dashboard.visitor().get(path).text
    assert breaches(read(text)) == []
    assert "<script>alert" not in text
    assert "<img src=x" not in text


def test_pages_have_their_resource_in_json(shown: Dashboard) -> None:
    visitor = shown.visitor(Role.VIEWER)
    assert visitor.get("/json/alerts").json()["items"][0]["rule"] == "device-disk"
    assert visitor.get("/json" + RELEASE).json()["devices"] == 9
