"""What verified metadata proved, durably: time floor and director key; and the token of a fetch."""

from __future__ import annotations

import logging

from limosa_agent.config import AgentConfig
from limosa_agent.daemon_thread import in_daemon_thread
from limosa_agent.fetch_child import FetchFailed, run_fetch
from limosa_agent.link.https import HttpsLink
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.effects import ca_file
from limosa_contracts.errors import LimosaError
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)


class FetchFacts:
    def __init__(self, config: AgentConfig, db: StateDb, https: HttpsLink) -> None:
        self._config = config
        self._db = db
        self._https = https

    async def access_token(self) -> str | None:
        """None where the server does not give one now: the fetch fails then, and is tried again."""
        try:
            return await in_daemon_thread(self._https.access_token)
        except (LimosaError, OSError) as error:
            log.warning("no access token: %s", error)
            return None

    def time_floor(self) -> float:
        return float(self._db.meta("time_floor") or "0")

    def learned(self, result: JsonObject) -> None:
        """Time floor and director key, as a refresh proved them."""
        fields = Fields(result, where="fetch.result")
        with self._db.transaction("learned"):
            if fields.has("time_floor"):
                floor = max(self.time_floor(), fields.number("time_floor"))
                self._db.set_meta("time_floor", f"{floor:.0f}")
            if fields.has("director_pem"):
                self._db.set_meta("director_pem", fields.text("director_pem"))

    async def refresh(self) -> str | None:
        """The director's key out of freshly verified metadata (trust 4.2)."""
        request: dict[str, JsonValue] = {
            "op": "refresh",
            "server": self._config.server,
            "state_dir": str(self._config.state_dir),
            "access_token": None,
            "ca_file": ca_file(self._config),
            "time_floor": self.time_floor(),
        }
        outcome = await run_fetch(request, lambda progress: None)
        if isinstance(outcome, FetchFailed):
            log.warning("refresh failed: %s: %s", outcome.code, outcome.message)
            return None
        self.learned(outcome)
        pem = outcome.get("director_pem")
        return pem if isinstance(pem, str) else None
