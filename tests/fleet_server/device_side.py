"""The agent's own verification against a server of a test: its fetch child and its inbox of documents."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from limosa_agent.fetch.main import answer
from limosa_agent.link import desired_inbox
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.store.state_db import StateDb
from limosa_contracts.errors import TrustError
from limosa_contracts.json_value import JsonObject
from limosa_server.assembly import make_director
from limosa_server.tables.rollouts import DesiredDocument
from tests.fleet_server.world import MODEL, Device, Fleet

CAPABILITIES: JsonObject = {
    "arch": "x86_64",
    "runtimes": {"onnxruntime": "1.31.1"},
    "memory_bytes": 1 << 30,
}


class DeviceSide:
    """What one device keeps, and decides: nobody visits it between two calls."""

    def __init__(self, fleet: Fleet, folder: Path, device: Device | None = None) -> None:
        self.fleet = fleet
        self.device = device or fleet.enroll()
        self.state = folder / self.device.id
        (self.state / "identity").mkdir(parents=True)
        assert self.device.enrolled is not None
        (self.state / "identity" / "root.json").write_text(self.device.enrolled.tuf_root)
        self.alarms: list[str] = []
        self.db = StateDb.open(self.state)
        self.db.set_meta("director_pem", str(self.refresh()["director_pem"]))
        self.inbox = DesiredInbox(
            self.db, device=self.device.id, refresh=self._director, alarm=self._hear, clock=fleet.clock
        )

    def close(self) -> None:
        self.db.close()

    def refresh(self) -> JsonObject:
        """What the fetch child says after it has followed the signed metadata, or its error."""
        return self._ask(op="refresh")

    def install(self, version: str, index_sha256: str) -> JsonObject:
        """Downloaded, and every signature checked."""
        access = self.fleet.access(self.device)["Authorization"].removeprefix("Bearer ")
        return self._ask(
            op="install", access_token=access, model=MODEL, version=version, index_sha256=index_sha256,
            capabilities=CAPABILITIES,
        )  # fmt: skip

    def document(self) -> bytes:
        """The document that the server issues now."""
        with self.fleet.state.store.transaction() as tx:
            make_director(self.fleet.state).issue(tx, self.device.id, now=self.fleet.clock.now)
            tx.flush()
            return tx.get_one(DesiredDocument, self.device.id).envelope

    def obeys(self, envelope: bytes) -> bool:
        """Whether it takes the document up."""
        self.inbox._refreshed_at = -desired_inbox.REFRESH_EVERY_S * 1e6  # half a minute has passed
        return asyncio.run(self.inbox.receive(envelope))

    async def _director(self) -> str | None:
        said = self.refresh()
        return str(said["director_pem"]) if "director_pem" in said else None

    def _hear(self, key: str, error: TrustError) -> None:
        self.alarms.append(error.code)

    def _ask(self, **request: object) -> JsonObject:
        whole = {
            "server": str(self.fleet.http.base_url).rstrip("/"),
            "state_dir": str(self.state),
            **request,
        }
        said = answer(json.dumps(whole).encode(), lambda line: None, clock=self.fleet.clock)
        found = said.get("result") or said.get("error")
        assert isinstance(found, dict)
        return found
