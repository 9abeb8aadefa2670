"""What is recorded: the agent's own code, as a child of `tests.crash.stage` runs it.

A program takes its arguments and a marker: a mark is a promise that has just been made, so that every
later crash state must keep it. It returns whether it succeeded; an error of the agent is no success.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from tuf.ngclient.updater import Updater

from limosa_agent.fetch.main import answer
from limosa_agent.fetch.paths import ModelPaths
from limosa_agent.fetch.slots import collect
from limosa_agent.fetch.tuf_client import DurableUpdater
from limosa_agent.identity.enroll import enroll
from limosa_agent.identity.identity import load_identity
from limosa_agent.identity.renew import renew
from limosa_agent.update.events import Healthy, LateFailure, SelfTestPassed, Unhealthy, Wanted, WindowOpened
from limosa_agent.update.state import Target
from limosa_contracts.errors import LimosaError
from limosa_contracts.event import Reason
from limosa_contracts.fields import Fields
from limosa_contracts.phases import Phase
from tests.crash.database_history import commits_are_marked
from tests.crash.disk_pool import agent, config_of, stopped

MODEL: Final = "demo/motion"
BAD: Final = Reason(code="error_rate", message="too many errors", evidence={"limit": 0.1})

ABSENT: Final = Target(version="1.0.0", index_sha256="a" * 64, rollout="r3", mode="absent")

Args: TypeAlias = Mapping[str, Any]


class Marker:
    """Calling it makes a promise."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, text: str) -> None:
        os.write(self._descriptor, f"{text}\n".encode())

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Marker]:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            yield cls(descriptor)
        finally:
            os.close(descriptor)


def fetch(args: Args, mark: Marker) -> bool:
    """A refresh, or an installation with all before it."""
    last = answer(json.dumps(args["request"]).encode(), lambda line: None)
    if "result" not in last:
        print(last)
        return False
    result = Fields(last["result"], where="fetch.result")
    if result.has("transfer"):
        mark(result.fields("transfer").text("way"))
    mark("fetched")
    return True


def stock_fetch(args: Args, mark: Marker) -> bool:
    """The same with the stock client's own way of writing files (trust 3.2): for comparison only."""
    with (
        patch.object(DurableUpdater, "_persist_file", Updater._persist_file),
        patch.object(DurableUpdater, "_update_root_symlink", Updater._update_root_symlink),
    ):
        return fetch(args, mark)


def collection(args: Args, mark: Marker) -> bool:
    collect(ModelPaths(Path(args["model_dir"])).folder, keep=args["keep"])
    mark("collected")
    return True


def enrolment(args: Args, mark: Marker) -> bool:
    try:
        enroll(config_of(Path(args["state_dir"]), args["server"]), token=args["token"], serial="")
    except LimosaError as error:
        print(error)
        return False
    mark("enrolled")
    return True


def renewal(args: Args, mark: Marker) -> bool:
    config = config_of(Path(args["state_dir"]), args["server"])
    try:
        renew(config, load_identity(config.identity_dir))
    except LimosaError as error:
        print(error)
        return False
    mark("renewed")
    return True


def update(args: Args, mark: Marker) -> bool:
    """From STAGED, or from COMMITTED, to the end of the attempt; or the model is not wanted any more."""
    return asyncio.run(_update(args, mark))


async def _update(args: Args, mark: Marker) -> bool:
    config = config_of(Path(args["state_dir"]), args["server"])
    with agent(config, around=partial(commits_are_marked, mark)) as booted:
        updater = booted.supervisor.updater
        await booted.supervisor.start()
        if args["verdict"] == "absent":
            await updater.dispatch(MODEL, Wanted(target=ABSENT))
        elif args["verdict"] == "late":
            await updater.dispatch(MODEL, LateFailure(reason=BAD))
        else:
            await updater.dispatch(MODEL, WindowOpened())
            await updater.dispatch(MODEL, SelfTestPassed())
            if updater.state(MODEL).phase is Phase.PROBATION:
                healthy = args["verdict"] == "healthy"
                served = booted.serving(MODEL) or ""
                verdict = Healthy(manifest_sha256=served) if healthy else Unhealthy(reason=BAD)
                await updater.dispatch(MODEL, verdict)
        booted.supervisor.report()
        mark("ended")
        await stopped(booted)
    return True


async def _desired(args: Args, mark: Marker) -> bool:
    config = config_of(Path(args["state_dir"]), args["server"])
    with agent(config, around=partial(commits_are_marked, mark)) as booted:
        await booted.supervisor.start()
        booted.supervisor.inbox._db.set_meta("director_pem", args["director"])
        if await booted.supervisor.inbox.receive(args["envelope"].encode()):
            mark("accepted")
        await stopped(booted)
    return True


def desired(args: Args, mark: Marker) -> bool:
    """The first start of an enrolled device, and the first desired state."""
    return asyncio.run(_desired(args, mark))


PROGRAMS: Final[Mapping[str, Callable[[Args, Marker], bool]]] = {
    "fetch": fetch,
    "stock fetch": stock_fetch,
    "collection": collection,
    "enrolment": enrolment,
    "renewal": renewal,
    "update": update,
    "desired": desired,
}
