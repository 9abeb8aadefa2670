"""`limosa mirror export`: what it writes is enough for a device that never sees the server (trust 3.5)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select
from tuf.api.metadata import Metadata, Timestamp

from limosa_agent.fetch.main import answer
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.json_value import JsonObject
from limosa_contracts.mirror import MARKER_FILE, MirrorMarker
from limosa_server.access.roles import Role
from limosa_server.tables.access import AuditRow
from limosa_server.tables.rollouts import DesiredDocument
from tests.fleet_server.signed_release import assign, publish
from tests.fleet_server.world import MODEL, Device, Fleet

DAY_S = 86400.0
CAPABILITIES: JsonObject = {"arch": "x86_64", "runtimes": {"onnxruntime": "1.31.1"}, "memory_bytes": 1 << 30}


@pytest.fixture
def limosa(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.OPERATOR))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *args: run(make_host(), prog_name="limosa", args=[str(arg) for arg in args])


class Far:
    """A device's fetch child, with a stick and no network."""

    def __init__(self, fleet: Fleet, device: Device, folder: Path) -> None:
        self.fleet = fleet
        self.device = device
        self.state = folder / f"state-{device.id}"
        (self.state / "identity").mkdir(parents=True)
        assert device.enrolled is not None
        (self.state / "identity" / "root.json").write_text(device.enrolled.tuf_root)

    def ask(self, mirror: Path | None, version: str = "", index: str = "", **more: object) -> JsonObject:
        request: dict[str, object] = {
            "op": "refresh",
            "server": "https://fleet.invalid",
            "state_dir": str(self.state),
            "mirror": str(mirror) if mirror else None,
            "device": self.device.id,
            **more,
        }
        if version:
            request |= {
                "op": "install",
                "model": MODEL,
                "version": version,
                "index_sha256": index,
                "capabilities": CAPABILITIES,
            }
        return answer(json.dumps(request).encode(), lambda line: None, clock=self.fleet.clock)


def test_a_device_without_a_network_gets_its_release_and_is_not_left_behind_afterwards(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = publish(fleet, "1.0.0")
    device = fleet.enroll()
    assign(fleet, device, "1.0.0", index)
    stick = tmp_path / "stick"
    assert limosa("mirror", "export", "--valid", "30d", stick, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["releases"], said["devices"], said["ends_first"]) == (
        ["demo/motion@1.0.0"], 1, "timestamp",
    )  # fmt: skip
    assert MirrorMarker.parse((stick / MARKER_FILE).read_bytes()).expires == said["expires"]
    far = Far(fleet, device, tmp_path)
    fleet.clock.now += 29 * DAY_S
    refreshed = far.ask(stick)["result"]
    assert isinstance(refreshed, dict)
    key = fleet.state.trust.key("director").public
    envelope = Envelope.parse(str(refreshed["desired"]).encode(), max_bytes=1 << 20)
    wanted = DesiredState.parse(envelope.verify(key, payload_type=PAYLOAD_TYPE))
    assert (wanted.device, wanted.models[0].index_sha256) == (device.id, index)
    assert wanted.expires > fleet.clock.now
    done = far.ask(stick, "1.0.0", index)
    assert "result" in done, done
    fleet.clock.now += 2 * DAY_S
    assert far.ask(stick)["error"]["code"] == "LM-528"  # type: ignore[call-overload, index]  # it has expired


def test_what_is_served_is_newer_than_what_was_lent(fleet: Fleet, limosa: Any, tmp_path: Path) -> None:
    publish(fleet, "1.0.0")
    device = fleet.enroll()
    stick = tmp_path / "stick"
    for _ in range(2):  # in one second of the clock
        assert limosa("mirror", "export", stick) == 0
    far = Far(fleet, device, tmp_path)
    assert "result" in far.ask(stick)
    url = str(fleet.http.base_url).rstrip("/")
    assert "result" in far.ask(None, server=url)
    assert "error" in far.ask(stick)  # and back again it does not go
    lent, served = (
        Metadata[Timestamp].from_bytes(data).signed
        for data in (
            (stick / "tuf" / "metadata" / "timestamp.json").read_bytes(),
            fleet.http.get("/tuf/metadata/timestamp.json").content,
        )
    )
    assert served.version == lent.version + 1
    assert served.snapshot_meta.version == lent.snapshot_meta.version
    assert served.expires < lent.expires


def test_an_export_is_brought_up_to_date_in_place(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = publish(fleet, "1.0.0"), publish(fleet, "2.0.0")
    left, right = fleet.enroll(), fleet.enroll()
    assign(fleet, left, "1.0.0", one)
    assign(fleet, right, "2.0.0", two)
    stick = tmp_path / "stick"
    assert limosa("mirror", "export", stick, "--json") == 0
    assert json.loads(capsys.readouterr().out)["fetched_bytes"] > 0
    assert {path.name for path in (stick / "desired").iterdir()} == {f"{left.id}.json", f"{right.id}.json"}
    assert limosa("mirror", "export", "--device", left.id, stick, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["fetched_bytes"], said["releases"]) == (0, ["demo/motion@1.0.0"])
    assert [path.name for path in (stick / "desired").iterdir()] == [f"{left.id}.json"]
    assert sorted(path.name for path in stick.iterdir()) == ["blobs", "desired", MARKER_FILE, "tuf"]
    damaged = next((stick / "blobs" / "sha256").iterdir())
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    assert limosa("mirror", "export", "--device", left.id, stick, "--json") == 0
    assert json.loads(capsys.readouterr().out)["fetched_bytes"] == damaged.stat().st_size


def test_every_export_leaves_an_audit_row_and_signs_no_document_without_need(
    fleet: Fleet, limosa: Any, tmp_path: Path
) -> None:
    index = publish(fleet, "1.0.0")
    device = fleet.enroll()
    assign(fleet, device, "1.0.0", index)

    def document() -> DesiredDocument:
        with fleet.state.store.read() as tx:
            row = tx.get(DesiredDocument, device.id)
        assert row is not None
        return row

    assert limosa("mirror", "export", "--valid", "7d", tmp_path / "a") == 0
    first = document()
    assert first.expires - fleet.clock.now == pytest.approx(7 * DAY_S, abs=2)
    assert limosa("mirror", "export", "--valid", "1d", tmp_path / "b") == 0
    assert document().counter == first.counter
    assert limosa("mirror", "export", "--valid", "60d", tmp_path / "c") == 0
    assert document().counter > first.counter
    with fleet.state.store.read() as tx:
        rows = tx.exec(select(AuditRow).where(col(AuditRow.action) == "mirror.export")).all()
    assert [json.loads(row.after)["valid_s"] for row in rows] == [7 * DAY_S, DAY_S, 60 * DAY_S]
    assert all(json.loads(row.after)["releases"] == ["demo/motion@1.0.0"] for row in rows)


def test_what_no_mirror_can_be_is_refused(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    assert limosa("mirror", "export", tmp_path / "photos") == 2
    assert "error[LM-615]" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    assert limosa("mirror", "export", "--valid", "91d", tmp_path / "a") == 2
    assert limosa("mirror", "export", "--device", "dev-none", tmp_path / "a") == 2
    assert "dev-none" in capsys.readouterr().err
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.PUBLISHER))
    assert limosa("mirror", "export", tmp_path / "a") == 4
    with fleet.state.store.read() as tx:
        assert tx.exec(select(AuditRow).where(col(AuditRow.action) == "mirror.export")).first() is None


def test_a_mirror_says_what_ends_before_it(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fleet.clock.now = datetime.now(UTC).timestamp() + 60 * DAY_S  # the team signed for 90 days
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.OPERATOR))
    assert limosa("mirror", "export", "--valid", "60d", tmp_path / "stick") == 0
    assert "hint: it ends before --valid, with the role demo" in capsys.readouterr().err
