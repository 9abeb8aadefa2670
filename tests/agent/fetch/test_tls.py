"""Over HTTPS only the fleet's own CA is believed (trust 6.2)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from limosa_compiler.trust.ceremony import make_keys
from tests.agent.fetch.world import QUICK, Published, World
from tests.support.hostile_server import hostile_server


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[World]:
    """The same world, with its server behind the certificate that the key ceremony made."""
    with hostile_server() as plain:
        world = World.make(plain, tmp_path / "device")
        (tmp_path / "server.crt").write_bytes(world.keys.server["server.crt"])
        (tmp_path / "server.pem").write_bytes(world.keys.server["server.pem"])
        (tmp_path / "ca.crt").write_bytes(world.keys.server["ca.crt"])
        with hostile_server(tls=(tmp_path / "server.crt", tmp_path / "server.pem")) as server:
            server.files = plain.files
            yield replace(world, server=server)


def ca_of(world: World) -> str:
    return str(world.device.parent / "ca.crt")


def release(world: World) -> Published:
    return world.publish("1.0.0")


def test_a_release_comes_over_https(secure: World) -> None:
    got = secure.fetch(release(secure), ca_file=ca_of(secure))
    assert not got.error, got.error


def test_a_server_of_another_ca_gets_no_request(secure: World, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(make_keys(team="demo", now=secure.now, dev=True).server["ca.crt"])
    for ca_file in (str(other), None):
        got = secure.fetch(release(secure), ca_file=ca_file)
        assert got.failed("transfer", "LM-302")
        assert "certificate" in str(got.error["why"]).lower()
    assert secure.server.asked == []


def test_a_certificate_for_another_name_is_refused(secure: World) -> None:
    url = secure.server.url.replace("127.0.0.1", "127.0.0.2")
    got = secure.fetch(release(secure), ca_file=ca_of(secure), server=url)
    assert got.error["kind"] == "transfer"
    assert secure.server.asked == []


def test_a_handshake_that_never_comes_is_given_up(secure: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        got = secure.fetch(
            release(secure), ca_file=ca_of(secure), server=url, limits={**QUICK, "idle_timeout_s": 0.4}
        )
        assert got.error["kind"] == "transfer"
