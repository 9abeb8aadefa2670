"""One run of the whole agent: supervisor, links and control socket, wired together."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limosa_agent.config import AgentConfig
from limosa_agent.control.metrics import keep_worker_told
from limosa_agent.control.operations import handlers
from limosa_agent.control.view import AgentView
from limosa_agent.control_socket import end_control, try_control
from limosa_agent.identity.identity import Identity
from limosa_agent.identity.renewals import Renewals
from limosa_agent.link.connection_number import connection_number
from limosa_agent.link.incoming import Incoming
from limosa_agent.link.mqtt import MqttCallbacks, MqttLink
from limosa_agent.link.poll import HttpsPoll
from limosa_agent.link.uplink import Uplink
from limosa_agent.store.state_db import StateDb
from limosa_agent.supervisor import Supervisor
from limosa_agent.telemetry.instance_message import SOCKET
from limosa_agent.telemetry.observations_socket import try_observations
from limosa_contracts.report_message import Ack
from limosa_contracts.topics import Suffix

if TYPE_CHECKING:
    from limosa_agent.control.commands import Commands

log = logging.getLogger(__name__)


class Agent:
    """`config_path` is for the children that read the configuration themselves."""

    def __init__(
        self,
        config: AgentConfig,
        identity: Identity,
        db: StateDb,
        *,
        config_path: Path,
        sockets: Sequence[socket.socket],
    ) -> None:
        self._config = config
        self._connections = 0
        self._asked: Commands | None = None
        self.incoming = Incoming(obey=self._obey)
        self.supervisor = Supervisor(
            config=config, identity=identity, db=db, sockets=sockets, link_up=lambda: self.mqtt.up
        )
        self._boots = int(db.meta("boots") or "1")
        self.mqtt = MqttLink(
            config=config,
            identity=identity,
            callbacks=MqttCallbacks(
                connected=lambda: self.incoming.call(self._connected),
                lost=lambda why: self.incoming.call(lambda: log.warning("mqtt lost: %s", why)),
                message=self.incoming.take,
            ),
            status_session=self._next_session,
        )
        self.uplink = Uplink(
            self.supervisor.outbox,
            device=identity.device,
            key=identity.key,
            publish=self.mqtt.publish,
            ack_timeout_s=config.ack_timeout_s,
        )
        self.poll = HttpsPoll(
            interval_s=config.poll_interval_s,
            https=self.supervisor.https,
            outbox=self.supervisor.outbox,
            uplink=self.uplink,
            inbox=self.supervisor.inbox,
            incoming=self.incoming,
            mqtt_up=lambda: self.mqtt.up,
            receive=self.supervisor.receive_desired,
        )
        self.renewals = Renewals(
            config_path=config_path,
            identity_dir=config.identity_dir,
            adopt=self._adopt,
            wanted=lambda: self.supervisor.inbox.decommissioned is None,
        )
        self.view = AgentView(
            config=config,
            identity=identity,
            supervisor=self.supervisor,
            mqtt=self.mqtt,
            uplink=self.uplink,
            sockets=sockets,
            renewals=self.renewals,
            started_at=time.time(),
        )

    async def run(self, stop: asyncio.Event, *, ready: Callable[[], None]) -> None:
        """Until `stop`; raises what a part of it raised. `ready` is called when models are served."""
        await self.supervisor.start()
        control = await try_control(self._config.control_socket, handlers(self.view))
        observations = try_observations(self._config.state_dir / SOCKET, self.supervisor.watch.on_instance)
        self.supervisor.on_outbox = self._pump
        self.mqtt.start()
        ready()
        parts = [
            asyncio.create_task(self.supervisor.run(), name="supervisor"),
            asyncio.create_task(self.incoming.run(), name="incoming"),
            asyncio.create_task(self.poll.run(), name="poll"),
            asyncio.create_task(self.renewals.run(), name="renewals"),
            asyncio.create_task(keep_worker_told(self.view), name="metrics"),
            asyncio.create_task(self.supervisor.mirror.watch(), name="mirrors"),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*parts, stopping):
                task.cancel()
            await asyncio.gather(*parts, stopping, return_exceptions=True)
            end_control(control, self._config.control_socket)
            if observations is not None:
                observations.close()
            await self.supervisor.stop()
            await asyncio.to_thread(self.mqtt.stop)

    # -- links
    def _next_session(self) -> int:
        self._connections += 1
        return connection_number(
            enrolled_at=self.view.identity.enrolled.extra.get("enrolled_at"),
            boots=self._boots,
            connections=self._connections,
        )

    def _connected(self) -> None:
        self.incoming.heard()
        log.info("mqtt connected")
        self.uplink.connected()

    def _pump(self) -> None:
        if self.mqtt.up:
            self.uplink.pump()

    async def _obey(self, suffix: Suffix, payload: bytes) -> None:
        if suffix is Suffix.ACK:
            self.uplink.acknowledged(Ack.parse(payload))
        elif suffix is Suffix.DESIRED and payload:
            await self.supervisor.receive_desired(payload)
        elif suffix is Suffix.CMD:
            await self._commands().receive(payload)

    def _commands(self) -> Commands:
        """Loaded when the first one comes: most devices are not asked anything for weeks."""
        if self._asked is None:
            from limosa_agent.control.commands import Commands

            self._asked = Commands(self.view, send=self.mqtt.answer)
        return self._asked

    def _adopt(self, identity: Identity) -> None:
        self.supervisor.https.adopt(identity)
        self.uplink.adopt(identity.key)
