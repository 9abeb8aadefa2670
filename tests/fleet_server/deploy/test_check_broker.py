"""A broker that hangs takes connections all the same: the system does that for it. The check asks it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from limosa_server.deploy.check import check
from limosa_server.deploy.check_broker import check_broker
from limosa_server.mqtt.broker import BrokerChild
from limosa_server.mqtt.broker_config import IOTCORE, MOSQUITTO, Capabilities, mosquitto_config
from limosa_server.settings import ServerLimits
from tests.fleet_server.secured_broker import secured_broker
from tests.fleet_server.world import Fleet
from tests.support.programs import require_program

SHORT_S = 0.5


def said(folder: Path, *, answer_s: float = 20.0) -> list[tuple[bool, str]]:
    return [(one.bad, one.what) for one in check_broker(folder, answer_s=answer_s)]


@contextmanager
def configured(folder: Path, *, tls: bool) -> Iterator[socket.socket]:
    """A listener where the configuration says that the broker is."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        text = mosquitto_config(
            folder, host="0.0.0.0", port=listener.getsockname()[1], user="", tls=None, limits=ServerLimits()
        )
        (folder / "mosquitto.conf").write_text(text + ("cafile ca.crt\n" if tls else ""))
        yield listener


@pytest.mark.parametrize("tls", [False, True])
def test_whoever_takes_the_connection_and_says_nothing_hangs(tmp_path: Path, tls: bool) -> None:
    with configured(tmp_path, tls=tls):
        begun = time.monotonic()
        (found,) = check_broker(tmp_path, answer_s=SHORT_S)
        assert time.monotonic() - begun < 10 * SHORT_S, "it waits for no longer than it was told"
    assert (found.bad, "hangs" in found.what, "restart limosa-broker" in found.hint) == (True, True, True)
    assert found.where.startswith("mqtts://127.0.0.1:" if tls else "mqtt://127.0.0.1:")


def answer_in_http(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.recv(1)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with suppress(ConnectionError):
            peer.recv(1000)


@pytest.mark.parametrize("tls", [False, True])
def test_another_program_on_the_brokers_port_is_told_from_a_broker(tmp_path: Path, tls: bool) -> None:
    with configured(tmp_path, tls=tls) as listener:
        answering = Thread(target=answer_in_http, args=(listener,))
        answering.start()
        ((bad, what),) = said(tmp_path)
        answering.join(20)
    assert (bad, "is no MQTT broker" in what or "is no broker with TLS" in what) == (True, True), what


def test_a_broker_that_is_not_there_is_worth_a_note(tmp_path: Path) -> None:
    """A server that is stopped has none, if it starts it itself; it may be on another machine."""
    assert said(tmp_path) == []
    with configured(tmp_path, tls=True):
        pass
    assert said(tmp_path) == [(False, "no broker can be reached: Connection refused")]


@pytest.mark.parametrize("kind", [MOSQUITTO, IOTCORE])
def test_a_broker_that_answers_is_nothing_to_report(tmp_path: Path, kind: Capabilities) -> None:
    if kind is MOSQUITTO:
        require_program("mosquitto")
    broker = BrokerChild(kind, tmp_path, host="127.0.0.1", port=0, limits=ServerLimits(), tls=None)
    broker.start()
    try:
        assert said(tmp_path) == []
    finally:
        broker.stop()


def test_a_mosquitto_that_is_stopped_in_its_tracks_behind_its_certificates(
    fleet: Fleet, tmp_path: Path
) -> None:
    with secured_broker(fleet, tmp_path) as secured:
        settings = fleet.state.settings
        folder = settings.broker_folder
        assert said(folder) == [], "it says no to whoever has no certificate: that is an answer"
        pid = secured.broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            found = check(settings, settings.database, read_blobs=False)
            assert [one.what for one in found if one.bad] == [
                "the broker hangs: it takes connections, and has not answered for 5 s"
            ]
        finally:
            os.kill(pid, signal.SIGCONT)
        assert said(folder) == []
        assert secured.workers.bus.counts().connections == 1, "nobody took the server's own session over"
