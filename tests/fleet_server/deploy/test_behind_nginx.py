"""The server as it stands in production: nginx ends TLS and sends the files, the broker runs by itself."""

from __future__ import annotations

import hashlib
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from limosa_contracts.oci import digest_of
from limosa_server.deploy.nginx_config import BLOBS_LOCATION, Site
from limosa_server.errors import ListenRefused
from limosa_server.mqtt.broker_config import BrokerTls
from limosa_server.mqtt.external_broker import ExternalBroker
from limosa_server.settings import ServerSettings
from tests.fleet_server.deploy.production import Production, ready_line, running_production
from tests.fleet_server.mqtt_device import connected
from tests.fleet_server.publishing import push_blob
from tests.fleet_server.world import MODEL, Device
from tests.support.processes import Processes
from tests.support.waiting import wait_until

WEIGHTS = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def site(tmp_path: Path, processes: Processes) -> Iterator[Production]:
    with running_production(processes, tmp_path) as running:
        yield running


def test_nginx_sends_the_bytes_and_the_server_says_who_may_have_them(site: Production) -> None:
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    url = f"/v2/{MODEL}/blobs/{digest_of(WEIGHTS)}"
    inside = f"{BLOBS_LOCATION}{sha256[:2]}/{sha256}"
    with site.http() as http, site.http(token=False) as stranger:
        push_blob(http, {}, WEIGHTS)
        whole = http.get(url)
        assert (whole.status_code, whole.content == WEIGHTS) == (200, True)
        assert whole.headers["server"].startswith("nginx")
        assert whole.headers["content-security-policy"] == "default-src 'none'; sandbox"
        part = http.get(url, headers={"Range": "bytes=1000000-"})
        assert (part.status_code, part.content == WEIGHTS[1_000_000:]) == (206, True)
        assert part.headers["content-range"] == f"bytes 1000000-{len(WEIGHTS) - 1}/{len(WEIGHTS)}"
        assert http.get(url, headers={"Range": "bytes=9000000-"}).status_code == 416
        known = http.get(url, headers={"If-None-Match": whole.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        assert http.head(url).headers["content-length"] == str(len(WEIGHTS))

        assert stranger.get(url).status_code == 401
        assert stranger.get(inside).status_code == 404, "what is internal does not exist from outside"
        assert http.get(inside).status_code == 404
        assert http.get(f"{BLOBS_LOCATION}../../limosa.db").status_code == 404
        unknown = http.get(f"/v2/{MODEL}/blobs/sha256:{'0' * 64}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "LM-604")
    data = site.settings.data
    assert stat.S_IMODE((data / "blobs/sha256" / sha256[:2] / sha256).stat().st_mode) & 0o040
    assert stat.S_IMODE(data.stat().st_mode) & 0o077 == 0o010, "nginx passes through, and reads nothing else"
    for private in (data / "trust" / "keys", data / "limosa.db", data / "admin.token"):
        assert stat.S_IMODE(private.stat().st_mode) & 0o077 == 0, private


def test_devices_talk_over_the_broker_of_its_own_and_a_revoked_one_is_put_out(site: Production) -> None:
    said = ready_line(site.server)
    assert said["url"] == site.settings.public_url
    device = site.enroll()
    assert device.enrolled is not None
    assert (device.enrolled.mqtt_port, device.enrolled.mqtt_tls) == (site.settings.mqtt_port, True)
    with connected(device.id, port=device.enrolled.mqtt_port, tls=identity(site, device)) as link:
        link.send(device.event("k1"))
        link.wait_for_ack(1)
        with site.http() as http:
            assert http.post(f"/api/v1/devices/{device.id}/revoke", json={}).status_code in (200, 204)
        wait_until(lambda: not link.client.is_connected(), timeout_s=30, what="the revoked device is put out")


def test_server_outlives_its_broker_and_devices_outlive_the_server(site: Production) -> None:
    device = site.enroll()
    assert device.enrolled is not None
    site.server.popen.send_signal(signal.SIGKILL)
    site.server.popen.wait(10)
    with connected(device.id, port=device.enrolled.mqtt_port, tls=identity(site, device)) as link:
        assert link.client.is_connected(), "the broker is not the server's child"


def test_only_a_mosquitto_is_ever_told_to_reload(tmp_path: Path, processes: Processes) -> None:
    """The number in the file may have been given to another program since."""
    other = processes.start(["sleep", "600"], name="sleep")
    (tmp_path / "mosquitto.pid").write_text(f"{other.pid}\n")
    broker = ExternalBroker(tmp_path, host="localhost", port=1)
    assert broker.pid is None
    broker.reload()
    (tmp_path / "mosquitto.pid").write_text("not a number")
    broker.reload()
    assert other.running


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "0.0.0.0", "public_url": "https://fleet.example"},
        {"host": "127.0.0.1", "public_url": "http://fleet.example"},
        {"host": "127.0.0.1", "public_url": ""},
    ],
)
def test_behind_a_proxy_nobody_else_may_reach_what_is_not_encrypted(
    tmp_path: Path, fields: dict[str, str]
) -> None:
    with pytest.raises(ListenRefused):
        ServerSettings(
            data=tmp_path, behind_proxy="nginx", host=fields["host"], public_url=fields["public_url"]
        )


@pytest.mark.parametrize("word", ["/a b", "/a;", '/a"', "/a{", "/a\n"])
def test_words_that_would_end_a_directive_are_refused(tmp_path: Path, word: str) -> None:
    settings = ServerSettings(data=tmp_path, public_url="https://fleet.example", behind_proxy="nginx")
    with pytest.raises(Exception, match="nginx"):
        Site(settings=settings, certificate=Path(word), key=Path("/k")).text()


def identity(site: Production, device: Device) -> BrokerTls:
    assert device.enrolled is not None
    folder = site.folder
    files = BrokerTls(ca=folder / "ca.pem", certificate=folder / "d.crt", key=folder / "d.pem")
    files.ca.write_text(device.enrolled.ca_pem)
    files.certificate.write_text(device.enrolled.certificate_pem)
    files.key.write_bytes(device.key.pem())
    return files
