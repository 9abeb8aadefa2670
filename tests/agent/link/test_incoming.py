"""What a broker may throw at a device in one go (agent 6)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from limosa_agent.link.incoming import DESIRED_BURST, Incoming
from limosa_contracts.topics import Suffix


def test_flood_of_documents_is_worked_off_slowly_and_the_newest_wins() -> None:
    obeyed: list[tuple[Suffix, bytes]] = []
    newest = asyncio.Event()

    async def obey(suffix: Suffix, payload: bytes) -> None:
        obeyed.append((suffix, payload))
        if payload == b"499":
            newest.set()

    async def flood() -> None:
        incoming = Incoming(obey=obey, desired_every_s=0.2)
        running = asyncio.create_task(incoming.run())
        for number in range(500):
            incoming.take(Suffix.DESIRED, b"%d" % number)
            if number % 10 == 0:
                incoming.take(Suffix.ACK, b"ack")
                await asyncio.sleep(0)
        await asyncio.wait_for(newest.wait(), 20)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(flood())
    documents = [payload for suffix, payload in obeyed if suffix is Suffix.DESIRED]
    assert len(documents) <= DESIRED_BURST + 20
    assert documents == sorted(documents, key=int)
    assert sum(suffix is Suffix.ACK for suffix, _ in obeyed) == 50, "acknowledgements do not wait for them"


def test_document_that_could_not_be_stored_comes_again() -> None:
    tries: list[bytes] = []
    again = asyncio.Event()

    async def obey(suffix: Suffix, payload: bytes) -> None:
        tries.append(payload)
        if len(tries) == 1:
            raise OSError("no space left on device")
        again.set()

    async def store() -> None:
        incoming = Incoming(obey=obey)
        running = asyncio.create_task(incoming.run())
        incoming.take(Suffix.DESIRED, b"one")
        await asyncio.wait_for(again.wait(), 20)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(store())
    assert tries == [b"one", b"one"]
