"""What a broker, a captured director or a stranger may put on the desired topic (trust 4.2)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.store.state_db import StateDb
from limosa_contracts.errors import TrustError
from tests.agent.attacks.on_desired import ATTACKS, DEVICE, DIRECTOR, NEXT, NOW, OBEYED, envelope


class Device:
    """The inbox of a device on a real database; `told` are the codes of its alarms."""

    def __init__(self, folder: Path) -> None:
        self.db = StateDb.open(folder)
        self.told: list[str] = []
        self.inbox = DesiredInbox(
            self.db, device=DEVICE, refresh=self._refresh, alarm=self._alarm, clock=lambda: NOW
        )

    async def _refresh(self) -> str | None:
        return DIRECTOR.public.pem().decode()

    def _alarm(self, key: str, error: TrustError) -> None:
        self.told.append(error.code)

    def receive(self, data: bytes) -> bool:
        return asyncio.run(self.inbox.receive(data))


@pytest.mark.parametrize("name", ATTACKS)
def test_desired_state_that_may_not_be_obeyed_changes_nothing(name: str, tmp_path: Path) -> None:
    make, codes = ATTACKS[name]
    device = Device(tmp_path)
    assert device.receive(envelope(OBEYED))
    assert not device.receive(make())
    assert device.inbox.state == OBEYED
    assert set(device.told) <= set(codes), device.told
    assert device.told, "an attack is told of"
    device.db.close()
    again = Device(tmp_path)
    assert again.inbox.state == OBEYED, "nor after a restart"
    assert again.receive(envelope(NEXT)), "the next honest document is obeyed"
    again.db.close()
