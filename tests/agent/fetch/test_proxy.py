"""A device behind an HTTP proxy: a tunnel for what leaves the machine, and nothing else for the proxy."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_agent.config import AgentConfig
from limosa_agent.errors import ConfigInvalid
from limosa_agent.fetch.errors import ProxyRefused
from limosa_agent.fetch.proxy import Proxy, connect
from limosa_agent.link.https import exchange, tls_context
from limosa_compiler.trust.ceremony import make_keys
from limosa_contracts.errors import LinkLost, TransferError, Unreachable
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject
from tests.agent.fetch.world import QUICK, World
from tests.support.connect_proxy import ConnectProxy, connect_proxy
from tests.support.hostile_server import hostile_server
from tests.support.ports import free_port

HOST = "fleet.test"


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with connect_proxy() as running:
        yield running


@pytest.fixture
def far(tmp_path: Path) -> Iterator[World]:
    """A fleet server with TLS, under a name that is no loopback: it is reached through a proxy only."""
    with hostile_server() as plain:
        world = World.make(plain, tmp_path / "device")
        tls = make_keys(team="demo", now=world.now, dev=True, hosts=[HOST])
        for name in ("server.crt", "server.pem", "ca.crt"):
            (tmp_path / name).write_bytes(tls.server[name])
        with hostile_server(tls=(tmp_path / "server.crt", tmp_path / "server.pem")) as server:
            server.files = plain.files
            server.url = server.url.replace("127.0.0.1", HOST)
            yield replace(world, server=server)


def ca_of(world: World) -> Path:
    return world.device.parent / "ca.crt"


def table(proxy: ConnectProxy, **more: object) -> JsonObject:
    return {"url": proxy.url, **more}  # type: ignore[dict-item]  # values of a JSON object


def of(proxy: ConnectProxy, **more: object) -> Proxy:
    return Proxy.parse(Fields(table(proxy, **more), where="proxy"))


def test_a_release_comes_through_a_tunnel_and_the_proxy_sees_a_host_and_no_token(
    far: World, proxy: ConnectProxy
) -> None:
    got = far.fetch(far.publish("1.0.0"), ca_file=str(ca_of(far)), proxy=table(proxy))
    assert not got.error, got.error
    target = far.server.url.removeprefix("https://")
    assert {head.split("\r\n")[0] for head in proxy.heads} == {f"CONNECT {target} HTTP/1.1"}
    assert "device-token" not in "".join(proxy.heads)
    assert far.server.asked_for("/v2/")[0].authorization == "Bearer device-token"


def test_reports_and_tokens_go_through_the_same_proxy(far: World, proxy: ConnectProxy) -> None:
    context = tls_context([ca_of(far)])
    answer = exchange(far.server.url, "GET", "/tuf/metadata/timestamp.json", context=context, proxy=of(proxy))
    assert answer.status == 200
    assert len(proxy.heads) == 1


def test_a_login_is_read_from_its_file_and_sent_to_the_proxy_alone(
    far: World, proxy: ConnectProxy, tmp_path: Path
) -> None:
    login = tmp_path / "login"
    login.write_text("dev:s3cret-canary\n")
    login.chmod(0o600)
    got = far.fetch(far.publish("1.0.0"), ca_file=str(ca_of(far)), proxy=table(proxy, login_file=str(login)))
    assert not got.error, got.error
    sent = base64.b64encode(b"dev:s3cret-canary").decode()
    assert all(f"Proxy-Authorization: Basic {sent}\r\n" in head for head in proxy.heads)
    assert "s3cret-canary" not in repr(of(proxy, login_file=str(login)))
    login.chmod(0o644)
    refused = far.fetch(ca_file=str(ca_of(far)), proxy=table(proxy, login_file=str(login)))
    assert refused.failed("transfer", "LM-527")
    assert "s3cret-canary" not in str(refused.error)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ProxyRefused),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", ProxyRefused),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", ProxyRefused),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", LinkLost),
        (b"HTTP/1.1 502 Bad Gate", Unreachable),  # and closes
    ],
)
def test_a_proxy_that_refuses_or_lies_is_named(
    proxy: ConnectProxy, said: bytes, error: type[TransferError]
) -> None:
    proxy.answer = said
    with pytest.raises(error):
        connect("fleet.invalid", free_port(), proxy=of(proxy), timeout_s=5.0)


def test_a_proxy_that_never_answers_is_given_up(far: World, proxy: ConnectProxy) -> None:
    proxy.silent = True
    quick = {**QUICK, "connect_timeout_s": 0.3}
    assert far.fetch(ca_file=str(ca_of(far)), proxy=table(proxy), limits=quick).failed("transfer", "LM-301")


def test_loopback_and_named_hosts_pass_by_the_proxy(world: World, proxy: ConnectProxy) -> None:
    assert not world.fetch(world.publish("1.0.0"), proxy=table(proxy)).error
    assert proxy.heads == []


def test_the_environment_names_no_proxy(
    world: World, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert not world.fetch(world.publish("1.0.0")).error
    assert proxy.heads == []


@pytest.mark.parametrize(
    "url",
    [
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://proxy.example",
        "http://user:secret@proxy.example:3128",
        "http://proxy.example:99999",
        "proxy.example:3128",
        "http://proxy.example:3128/path",
    ],
)
def test_what_is_no_address_of_a_proxy_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        AgentConfig.parse(f'server = "https://fleet.example"\n[proxy]\nurl = "{url}"')
    assert "secret" not in str(refused.value) or url.count("secret") == 0


@given(
    host=st.sampled_from(["proxy.lan", "10.0.0.1", "::1"]),
    port=st.integers(1, 65535),
    direct=st.lists(st.sampled_from([".lan", "fleet.example", "10.0.0.7"]), max_size=3).map(tuple),
)
def test_the_table_of_a_proxy_survives_the_way_to_a_fetch_child(
    host: str, port: int, direct: tuple[str, ...]
) -> None:
    proxy = Proxy(host=host, port=port, direct=direct, login_file=Path("/etc/limosa/login"))
    assert Proxy.parse(Fields(proxy.as_json(), where="proxy")) == proxy


def test_a_proxy_that_drips_is_given_up_like_one_that_is_silent() -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            client, _ = listening.accept()
            with client, suppress(OSError):
                while not ended.wait(0.05):
                    client.sendall(b"H")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            slow = Proxy(host="127.0.0.1", port=listening.getsockname()[1])
            began = time.monotonic()
            with pytest.raises(Unreachable):
                connect("fleet.example", 443, proxy=slow, timeout_s=0.5)
            assert time.monotonic() - began < 10.0, "eight thousand bytes, one at a time, take seven minutes"
        finally:
            ended.set()
            dripping.join()
