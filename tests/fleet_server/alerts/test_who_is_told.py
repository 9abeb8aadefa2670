"""Which webhooks hear of an alert, when again, and where no message goes (trust 7.4)."""

from __future__ import annotations

import ipaddress
from contextlib import closing

import pytest

from limosa_server.alerts import deliveries
from limosa_server.alerts.addresses import is_public, parse_destination
from limosa_server.alerts.deliveries import wants
from limosa_server.core.alerts.back_off import GIVE_UP_S, PAUSES_S, next_attempt
from limosa_server.core.alerts.finding import Finding
from limosa_server.core.alerts.machine import Alert, State
from limosa_server.core.alerts.rules import Severity
from limosa_server.store import Store
from limosa_server.tables.alerts import WebhookRow
from tests.fleet_server.databases import Database


def alert(severity: Severity) -> Alert:
    finding = Finding(labels={"device": "d1"}, summary="it is silent")
    return Alert(
        fingerprint="f", rule="device-silent", severity=severity, state=State.FIRING, labels={"site": "hq"},
        finding=finding, since=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("asked", list(Severity))
def test_a_webhook_hears_of_what_is_as_grave_as_it_asks_and_of_what_is_graver(asked: Severity) -> None:
    webhook = WebhookRow(
        name="w", url="https://example.com", salt="s", severity=asked.value, matcher="", created_at=0.0,
        created_by="eva",
    )  # fmt: skip
    heard = {one for one in Severity if wants(webhook, alert(one))}
    assert asked in heard
    assert heard == {one for one in Severity if one.rank >= asked.rank}
    webhook.matcher = "site=lab"
    assert not any(wants(webhook, alert(one)) for one in Severity)


def test_pauses_between_attempts_are_those_of_the_table() -> None:
    """After the first attempt the first pause; the last one repeats until it is a day old."""
    found = [next_attempt(attempts=n, created_at=0.0, now=10.0) for n in range(1, len(PAUSES_S) + 3)]
    assert found == [10.0 + pause for pause in (*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1])]
    assert next_attempt(attempts=1, created_at=0.0, now=GIVE_UP_S) is None


@pytest.mark.parametrize(
    "text",
    [
        "64:ff9b::a00:1",  # 10.0.0.1 through NAT64
        "64:ff9b:1::808:808",  # a network's own NAT64, whatever is behind it
        "2002:a00:1::",  # 10.0.0.1 through 6to4
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # 10.0.0.1 through Teredo
        "::7f00:1",
        "fec0::1",
        "ff02::1",
        "100.64.0.1",
        "192.0.0.192",  # the metadata service of a cloud, which Python 3.11.7 calls public
        "::ffff:192.0.0.192",
        "255.255.255.255",
    ],
)
def test_addresses_that_lead_back_inside_by_another_way(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


def test_a_webhook_that_is_down_for_long_keeps_the_newest_messages(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded for each: what waits for one takes nothing from another."""
    monkeypatch.setattr(deliveries, "WAITING_MAX", 3)
    with closing(Store.open(database.place())) as store, store.transaction() as tx:
        for name in ("down", "up"):
            webhook = WebhookRow(
                name=name, url="https://example.com", salt="s", severity="info", matcher="", created_at=0.0,
                created_by="eva",
            )  # fmt: skip
            tx.add(webhook)
            tx.flush()
            for number in range(5 if name == "down" else 2):
                deliveries.add(tx, webhook, "firing", alert=number, body={}, now=float(number))
        waiting = [(row.webhook, row.alert) for row in deliveries.due(tx, now=9.0, limit=99)]
    assert sorted(waiting) == [("down", 2), ("down", 3), ("down", 4), ("up", 0), ("up", 1)]


def test_a_host_is_the_same_with_a_dot_at_its_end_and_in_capitals() -> None:
    for text in ("https://hooks.lan/x", "https://Hooks.LAN./x"):
        found = parse_destination(text, ("hooks.lan.",))
        assert (found.allowed, found.host) == (True, "hooks.lan")
    assert not parse_destination("https://evil-hooks.lan/x", ("hooks.lan",)).allowed
