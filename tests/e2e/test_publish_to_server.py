"""`limosa publish` against the real fleet server, over plain loopback and over TLS."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Targets

from limosa_compiler.artifact.archive_file import read_archive
from limosa_compiler.trust.ceremony import init_keys
from limosa_compiler.trust.errors import VersionTaken
from limosa_compiler.trust.offline_folder import open_team
from limosa_compiler.trust.publishing import Publisher
from limosa_compiler.trust.server_client import ClientLimits, FleetServer
from limosa_contracts.canonical import parse_json
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError, NotAuthorised
from limosa_contracts.evidence_statement import PAYLOAD_TYPE, EvidenceStatement
from limosa_contracts.fields import Fields
from tests.support.artifacts import small_artifact
from tests.support.processes import Processes, Started, script
from tests.support.programs import require_program

QUICK = ClientLimits(first_pause_s=0.01, chunk_bytes=500)


@dataclass
class Running:
    folder: Path
    url: str
    ca: Path | None
    process: Started

    @property
    def offline(self) -> Path:
        return self.folder / "offline"

    def server(self, token: str | None = None) -> FleetServer:
        admin = (self.folder / "data" / "admin.token").read_text().strip()
        return FleetServer(url=self.url, token=token or admin, ca=self.ca, limits=QUICK)

    def publisher(self, server: FleetServer, *, offline: Path | None = None) -> Publisher:
        folder = open_team(offline or self.offline, "demo", {})
        return Publisher(folder=folder, server=server, now=lambda: datetime.now(UTC))

    def token(self, role: str, team: str) -> str:
        with self.server() as server:
            body = json.dumps({"name": "ci", "role": role, "team": team}).encode()
            answer = server.request(
                "POST",
                "/api/v1/tokens",
                content=body,
                headers={"Content-Type": "application/json"},
                expected=(201,),
            )
            return Fields(parse_json(answer.content), where="token").text("token")


def start(processes: Processes, folder: Path, *, dev: bool) -> Running:
    words = [script("limosa"), "server", "run", "--data", str(folder / "data"), "--mqtt-port", "0"]
    mode = ["--dev"] if dev else []
    process = processes.start([*words, "--listen", "127.0.0.1:0", *mode], name="server")
    process.wait_for_log('"ready"', timeout_s=60)
    ready = next(json.loads(line) for line in process.log().splitlines() if line.startswith('{"ready"'))
    return Running(folder, ready["url"], None if dev else folder / "data/trust/ca.crt", process)


@pytest.fixture
def running(request: pytest.FixtureRequest, tmp_path: Path, processes: Processes) -> Running:
    """Plain loopback, or TLS where a test asks for it."""
    tls = getattr(request, "param", "plain") == "tls"
    if tls:
        require_program("mosquitto")
    init_keys(
        offline=tmp_path / "offline",
        server=tmp_path / "data/trust",
        team="demo",
        now=datetime.now(UTC),
        dev=True,
    )
    return start(processes, tmp_path, dev=not tls)


@pytest.mark.parametrize("running", ["plain", "tls"], indirect=True)
def test_release_is_published_once_and_never_changed(running: Running, tmp_path: Path) -> None:
    artifact = small_artifact(tmp_path, "demo/motion@1.0.0")
    with running.server(running.token("publisher", "demo")) as server:
        first = running.publisher(server).publish(read_archive(artifact))
        again = running.publisher(server).publish(read_archive(artifact))
        assert (first.already, again.already) == (False, True)
        assert again.pushed is not None
        assert again.pushed.blobs == 0
        changed = read_archive(small_artifact(tmp_path, "demo/motion@1.0.0", model=b"others"))
        with pytest.raises(VersionTaken):
            running.publisher(server).publish(changed)
        answer = server.request("GET", "/api/v1/releases", params={"model": "demo/motion"})
    (item,) = json.loads(answer.content)["items"]
    assert (item["index_sha256"], item["stage"]) == (first.signed.index.sha256, "staging")
    assert item["release_counter"] == first.target.custom.release_counter


def test_server_refuses_what_it_must_not_take(running: Running, tmp_path: Path) -> None:
    """A token of another team, and a bin whose blobs were never pushed: nothing is listed anywhere."""
    archive = read_archive(small_artifact(tmp_path, "demo/motion@1.0.0"))
    for token in (running.token("viewer", "demo"), running.token("publisher", "audio")):
        with running.server(token) as server, pytest.raises(NotAuthorised):
            running.publisher(server).publish(archive)
    alone = Publisher(folder=open_team(running.offline, "demo", {}), now=lambda: datetime.now(UTC))
    alone.publish(archive)
    with running.server() as server:
        publisher = running.publisher(server)
        with pytest.raises(LimosaError) as caught:
            publisher.sync()
        assert caught.value.exit_code in (2, 5)
        assert json.loads(server.request("GET", "/api/v1/releases").content)["items"] == []


def test_two_publishers_and_a_restored_folder_end_up_equal(running: Running, tmp_path: Path) -> None:
    colleague = tmp_path / "colleague"
    shutil.copytree(running.offline, colleague)
    with running.server() as server:
        for offline, release in (
            (running.offline, "1.0.0"),
            (colleague, "2.0.0"),
            (running.offline, "3.0.0"),
        ):
            artifact = small_artifact(tmp_path, f"demo/motion@{release}")
            running.publisher(server, offline=offline).publish(read_archive(artifact))
        for offline in (running.offline, colleague):
            assert running.publisher(server, offline=offline).sync() == ()
    listed = [
        {
            path: target.hashes
            for metadata in open_team(offline, "demo", {}).bins.values()
            for path, target in Metadata[Targets].from_bytes(metadata.to_bytes()).signed.targets.items()
        }
        for offline in (running.offline, colleague)
    ]
    assert listed[0] == listed[1]
    assert len(listed[0]) == 3


def test_evidence_follows_the_release_and_is_sent_once(running: Running, tmp_path: Path) -> None:
    archive = read_archive(small_artifact(tmp_path, "demo/motion@1.0.0"))
    files = {"evidence.json": b'{"schema": "limosa.evidence/1"}', "report.html": b"<p>why</p>"}
    said: list[str] = []
    with running.server() as server:
        path = "/api/v1/releases/demo/motion/1.0.0/evidence"
        running.publisher(server).publish(archive, may_return_to=())
        assert json.loads(server.request("GET", path).content)["items"] == []
        for _ in range(2):
            publisher = running.publisher(server)
            publisher.say = said.append
            done = publisher.publish(archive, may_return_to=(), evidence=files)
        assert len([line for line in said if line.startswith("sending")]) == len(files) + 2
        answer = json.loads(server.request("GET", path).content)
        assert answer["subject"] == done.signed.index.digest
        (item,) = answer["items"]
        got = {
            one["name"]: server.request("GET", f"/v2/demo/motion/blobs/{one['digest']}").content
            for one in item["files"]
        }
    envelope = Envelope.parse(got.pop("evidence.dsse.json"), max_bytes=65536)
    key = open_team(running.offline, "demo", {}).key.public
    statement = EvidenceStatement.parse(envelope.verify(key, payload_type=PAYLOAD_TYPE))
    assert got == files
    assert statement.subject == done.signed.index.digest
