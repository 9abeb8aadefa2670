"""Messages to webhooks: queued in the transaction that changed the alert, sent after it, again until taken.

A newer message about an alert takes the place of one that still waits: who was away hears how it stands,
not how it came.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from sqlalchemy import update
from sqlmodel import col, select

from limosa_contracts.json_value import JsonValue
from limosa_contracts.selector import Selector
from limosa_server.core.alerts.back_off import next_attempt
from limosa_server.core.alerts.machine import Alert
from limosa_server.core.alerts.message import about, encode
from limosa_server.core.alerts.rules import Severity
from limosa_server.store import Transaction
from limosa_server.tables.alerts import DeliveryRow, WebhookRow

TOPIC: Final = "deliveries"
"""Announced when something is to be sent."""
WAITING_MAX: Final = 1000  # of one webhook; beyond, the oldest go: the page shows every alert


def queue(tx: Transaction, event: str, alert: Alert, *, number: int, url: str, now: float) -> int:
    """For every webhook that wants it; how many."""
    queued = 0
    for webhook in tx.exec(select(WebhookRow).order_by(col(WebhookRow.name))):
        if not wants(webhook, alert):
            continue
        waiting = tx.exec(
            select(DeliveryRow).where(
                DeliveryRow.webhook == webhook.name,
                DeliveryRow.alert == number,
                col(DeliveryRow.next_at).is_not(None),
            )
        ).all()
        for one in waiting:
            tx.delete(one)
        add(tx, webhook, event, alert=number, body=about(alert, number=number, url=url), now=now)
        queued += 1
    return queued


def wants(webhook: WebhookRow, alert: Alert) -> bool:
    if alert.severity.rank < Severity(webhook.severity).rank:
        return False
    return not webhook.matcher or Selector.parse(webhook.matcher, where="webhook").matches(alert.matched)


def add(
    tx: Transaction, webhook: WebhookRow, event: str, *, alert: int, body: dict[str, JsonValue], now: float
) -> DeliveryRow:
    message = f"msg_{uuid.uuid4().hex}"
    row = DeliveryRow(
        message=message,
        webhook=webhook.name,
        alert=alert,
        event=event,
        body=encode(event, body, at=now),
        created_at=now,
        attempts=0,
        next_at=now,
    )
    tx.add(row)
    tx.flush()
    _make_room(tx, webhook.name)
    tx.announce(TOPIC)
    return row


def due(tx: Transaction, *, now: float, limit: int) -> Sequence[DeliveryRow]:
    """The oldest first."""
    return tx.exec(
        select(DeliveryRow)
        .where(col(DeliveryRow.next_at) <= now)
        .order_by(col(DeliveryRow.next_at), col(DeliveryRow.id))
        .limit(limit)
    ).all()


def taken(tx: Transaction, number: int, *, now: float) -> None:
    row = tx.get(DeliveryRow, number)
    if row is None:
        return  # replaced while it was on its way
    webhook = tx.get(WebhookRow, row.webhook)
    if webhook is not None:
        webhook.delivered_at, webhook.failure, webhook.failed_at = now, "", None
        tx.add(webhook)
    tx.delete(row)


def refused(tx: Transaction, number: int, *, why: str, now: float) -> None:
    """Sent again later, or given up; the webhook says so on its page."""
    row = tx.get(DeliveryRow, number)
    if row is None:
        return
    row.attempts += 1
    row.failure = why
    row.next_at = next_attempt(attempts=row.attempts, created_at=row.created_at, now=now)
    tx.add(row)
    webhook = tx.get(WebhookRow, row.webhook)
    if webhook is not None:
        webhook.failure, webhook.failed_at = why, now
        tx.add(webhook)


def put_off(tx: Transaction, webhook: str, *, after: int, now: float) -> None:
    """What else waits for a webhook that does not answer is tried when the message `after` is: each would
    cost the whole time limit again, while those wait who would answer."""
    row = tx.get(DeliveryRow, after)
    if row is not None and row.next_at is not None:
        tx.execute(
            update(DeliveryRow)
            .where(col(DeliveryRow.webhook) == webhook, col(DeliveryRow.next_at) <= now)
            .values(next_at=row.next_at)
        )


def _make_room(tx: Transaction, webhook: str) -> None:
    old = tx.exec(
        select(DeliveryRow)
        .where(DeliveryRow.webhook == webhook)
        .order_by(col(DeliveryRow.id).desc())
        .offset(WAITING_MAX)
        .limit(10)
    ).all()
    for row in old:
        tx.delete(row)
