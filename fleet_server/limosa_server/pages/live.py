"""`/events/stream`: tells open pages what has changed, after each commit, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from limosa_contracts.errors import NotAuthenticated
from limosa_server.api.state import State
from limosa_server.pages.errors import TooManyFollowers
from limosa_server.pages.guard import SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.session import Session, caller_of
from limosa_server.state import ServerState
from limosa_server.store import Store

router = page_router()
RETRY_MS: Final = 3000
STOPPING: Final = "server stopping"
"""Announced when the process is about to end: no page may keep it waiting."""
BEGIN: Final = f"retry: {RETRY_MS}\nevent: hello\ndata: []\n\n"
HEARTBEAT: Final = ": still here\n\n"


class Followers:
    """How many pages follow one server."""

    def __init__(self) -> None:
        self.count = 0

    def check(self) -> None:
        """Raises TooManyFollowers."""
        if self.count >= LIMITS.followers_max:
            raise TooManyFollowers(f"{self.count} pages follow already", where="/events/stream")


@router.get("/events/stream")
async def stream(request: Request, state: State, who: SignedIn) -> Response:
    """`event: changed`, `data:` the announced topics as a JSON array."""
    followers = _followers(request)
    followers.check()
    return StreamingResponse(
        _news(state, who.session, followers),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _followers(request: Request) -> Followers:
    app = request.app
    if not hasattr(app.state, "followers"):
        app.state.followers = Followers()
    found: Followers = app.state.followers
    return found


class Announcements:
    """Topics from committing threads, gathered for one page in its event loop."""

    def __init__(self, store: Store) -> None:
        self._loop = asyncio.get_running_loop()
        self._topics: set[str] = set()
        self._some = asyncio.Event()
        self.stop = store.listen(self._announced)

    def _announced(self, topics: frozenset[str]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._take, topics)
        except RuntimeError:
            self.stop()  # the loop has ended: nobody reads this page any more

    def _take(self, topics: frozenset[str]) -> None:
        self._topics |= topics
        self._some.set()

    async def next(self, *, timeout_s: float) -> list[str]:
        """What was announced since the last call; nothing after `timeout_s`."""
        try:
            await asyncio.wait_for(self._some.wait(), timeout_s)
        except TimeoutError:
            return []
        if STOPPING not in self._topics:
            await asyncio.sleep(LIMITS.gather_s)
        topics, self._topics = sorted(self._topics), set()
        self._some.clear()
        return topics


async def _news(state: ServerState, session: Session, followers: Followers) -> AsyncIterator[str]:
    announcements = Announcements(state.store)
    loop = asyncio.get_running_loop()
    checked = loop.time()
    followers.count += 1
    try:
        yield BEGIN
        while True:
            topics = await announcements.next(timeout_s=LIMITS.heartbeat_s)
            if loop.time() - checked >= LIMITS.heartbeat_s:
                checked = loop.time()
                if not await run_in_threadpool(_still_valid, state, session):
                    return
            if STOPPING in topics:
                return
            if topics:
                yield f"event: changed\ndata: {json.dumps(topics)}\n\n"
                await asyncio.sleep(LIMITS.news_every_s - LIMITS.gather_s)
            else:
                yield HEARTBEAT
    finally:
        announcements.stop()
        followers.count -= 1


def _still_valid(state: ServerState, session: Session) -> bool:
    if state.clock() >= session.expires_at:
        return False
    try:
        caller_of(state, session)
    except NotAuthenticated:
        return False
    return True
