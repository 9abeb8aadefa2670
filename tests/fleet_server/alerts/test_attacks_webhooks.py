"""A receiver that takes connections and never answers, on the night when everything fires."""

from __future__ import annotations

import socket
import time

from sqlmodel import select

from limosa_server.alerts import deliveries
from limosa_server.alerts.sending import SendLimits
from limosa_server.alerts.webhooks import BATCH, Sender, new_salt
from limosa_server.tables.alerts import DeliveryRow, WebhookRow
from tests.fleet_server.alerts.test_webhooks import LOCAL, receiving
from tests.fleet_server.world import Fleet

ALERTS = BATCH // 2 + 5
WHOLE_S = 0.3


def test_a_receiver_that_never_answers_does_not_keep_alerts_from_those_who_would(fleet: Fleet) -> None:
    """Each message to it took the whole time limit, one after the other, before the next to the pager."""
    object.__setattr__(fleet.state.settings, "webhook_hosts", LOCAL)
    sender = Sender(fleet.state, limits=SendLimits(connect_s=WHOLE_S, whole_s=WHOLE_S))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as tarpit, receiving() as pager:
        port = tarpit.getsockname()[1]
        with fleet.state.store.transaction() as tx:
            for name, url in (("archive", f"http://127.0.0.1:{port}/"), ("pager", pager.url)):
                tx.add(
                    WebhookRow(
                        name=name, url=url, severity="info", matcher="", salt=new_salt(),
                        created_at=fleet.clock.now, created_by="test",
                    )
                )  # fmt: skip
            tx.flush()
            for number in range(1, ALERTS + 1):
                for name in ("archive", "pager"):
                    hook = tx.get_one(WebhookRow, name)
                    deliveries.add(tx, hook, "firing", alert=number, body={}, now=fleet.clock.now)
        began = time.monotonic()
        while sender.step():
            continue
        took = time.monotonic() - began
    assert len(pager.got) == ALERTS
    assert took < ALERTS * WHOLE_S, "it was not asked for each of them"
    with fleet.state.store.read() as tx:
        waiting = tx.exec(select(DeliveryRow).where(DeliveryRow.webhook == "archive")).all()
    assert len(waiting) == ALERTS, "what it did not take is kept for it"
    assert sum(row.attempts for row in waiting) == 1
    assert {row.next_at for row in waiting} == {fleet.clock.now + 5.0}
