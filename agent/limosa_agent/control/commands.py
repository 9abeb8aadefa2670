"""What an operator of the fleet asks this device over the broker: logs, status, identify (server 3.1).

Nothing here changes what the device runs. An answer is bounded and without secrets, goes out once, and
is lost where nobody hears it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from limosa_agent.control.status import status
from limosa_agent.control.view import AgentView
from limosa_agent.health.probe_config import RunProgram
from limosa_agent.health.probe_program import run_program
from limosa_agent.installed import installed_version
from limosa_agent.link.trickle import Trickle
from limosa_agent.logs.line import redacted
from limosa_agent.logs.reading import Wanted, newest
from limosa_contracts.device_command import (
    ANSWER_MAX_BYTES,
    ANSWER_TYPE,
    COMMAND_TYPE,
    CommandAnswer,
    DeviceCommand,
    Kind,
    Outcome,
)
from limosa_contracts.dsse import Envelope
from limosa_contracts.json_value import JsonObject, JsonValue

log = logging.getLogger(__name__)

BURST: Final = 10  # commands that are obeyed as they come;
EVERY_S: Final = 5.0  # then one in this time: each reads files
WAITING_MAX: Final = 8  # one is worked off after the other; whoever asks for more gets no answer
REMEMBERED: Final = 64  # commands that are known when they come a second time
IDENTIFY_S: Final = 10.0  # for the program that makes the device noticed
LINE_MAX_CHARS: Final = 4000  # of one text in an answer


class Commands:
    """`send(payload, id)` hands an answer to the link."""

    def __init__(self, view: AgentView, *, send: Callable[[bytes, str], bool]) -> None:
        self._view = view
        self._send = send
        self._pace = Trickle(burst=BURST, every_s=EVERY_S)
        self._known: deque[str] = deque(maxlen=REMEMBERED)
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()

    async def receive(self, envelope: bytes) -> None:
        """Raises what makes it none of ours; the work itself goes on beside the link."""
        if not self._pace.allows(now_s=time.monotonic()):
            return  # whoever floods a device with commands gets no answers
        inbox = self._view.supervisor.inbox
        command = DeviceCommand.parse(await inbox.verified(envelope, payload_type=COMMAND_TYPE))
        if command.device != self._view.identity.device or command.id in self._known:
            return  # another's, or once more: brokers repeat
        self._known.append(command.id)
        if len(self._under_way) >= WAITING_MAX:
            return
        task = asyncio.create_task(self._answer(command), name="command")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _answer(self, command: DeviceCommand) -> None:
        late_s = self._view.supervisor.inbox.now - command.expires
        if late_s > 0:
            why = f"by this device's clock it expired {late_s:.0f} s ago"
            answer = self._of(command, {}, refused=why)
        else:
            try:
                async with self._turn:
                    body = await ANSWERS[command.kind](self._view, command)
                answer = bounded(self._of(command, body))
            except Exception as error:
                log.exception("a command was not carried out")
                answer = self._of(command, {}, refused=f"it failed: {type(error).__name__}")
        signed = Envelope.sign(answer.encode(), payload_type=ANSWER_TYPE, key=self._view.uplink.key)
        if not self._send(signed.encode(), command.id):
            log.info("an answer to %s found no link", command.kind.value)

    def _of(self, command: DeviceCommand, body: JsonObject, *, refused: str = "") -> CommandAnswer:
        return CommandAnswer(
            id=command.id,
            device=command.device,
            at=max(0.0, time.time()),
            outcome=Outcome.REFUSED if refused else Outcome.DONE,
            why=refused,
            body=body,
        )


async def _logs(view: AgentView, command: DeviceCommand) -> JsonObject:
    wanted = Wanted(level=command.level, model=command.model, since=command.since)
    lines = await asyncio.to_thread(_lines, view.config.state_dir, wanted, command.lines)
    return {"lines": lines}


def _lines(state_dir: Path, wanted: Wanted, most: int) -> list[JsonValue]:
    # Redacted when they were written; once more, for lines of an agent that knew fewer secrets.
    return [without_secrets(line) for line in newest(state_dir, wanted, lines=most)]


async def _status(view: AgentView, command: DeviceCommand) -> JsonObject:
    view.supervisor.said.report_again()  # and what the server keeps of it is made new
    found = without_secrets(await status(view, {}))
    assert isinstance(found, dict)
    return found


async def _identify(view: AgentView, command: DeviceCommand) -> JsonObject:
    log.warning("an operator asks which device this is: it is %s", view.identity.device)
    words = view.config.identify
    ran, said = (False, "")
    if words:
        ran, said = await run_program(RunProgram(words=words), timeout_s=IDENTIFY_S)
    return {
        "hostname": socket.gethostname(),
        "agent": installed_version("limosa") or "0.0.0",
        "program": "none" if not words else "ran" if ran else "failed",
        "said": redacted(said),
    }


ANSWERS: Final[dict[Kind, Callable[[AgentView, DeviceCommand], Awaitable[JsonObject]]]] = {
    Kind.LOGS: _logs,
    Kind.STATUS: _status,
    Kind.IDENTIFY: _identify,
}


def without_secrets(value: JsonValue) -> JsonValue:
    """The value with every text in it redacted and bounded."""
    if isinstance(value, str):
        return redacted(value)[:LINE_MAX_CHARS]
    if isinstance(value, (list, tuple)):
        return [without_secrets(one) for one in value]
    if isinstance(value, dict):
        return {str(name): without_secrets(one) for name, one in value.items()}
    return value


def bounded(answer: CommandAnswer) -> CommandAnswer:
    """What fits into one message: of a log its newest lines, of a list of models the first ones."""
    while len(answer.encode()) > ANSWER_MAX_BYTES:
        for name, newest_last in (("lines", True), ("models", False)):
            value = answer.body.get(name)
            if isinstance(value, list) and value:
                half = value[(len(value) + 1) // 2 :] if newest_last else value[: len(value) // 2]
                answer = replace(answer, cut=True, body={**answer.body, name: half})
                break
        else:
            return replace(answer, cut=True, body={})
    return answer
