"""What verified metadata proved, durably: time floor and director key; and where a fetch goes."""

from __future__ import annotations

import logging
from pathlib import Path

from limosa_agent.config import AgentConfig
from limosa_agent.fetch_child import FetchFailed, run_fetch
from limosa_agent.store.state_db import StateDb
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)


class FetchFacts:
    def __init__(self, config: AgentConfig, db: StateDb) -> None:
        self._config = config
        self._db = db

    def source(self, mirror: Path | None = None) -> dict[str, JsonValue]:
        """The fields of a fetch request that say where from. The child makes itself the access token:
        neither HTTP nor TLS is needed in the supervisor for it (agent 1)."""
        proxy = self._config.proxy
        fields: dict[str, JsonValue] = {
            "server": self._config.server,
            "state_dir": str(self._config.state_dir),
            "ca_file": str(self._config.ca_file or self._config.identity_dir / "ca.pem"),
            "enrolled_ca": str(self._config.identity_dir / "ca.pem"),
            "time_floor": self.time_floor(),
            "authenticate": mirror is None,
            "proxy": proxy.as_json() if proxy else None,
            "mirror": str(mirror) if mirror else None,
        }
        # What comes from a stick costs no bytes of any network.
        return fields if mirror is None else {**fields, "byte_budget": None}

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
        outcome = await run_fetch({**self.source(), "op": "refresh"}, lambda progress: None)
        if isinstance(outcome, FetchFailed):
            log.warning("refresh failed: %s: %s", outcome.code, outcome.message)
            return None
        self.learned(outcome)
        pem = outcome.get("director_pem")
        return pem if isinstance(pem, str) else None
