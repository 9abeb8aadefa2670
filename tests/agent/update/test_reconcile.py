"""Going towards what is desired, where a director is captured or two come at once (agent 2, trust 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.link.outbox import Outbox
from limosa_agent.store.journal import Journal
from limosa_agent.store.state_db import StateDb
from limosa_agent.update.events import Event, Refused
from limosa_agent.update.gatekeeper import Gatekeeper
from limosa_agent.update.reconcile import Reconciler
from limosa_agent.update.state import Facts, ModelState
from limosa_agent.update.updater import Updater
from limosa_contracts.desired import DesiredModel
from limosa_contracts.event import Reason
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Phase
from tests.agent.attacks.on_desired import DEVICE, DIRECTOR, NOW, OBEYED, envelope
from tests.agent.test_power_cut import Device
from tests.agent.update.test_machine import committed

MANY = LIMITS.models_per_device_max


class Lanes:
    """The reconciler on a real database; its device is the one of the power cuts."""

    def __init__(self, folder: Path) -> None:
        self.db = StateDb.open(folder)
        self.clock = NOW
        self.effects = Device(folder=folder)
        self.outbox = Outbox(self.db, max_bytes=1 << 20)
        self.updater = Updater(self.db, self.outbox, self.effects, encode=lambda report: b"x")
        self.inbox = DesiredInbox(
            self.db,
            device=DEVICE,
            refresh=self._refresh,
            alarm=lambda key, error: None,
            clock=lambda: self.clock,
        )
        self.happened: list[tuple[str, str]] = []
        self.reconciler = Reconciler(
            updater=self.updater,
            inbox=self.inbox,
            gatekeeper=Gatekeeper(
                self.db,
                state_dir=folder,
                lock_dir=folder / "hold.d",
                time_floor=lambda: NOW,
                clock=lambda: NOW,
            ),
            facts=lambda: Facts(agent="1", capabilities_sha256="0" * 64, free_bytes=1),
            quarantine_s=60.0,
            dispatch=self._dispatch,
            may_begin=lambda: True,
        )

    async def _refresh(self) -> str | None:
        return DIRECTOR.public.pem().decode()

    async def _dispatch(self, key: str, event: Event) -> None:
        await asyncio.sleep(0)  # as where the lock of the updater is held
        self.happened.append((key, type(event).__name__))
        await self.updater.dispatch(key, event)

    async def obey(self, number: int, *models: DesiredModel) -> None:
        document = replace(OBEYED, counter=OBEYED.counter + number, models=models)
        assert await self.inbox.receive(envelope(document))
        await self.reconciler.run()


@contextmanager
def lanes(folder: Path) -> Iterator[Lanes]:
    made = Lanes(folder)
    try:
        yield made
    finally:
        made.db.close()


def made_up(number: int) -> list[DesiredModel]:
    return [
        DesiredModel(
            model=f"team-{number}/model-{i}",
            version="1.0.0",
            index_sha256="ab" * 32,
            mode="shadow" if i % 2 else "active",
        )
        for i in range(MANY)
    ]


def test_director_that_names_other_models_in_every_document_fills_neither_disk_nor_memory(
    tmp_path: Path,
) -> None:
    async def flood(device: Lanes) -> None:
        kept = committed(2)
        device.updater.repair(kept)
        device.updater.repair(ModelState(model="demo/removed", phase=Phase.REMOVED, committed_counter=7))
        for number in range(1, 8):
            await device.obey(number, *made_up(number))
            for model in made_up(number)[::4]:
                refused = Refused(reason=Reason(code="untrusted", message="no team signed it"))
                await device.updater.dispatch(model.model, refused)
        assert len(device.updater.lanes) <= 2 * MANY + 2
        assert device.updater.state("demo/motion") == kept
        assert device.updater.state("demo/removed").committed_counter == 7

    with lanes(tmp_path) as device:
        asyncio.run(flood(device))
        journal = Journal(device.db)
        assert journal.load() == device.updater.states
        assert journal.load_shadows() == device.updater.shadows


def test_what_came_over_the_link_and_the_supervisors_own_turn_do_not_open_one_way_twice(
    tmp_path: Path,
) -> None:
    async def both(device: Lanes) -> None:
        staged = [replace(committed(2), model=f"demo/m{i}", phase=Phase.STAGED) for i in range(2)]
        for state in staged:
            device.updater.repair(replace(state, candidate=state.active, active=None))
        await asyncio.gather(device.reconciler.run(), device.reconciler.run())
        assert device.happened == [("demo/m0", "WindowOpened")], "one lane at a time, and once"

    with lanes(tmp_path) as device:
        asyncio.run(both(device))


def test_update_that_came_while_the_clock_was_at_2100_begins_once_it_is_set(tmp_path: Path) -> None:
    async def clock_is_set(device: Lanes) -> None:
        device.clock = 4_102_444_800.0
        wanted = replace(OBEYED, counter=OBEYED.counter + 1, models=tuple(made_up(1)[:1]))
        assert not await device.inbox.receive(envelope(wanted))
        device.clock = NOW
        await device.reconciler.run()  # its first look at what may have changed
        assert device.happened == [("team-1/model-0", "Wanted")]

    with lanes(tmp_path) as device:
        asyncio.run(clock_is_set(device))
