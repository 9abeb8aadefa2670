"""Commands from an operator to a device and back: a real agent, a real mosquitto with its access rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limosa_contracts.device_command import (
    ANSWER_TYPE,
    COMMAND_TYPE,
    CommandAnswer,
    DeviceCommand,
    Kind,
    Outcome,
)
from limosa_contracts.dsse import Envelope
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix, device_topic
from limosa_server.access.roles import Role
from limosa_server.fleet import device_commands
from limosa_server.mqtt import outbox
from limosa_server.tables.commands import CommandRow
from limosa_server.tables.devices import Device as DeviceRow
from tests.fleet_server.fleet.conftest import Limosa
from tests.fleet_server.fleet.real_agent import RealAgent, running_agent
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.secured_broker import Secured
from tests.fleet_server.world import Device, Fleet
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs_mosquitto
SECRET = "s3cretcanary"


@pytest.fixture
def agent(secured: Secured, processes: Processes, tmp_path: Path) -> Iterator[RealAgent]:
    with running_agent(secured, processes, tmp_path / "device", identify=["/bin/true"]) as running:
        yield running


def ask(fleet: Fleet, device: str, **body: Any) -> dict[str, Any]:
    answer = fleet.http.post(
        f"/api/v1/devices/{device}/commands", json=body, headers=fleet.headers(Role.OPERATOR)
    )
    assert answer.status_code == 201, answer.text
    asked: dict[str, Any] = answer.json()
    return asked


def state_of(fleet: Fleet, device: str, command: str) -> dict[str, Any]:
    path = f"/api/v1/devices/{device}/commands/{command}"
    found: dict[str, Any] = fleet.http.get(path, headers=fleet.headers(Role.OPERATOR)).json()
    return found


def set_online(fleet: Fleet, device: str) -> None:
    with fleet.state.store.transaction() as tx:
        tx.get_one(DeviceRow, device).online = True


def test_an_operator_reads_a_devices_log_its_status_and_who_it_is(
    agent: RealAgent, limosa: Limosa, capsys: pytest.CaptureFixture[str]
) -> None:
    log = agent.folder / "state" / "logs" / "agent.jsonl"
    wait_until(log.exists, timeout_s=20, what="the agent has a log")
    with log.open("a") as file:  # as an agent wrote it that did not know a secret when it saw one
        file.write(json.dumps({"level": "error", "part": "x", "message": f"password={SECRET}"}) + "\n")
    assert limosa("device", "logs", agent.id, "--lines", 5) == 0
    out = capsys.readouterr().out
    assert "password=***" in out
    assert SECRET not in out
    assert limosa("device", "status", agent.id) == 0
    out = capsys.readouterr().out
    assert "up" in out
    assert "no model yet" in out
    assert limosa("device", "identify", agent.id, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answer"]["program"] == "ran"
    audited = agent.secured.fleet.http.get("/api/v1/audit", headers=agent.secured.fleet.headers()).json()
    kinds = [row["after"]["kind"] for row in audited["items"] if row["action"] == "device.command"]
    assert sorted(kinds) == ["identify", "logs", "status"]
    assert agent.process.stop() == 0
    agent.wait_for(online=False)
    assert limosa("device", "logs", agent.id) == 6
    assert "LM-663" in capsys.readouterr().err


def test_a_device_obeys_nobody_but_the_director_and_nothing_twice(agent: RealAgent) -> None:
    fleet, now = agent.secured.fleet, agent.secured.fleet.clock.now
    director = fleet.state.trust.key("director")
    stranger = SigningKey.generate(Algorithm.ED25519)

    def put(name: str, *, device: str = agent.id, life_s: float = 60, key: SigningKey = director) -> None:
        one = DeviceCommand(
            id=name, device=device, kind=Kind.IDENTIFY, issued=now - 100, expires=now + life_s
        )
        envelope = Envelope.sign(one.encode(), payload_type=COMMAND_TYPE, key=key).encode()
        with fleet.state.store.transaction() as tx:
            if tx.get(CommandRow, name) is None:
                tx.add(waiting(one))
            outbox.publish(tx, at=now, topic=device_topic(agent.id, Suffix.CMD), payload=envelope)

    put("forged", key=stranger)
    put("of-another", device=fleet.enroll().id)
    put("late", life_s=-50)
    put("twice")
    put("twice")
    put("last")
    wait_until(
        lambda: state_of(fleet, agent.id, "last")["state"] == "done",
        timeout_s=30,
        what=lambda: f"the last is answered:\n{agent.process.log()[-2000:]}",
    )
    assert state_of(fleet, agent.id, "twice")["state"] == "done"
    late = state_of(fleet, agent.id, "late")
    assert (late["state"], "clock" in late["why"]) == ("refused", True)
    with fleet.state.store.read() as tx:
        assert tx.get_one(CommandRow, "forged").state == "sent"
        assert tx.get_one(CommandRow, "of-another").state == "sent"
    assert agent.process.log().count("an operator asks which device this is") == 2


def waiting(one: DeviceCommand) -> CommandRow:
    return CommandRow(
        id=one.id, device=one.device, kind=one.kind.value,
        asked=one.as_json(), created_at=one.issued, created_by="test", expires_at=one.expires,
    )  # fmt: skip


def test_a_question_goes_to_one_device_with_its_answers_address_and_is_gone_when_it_is_late(
    secured: Secured,
) -> None:
    fleet, device = secured.fleet, secured.fleet.enroll()
    with connected(device.id, port=secured.broker.port, tls=secured.tls(device)) as link:
        set_online(fleet, device.id)
        asked = ask(fleet, device.id, kind="logs", lines=3, expires_in_s=60)
        message = link.received.get(timeout=20)
    assert message.topic == device_topic(device.id, Suffix.CMD)
    properties = vars(message.properties)
    assert properties["ResponseTopic"] == device_topic(device.id, Suffix.ANSWER)
    assert properties["CorrelationData"] == asked["id"].encode()
    assert 0 < properties["MessageExpiryInterval"] <= 60
    command = DeviceCommand.parse(Envelope.parse(bytes(message.payload), max_bytes=65536).payload)
    assert (command.kind, command.lines, command.expires - command.issued) == (Kind.LOGS, 3, 60)
    assert state_of(fleet, device.id, asked["id"])["state"] == "sent"
    fleet.clock.now += 61
    assert state_of(fleet, device.id, asked["id"])["state"] == "no_answer"


def answer_of(device: Device, command: str, *, key: SigningKey | None = None, name: str = "") -> bytes:
    answer = CommandAnswer(
        id=command, device=name or device.id, at=1.0, outcome=Outcome.DONE, body={"lines": []}
    )
    return Envelope.sign(answer.encode(), payload_type=ANSWER_TYPE, key=key or device.key).encode()


def test_answers_that_a_device_did_not_sign_or_was_not_asked_for_count_for_nothing(fleet: Fleet) -> None:
    device, other = fleet.enroll(), fleet.enroll()
    set_online(fleet, device.id)
    asked = ask(fleet, device.id, kind="status")["id"]
    bad = [
        (device.id, b"{"),
        (device.id, answer_of(device, asked, key=other.key)),
        (other.id, answer_of(other, asked)),
        (device.id, answer_of(device, asked, name=other.id)),
        (device.id, answer_of(device, "never-asked")),
    ]
    for one in bad:
        assert device_commands.take_answers(fleet.state.store, [one], now=fleet.clock.now) == 0
    assert state_of(fleet, device.id, asked)["state"] == "sent"
    good = (device.id, answer_of(device, asked))
    assert device_commands.take_answers(fleet.state.store, [good, good], now=fleet.clock.now) == 1
    assert device_commands.take_answers(fleet.state.store, [good], now=fleet.clock.now) == 0
    assert state_of(fleet, device.id, asked)["answer"] == {"lines": []}


def test_a_device_that_is_not_there_is_not_asked_and_one_is_not_asked_without_end(fleet: Fleet) -> None:
    device = fleet.enroll()
    path, headers = f"/api/v1/devices/{device.id}/commands", fleet.headers(Role.OPERATOR)
    offline = fleet.http.post(path, json={"kind": "logs"}, headers=headers)
    assert (offline.status_code, offline.json()["code"]) == (409, "LM-663")
    set_online(fleet, device.id)
    for _ in range(device_commands.OPEN_MAX):
        ask(fleet, device.id, kind="identify")
    full = fleet.http.post(path, json={"kind": "logs"}, headers=headers)
    assert (full.status_code, full.json()["code"]) == (409, "LM-664")
    fleet.clock.now += 301
    ask(fleet, device.id, kind="logs")
    viewer = fleet.http.post(path, json={"kind": "logs"}, headers=fleet.headers(Role.VIEWER))
    assert viewer.status_code == 403
    listed = fleet.http.get(path, headers=headers).json()["items"]
    assert [one["state"] for one in listed].count("no_answer") == device_commands.OPEN_MAX
    with fleet.state.store.transaction() as tx:
        device_commands.forget(tx, now=fleet.clock.now + device_commands.KEPT_S + 1)
    assert fleet.http.get(path, headers=headers).json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "shell"},
        {"kind": "logs", "lines": 501},
        {"kind": "logs", "expires_in_s": 3600},
        {"kind": "logs", "run": "x"},
    ],
)
def test_what_is_no_command_is_refused(fleet: Fleet, body: dict[str, Any]) -> None:
    device = fleet.enroll()
    set_online(fleet, device.id)
    path = f"/api/v1/devices/{device.id}/commands"
    assert fleet.http.post(path, json=body, headers=fleet.headers(Role.OPERATOR)).status_code == 422
