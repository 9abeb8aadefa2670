"""A downgrade permit from the team's key to the device that takes the step (trust 2.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from limosa_agent.fetch.main import answer
from limosa_agent.fetch.slots import switch_current
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from limosa_contracts.desired import DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.json_value import JsonObject
from limosa_contracts.permit import DowngradePermit
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_server.access.roles import Role
from limosa_server.assembly import make_director
from limosa_server.tables.access import AuditRow
from limosa_server.tables.devices import DeviceModel
from limosa_server.tables.releases import Release
from limosa_server.tables.rollouts import DesiredDocument
from tests.fleet_server.signed_release import assign, publish
from tests.fleet_server.world import MODEL, Device, Fleet

CAPABILITIES: JsonObject = {
    "arch": "x86_64",
    "runtimes": {"onnxruntime": "1.31.1"},
    "memory_bytes": 1 << 30,
}


@pytest.fixture
def limosa(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LIMOSA_SERVER", str(fleet.http.base_url))
    monkeypatch.setenv("LIMOSA_TOKEN", fleet.token(Role.PUBLISHER))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *args: run(make_host(), prog_name="limosa", args=[str(arg) for arg in args])


class Fetcher:
    """A device's fetch child against the server."""

    def __init__(self, fleet: Fleet, device: Device, folder: Path) -> None:
        self.fleet = fleet
        self.state = folder / "state"
        self.access = fleet.access(device)["Authorization"].removeprefix("Bearer ")
        (self.state / "identity").mkdir(parents=True)
        assert device.enrolled is not None
        (self.state / "identity" / "root.json").write_text(device.enrolled.tuf_root)

    def install(self, version: str, index: str, **more: object) -> JsonObject:
        request: dict[str, object] = {
            "op": "install",
            "server": str(self.fleet.http.base_url).rstrip("/"),
            "state_dir": str(self.state),
            "access_token": self.access,
            "model": MODEL,
            "version": version,
            "index_sha256": index,
            "capabilities": {
                "arch": "x86_64",
                "runtimes": {"onnxruntime": "1.31.1"},
                "memory_bytes": 1 << 30,
            },
            **more,
        }
        said = answer(json.dumps(request).encode(), lambda line: None, clock=self.fleet.clock)
        found = said.get("result") or said.get("error")
        assert isinstance(found, dict)
        return found


def desired_of(fleet: Fleet, device: Device) -> DesiredState:
    with fleet.state.store.transaction() as tx:
        make_director(fleet.state).issue(tx, device.id, now=fleet.clock.now)
        tx.flush()
        row = tx.get(DesiredDocument, device.id)
        assert row is not None
        return DesiredState.parse(Envelope.parse(row.envelope, max_bytes=65536).payload)


def runs(fleet: Fleet, device: Device, version: str) -> None:
    """What the device last reported."""
    with fleet.state.store.transaction() as tx:
        tx.merge(
            DeviceModel(
                device=device.id, model=MODEL, phase="COMMITTED", active_version=version, updated_at=1.0
            )
        )


def counter_of(fleet: Fleet, version: str) -> int:
    with fleet.state.store.read() as tx:
        found = tx.exec(select(Release.release_counter).where(Release.version == version)).one()
    return int(found)


def test_a_permit_goes_from_the_teams_key_to_the_device_and_lets_it_step_back(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = publish(fleet, "1.0.0"), publish(fleet, "2.0.0")
    device = fleet.enroll()
    fetcher = Fetcher(fleet, device, tmp_path)
    installed = fetcher.install("2.0.0", new)
    switch_current(fetcher.state / "models" / MODEL, str(installed["manifest_sha256"]))
    committed = {"committed_counter": counter_of(fleet, "2.0.0")}
    assert fetcher.install("1.0.0", old, **committed)["code"] == "LM-580"
    runs(fleet, device, "2.0.0")
    assign(fleet, device, "1.0.0", old)
    assert desired_of(fleet, device).models[0].permit is None
    words = ("permit", MODEL, "--from", "2.0.0", "--to", "1.0.0", "--offline", fleet.offline)
    assert limosa(*words) == 0
    assert "start a rollout of 1.0.0 with allow_downgrade" in capsys.readouterr().out
    permit = desired_of(fleet, device).models[0].permit
    assert permit is not None
    back = fetcher.install("1.0.0", old, **committed, permit=permit)
    assert Path(str(back["directory"])).is_dir()
    other = json.loads(json.dumps(permit)) | {"payload": "e30="}
    assert fetcher.install("1.0.0", old, **committed, permit=other)["code"] == "LM-580"
    assert limosa(*words) == 0  # again: the same bytes, one row
    with fleet.state.store.read() as tx:
        (row,) = tx.exec(select(AuditRow).where(col(AuditRow.action) == "permit.add")).all()
    assert json.loads(row.after) == {"from": "2.0.0", "to": "1.0.0"}


def test_a_permit_is_handed_out_for_its_own_step_only(fleet: Fleet, limosa: Any) -> None:
    indices = {version: publish(fleet, version) for version in ("1.0.0", "2.0.0", "3.0.0")}
    device = fleet.enroll()
    assert limosa("permit", MODEL, "--from", "3.0.0", "--to", "1.0.0", "--offline", fleet.offline) == 0
    for running, wanted, given in (
        ("3.0.0", "1.0.0", True),
        ("2.0.0", "1.0.0", False),
        ("3.0.0", "2.0.0", False),
        ("", "1.0.0", False),
    ):
        runs(fleet, device, running)
        assign(fleet, device, wanted, indices[wanted])
        assert (desired_of(fleet, device).models[0].permit is not None) is given, (running, wanted)


def test_a_permit_that_the_team_did_not_sign_is_not_kept(
    fleet: Fleet, limosa: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(fleet, "1.0.0")
    publish(fleet, "2.0.0")
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(SigningKey.generate(Algorithm.P256).pem())
    step = ("--from", "2.0.0", "--to", "1.0.0")
    assert limosa("permit", MODEL, *step, "--key", stranger) != 0
    assert "the permit is not signed by team 'demo'" in capsys.readouterr().err
    assert limosa("permit", MODEL, "--from", "9.0.0", "--to", "1.0.0", "--offline", fleet.offline) != 0
    assert "no release demo/motion@9.0.0" in capsys.readouterr().err
    assert limosa("permit", MODEL, "--from", "1.0.0", "--to", "1.0.0", "--offline", fleet.offline) == 2
    headers = {"Authorization": f"Bearer {fleet.token(Role.PUBLISHER, team='audio')}"}
    key = SigningKey.parse((fleet.offline / "teams" / "demo" / "team.pem").read_bytes())
    signed = DowngradePermit(model=MODEL, from_version="2.0.0", to_version="1.0.0").sign(key)
    body = {"permit": json.loads(signed.encode())}
    assert fleet.http.put("/api/v1/permits", json=body, headers=headers).status_code == 403
    assert fleet.http.put("/api/v1/permits", json={"permit": {}}, headers=fleet.headers()).status_code == 422


def test_a_permit_can_be_signed_offline_and_is_the_same_each_time(
    fleet: Fleet, limosa: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIMOSA_SERVER")
    files = [tmp_path / name for name in ("a.json", "b.json")]
    for file in files:
        words = ("--from", "2.0.0", "--to", "1.0.0", "--offline", fleet.offline, "--output", file)
        assert limosa("permit", MODEL, *words) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    key = SigningKey.parse((fleet.offline / "teams" / "demo" / "team.pem").read_bytes()).public
    permit = DowngradePermit.verify(Envelope.parse(files[0].read_bytes(), max_bytes=65536), key)
    assert (permit.model, permit.from_version, permit.to_version) == (MODEL, "2.0.0", "1.0.0")
