"""What systemd hears of the agent: ready, alive while it gets on, nothing once it is stuck (agent 7)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from limosa_agent.service.notify import Notifier
from limosa_agent.service.watchdog import Watchdog
from tests.agent.device import Device
from tests.agent.fleet import Fleet
from tests.support.processes import script
from tests.support.waiting import wait_until


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end of the line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        yield line


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().splitlines()


def test_agent_is_told_nothing_outside_systemd() -> None:
    assert Notifier.from_environment({}, pid=7) == Notifier()
    Notifier().ready()


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_word_that_makes_no_sense_asks_for_no_watchdog(
    environment: dict[str, str], watchdog_s: float | None
) -> None:
    read = Notifier.from_environment({"NOTIFY_SOCKET": "/run/n", **environment}, pid=7)
    assert read == Notifier(address="/run/n", watchdog_s=watchdog_s)
    assert Notifier.from_environment({**environment, "NOTIFY_SOCKET": "vsock:2"}, pid=7) == Notifier()


def test_line_to_an_abstract_socket_and_to_nobody(manager: socket.socket) -> None:
    name = f"limosa-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind("\0" + name)
        Notifier(address=f"@{name}").alive("serves a\nREADY=0")
        assert heard(line) == ["WATCHDOG=1", "STATUS=serves a READY=0"], "a status is one line"
    Notifier(address=f"@{name}").ready()  # nobody listens any more: nothing is raised
    Notifier(address=manager.getsockname()).ready()
    assert heard(manager) == ["READY=1"]


def test_turn_that_takes_too_long_is_not_covered_by_the_loop_that_still_turns(
    manager: socket.socket,
) -> None:
    async def watched(turn_s: float) -> None:
        watchdog = Watchdog(Notifier(address=manager.getsockname(), watchdog_s=0.06), turn_max_s=5.0)
        watchdog.turn_s = lambda: turn_s
        task = asyncio.create_task(watchdog.run())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(watched(4.9))
    manager.setblocking(False)
    assert heard(manager)[0] == "WATCHDOG=1"
    with suppress(BlockingIOError):
        while heard(manager):
            pass
    asyncio.run(watched(5.1))
    with pytest.raises(BlockingIOError):
        heard(manager)


def test_running_agent_says_ready_then_lives_and_what_it_serves(
    device: Device, fleet: Fleet, manager: socket.socket
) -> None:
    address = str(manager.getsockname())
    environment = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000"}
    command = [script("limosa-agent"), "run", "--config", str(device.config)]
    device.process = device.processes.start(command, name="agent", env=environment)
    told: list[str] = []

    def says(text: str) -> bool:
        told.extend(heard(manager))
        return any(text in line for line in told)

    wait_until(lambda: says("READY=1"), timeout_s=30, what="READY=1")
    wait_until(lambda: says("STATUS=serves no model yet; mqtt down"), timeout_s=30, what="the status")
    fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
    wait_until(lambda: says("STATUS=serves demo/motion 1.0.0"), timeout_s=60, what="the model")
    workers = wait_until(lambda: _workers(device), timeout_s=30, what="the one that serves")
    assert any("onnxruntime" in maps for _, maps in workers), "the one before stands by, without a model"
    for environ, maps in workers:
        assert b"NOTIFY_SOCKET" not in environ, "a worker cannot speak for the agent"
        assert "cryptography" not in maps, "15 MB over its runtime is all it may take (agent 1)"
        assert "/_ssl." not in maps
    assert device.stop() == 0


def _workers(device: Device) -> list[tuple[bytes, str]]:
    """Environment and maps of those that live. The one before ends with the trial: maybe just now."""
    found = []
    for pid in json.loads(device.command("status", "--json").stdout)["workers"]:
        with suppress(FileNotFoundError, ProcessLookupError):
            process = Path(f"/proc/{pid}")
            found.append(((process / "environ").read_bytes(), (process / "maps").read_text()))
    return found


def test_request_that_comes_while_the_agent_is_restarted_waits_in_the_socket_of_the_unit(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()

        def start() -> None:  # as systemd does it: sockets from descriptor 3 on, and the pid they are for
            line = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            words = [script("limosa-agent"), "run", "--config", str(device.config)]
            os.set_inheritable(listening.fileno(), True)
            device.process = device.processes.start(
                ["bash", "-c", line, str(listening.fileno()), *words],
                name="agent",
                pass_fds=[listening.fileno()],
            )

        start()
        assert device.process is not None
        device.process.wait_for_log('"ready": true')
        device.ready = {"listen": f"{host}:{port}"}
        fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
        device.wait_for(lambda: fleet.serves("1.0.0") and "COMMITTED" in fleet.phases("r1"), "committed")
        device.kill()
        with socket.create_connection((host, port), 30) as client:  # nobody runs, and it is not refused
            client.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            start()
            client.settimeout(60)
            assert client.recv(12) == b"HTTP/1.1 200"
        assert device.ask(3.0) == 3.0
        assert device.stop() == 0


def test_socket_of_a_unit_that_does_not_listen_is_refused_with_a_hint(device: Device) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        os.set_inheritable(datagrams.fileno(), True)
        line = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        words = [script("limosa-agent"), "run", "--config", str(device.config)]
        done = subprocess.run(
            ["bash", "-c", line, str(datagrams.fileno()), *words],
            pass_fds=[datagrams.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, json.loads(done.stderr.splitlines()[-1])["error"]["code"]) == (1, "LM-519")
