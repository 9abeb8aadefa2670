"""Webhooks: their secrets, and messages signed as "Standard Webhooks" does it (standardwebhooks.com, 1.0.0).

Headers `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64 of HMAC-SHA256>` over
`id.timestamp.body`; the secret is `whsec_<base64>`. A secret is not stored: it follows from a key in a file
beside the database and the webhook's salt, so a database alone signs nothing.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_contracts.errors import LimosaError
from limosa_server.alerts import deliveries
from limosa_server.alerts.addresses import parse_destination
from limosa_server.alerts.sending import SendLimits, post
from limosa_server.files import write_private
from limosa_server.state import ServerState
from limosa_server.tables.alerts import DeliveryRow, WebhookRow

log = logging.getLogger(__name__)
KEY_FILE: Final = "webhooks.key"
KEY_BYTES: Final = 32
BATCH: Final = 20  # messages of one round


def new_salt() -> str:
    return secrets.token_hex(16)


def server_key(trust: Path) -> bytes:
    """Among the server's keys, so that a backup with keys has it; made when it is first needed. Without it
    every webhook needs a new secret."""
    path = trust / "keys" / KEY_FILE
    if not path.exists():
        write_private(path, secrets.token_bytes(KEY_BYTES))
    return path.read_bytes()


def secret_of(key: bytes, *, name: str, salt: str) -> bytes:
    """32 bytes, another for each webhook and each time that it is made anew."""
    return hmac.digest(key, f"webhook {name} {salt}".encode(), "sha256")


def secret_text(secret: bytes) -> str:
    """As receivers' libraries take it."""
    return "whsec_" + base64.b64encode(secret).decode()


def sign(secret: bytes, *, message: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`.

    As the specification's example has it:

    >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> body = b'{"test": 2432232314}'
    >>> sign(key, message="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=body)
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    mac = hmac.digest(secret, f"{message}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac).decode()


@dataclass(slots=True)
class Sender:
    """Sends what is due; every outcome is written down."""

    state: ServerState
    limits: SendLimits = field(default_factory=SendLimits)
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def step(self) -> int:
        """How many messages were tried. Raises what the store does."""
        now = self.state.clock()
        with self.state.store.read() as tx:
            rows = deliveries.due(tx, now=now, limit=BATCH)
            hooks = {row.webhook: tx.get(WebhookRow, row.webhook) for row in rows}
        mute: set[str] = set()
        for row in rows:
            webhook = hooks[row.webhook]
            if row.webhook in mute:
                continue
            why, answered = self._send(row, webhook) if webhook is not None else ("the webhook is gone", True)
            assert row.id is not None
            with self.state.store.transaction() as tx:
                if why:
                    deliveries.refused(tx, row.id, why=why, now=self.state.clock())
                    if not answered:
                        mute.add(row.webhook)
                        deliveries.put_off(tx, row.webhook, after=row.id, now=self.state.clock())
                else:
                    deliveries.taken(tx, row.id, now=self.state.clock())
                tx.announce("alerts")
            self.state.metrics.webhook_messages.labels(result="refused" if why else "taken").inc()
        return len(rows)

    def _send(self, row: DeliveryRow, webhook: WebhookRow) -> tuple[str, bool]:
        """Why it was not taken, "" if it was; and whether there was an answer at all."""
        timestamp = int(self.state.clock())
        secret = secret_of(server_key(self.state.settings.trust), name=webhook.name, salt=webhook.salt)
        headers = {
            "webhook-id": row.message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, message=row.message, timestamp=timestamp, body=row.body),
        }
        try:
            destination = parse_destination(webhook.url, self.state.settings.webhook_hosts)
            tls = self.tls() if destination.secure else None
            status = post(destination, row.body, headers, limits=self.limits, tls=tls)
        except LimosaError as error:
            return str(error)[:300], False
        if 200 <= status < 300:
            return "", True
        if 300 <= status < 400:
            return f"it answered {status}: redirects are not followed", True
        return f"it answered {status}", True
