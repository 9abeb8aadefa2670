"""Joining a fleet: nothing or everything on disk, and a token that is not wasted (trust 6.1, agent 8)."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.errors import AlreadyEnrolled, EnrolmentAnswerLost, EnrolmentRefused, NotEnrolled
from limosa_agent.fetch.durable import Disk
from limosa_agent.identity.enroll import enroll
from limosa_agent.identity.identity import (
    load_identity,
    recover_identity,
    replace_certificate,
    store_identity,
)
from limosa_agent.identity.renew import renew_if_due
from limosa_contracts.enrolment import Enrolled
from limosa_contracts.errors import InvalidField, NotAuthorised, TransferError, Unreachable
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.agent.device import Device
from tests.agent.fleet import Fleet, certify
from tests.support.ports import free_port
from tests.support.processes import Processes


def config_of(fleet: Fleet, folder: Path) -> AgentConfig:
    return AgentConfig(server=fleet.url, state_dir=folder / "state")


def test_device_joins_with_a_key_that_nobody_else_may_read(fleet: Fleet, tmp_path: Path) -> None:
    config = config_of(fleet, tmp_path)
    enrolled = enroll(config, token=fleet.token, serial="")
    identity = load_identity(config.identity_dir)
    assert identity.device == enrolled.device
    assert fleet.device_key is not None
    assert identity.key.public.keyid == fleet.device_key.keyid
    assert stat.S_IMODE(identity.key_path.stat().st_mode) == 0o600
    with pytest.raises(AlreadyEnrolled):
        enroll(config, token=fleet.token, serial="")


def test_used_token_is_refused_with_a_way_out(fleet: Fleet, tmp_path: Path) -> None:
    fleet.tokens_used = 1
    with pytest.raises(NotAuthorised) as refused:
        enroll(config_of(fleet, tmp_path), token=fleet.token, serial="")
    assert "enroll-token" in refused.value.hint
    assert not (tmp_path / "state" / "identity").exists()


def test_answer_that_is_lost_says_that_the_token_may_be_used_up(fleet: Fleet, tmp_path: Path) -> None:
    fleet.lose_answers = 1
    with pytest.raises(EnrolmentAnswerLost):
        enroll(config_of(fleet, tmp_path), token=fleet.token, serial="")
    assert not (tmp_path / "state" / "identity").exists()


def test_server_that_is_not_there_does_not_use_the_token(tmp_path: Path) -> None:
    config = AgentConfig(server=f"http://127.0.0.1:{free_port()}", state_dir=tmp_path)
    with pytest.raises(Unreachable):
        enroll(config, token="lmt_abcdefghijkl." + "t" * 43, serial="")


def test_what_is_no_token_never_leaves_the_device(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(InvalidField) as refused:
        enroll(config_of(fleet, tmp_path), token="secret-of-something-else", serial="")
    assert "secret-of" not in str(refused.value)


def test_certificate_for_another_key_is_refused(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SigningKey.generate(Algorithm.P256)
    certificate = certify(fleet.ca_key, other.public.raw, "dev-test")
    honest = fleet.enroll

    def lying(body: bytes) -> tuple[int, dict[str, object]]:
        status, value = honest(body)
        return status, {**value, "certificate": certificate}

    monkeypatch.setattr(fleet, "enroll", lying)
    with pytest.raises(EnrolmentRefused):
        enroll(config_of(fleet, tmp_path), token=fleet.token, serial="")


def test_command_reports_errors_in_one_form(fleet: Fleet, processes: Processes, tmp_path: Path) -> None:
    device = Device(folder=tmp_path / "device", fleet=fleet, processes=processes)
    device.write_config(pol_interval_s=3)
    done = device.command("enroll", "--token", fleet.token, "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert error["code"] == "LM-500"
    assert "poll_interval_s" in error["hint"]
    device.write_config()
    assert json.loads(device.command("run").stdout or "{}") == {}
    assert "LM-501" in device.command("run").stderr
    assert device.command("status").returncode == 6
    done = device.command("enroll", "--token", fleet.token, "--json")
    assert (done.returncode, json.loads(done.stdout)["device"]) == (0, "dev-test")


class CutDisk(Disk):
    """Loses power before the n-th operation."""

    def __init__(self, cut_at: int) -> None:
        self.left = cut_at

    def _spend(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def write(self, path: Path, data: bytes) -> None:
        self._spend()
        super().write(path, data)

    def sync_folder(self, path: Path) -> None:
        self._spend()
        super().sync_folder(path)

    def rename(self, source: Path, target: Path) -> None:
        self._spend()
        super().rename(source, target)


def enrolled_with(key: SigningKey) -> Enrolled:
    ca = SigningKey.generate(Algorithm.P256)
    return Enrolled(
        device="dev-1",
        certificate_pem=certify(ca, key.public.raw, "dev-1"),
        ca_pem=certify(ca, ca.public.raw, "ca", ca=True),
        tuf_root="{}",
        mqtt_host="127.0.0.1",
        mqtt_port=1883,
        mqtt_tls=False,
    )


def test_power_lost_while_the_identity_is_stored_leaves_nothing_or_everything(tmp_path: Path) -> None:
    key = SigningKey.generate(Algorithm.P256)
    enrolled = enrolled_with(key)
    whole = 0
    for cut in range(20):
        folder = tmp_path / str(cut) / "identity"
        try:
            store_identity(folder, key=key, enrolled=enrolled, disk=CutDisk(cut))
        except KeyboardInterrupt:
            recover_identity(folder)
        if folder.exists():
            assert load_identity(folder).key.public.keyid == key.public.keyid
            whole += 1
        else:
            with pytest.raises(NotEnrolled):
                load_identity(folder)
            store_identity(folder, key=key, enrolled=enrolled)  # a new token makes it good
    assert 0 < whole < 20


def test_power_lost_while_the_certificate_is_renewed_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    old, new = SigningKey.generate(Algorithm.P256), SigningKey.generate(Algorithm.P256)
    fresh = enrolled_with(new)
    seen = set()
    for cut in range(20):
        folder = tmp_path / str(cut) / "identity"
        store_identity(folder, key=old, enrolled=enrolled_with(old))
        try:
            replace_certificate(
                load_identity(folder),
                key=new,
                certificate_pem=fresh.certificate_pem,
                ca_pem=fresh.ca_pem,
                disk=CutDisk(cut),
            )
        except KeyboardInterrupt:
            recover_identity(folder)
        identity = load_identity(folder)
        assert identity.enrolled.certificate_pem in identity.certificate_pem.decode()
        seen.add(identity.key.public.keyid)
        assert sorted(path.name for path in folder.parent.iterdir()) == ["identity"]
    assert seen == {old.public.keyid, new.public.keyid}


def test_certificate_is_renewed_when_a_third_of_its_life_remains(fleet: Fleet, tmp_path: Path) -> None:
    config = config_of(fleet, tmp_path)
    enroll(config, token=fleet.token, serial="")
    before = load_identity(config.identity_dir)
    now = datetime.now(UTC)
    assert renew_if_due(config, now=now)["renewed"] is False
    assert load_identity(config.identity_dir).key.public.keyid == before.key.public.keyid
    assert renew_if_due(config, now=now + timedelta(days=21))["renewed"] is True
    after = load_identity(config.identity_dir)
    assert after.key.public.keyid != before.key.public.keyid
    assert fleet.device_key is not None
    assert fleet.device_key.keyid == after.key.public.keyid
    assert after.device == before.device


def test_renewal_that_fails_leaves_the_identity_as_it_was(fleet: Fleet, tmp_path: Path) -> None:
    config = config_of(fleet, tmp_path)
    enroll(config, token=fleet.token, serial="")
    before = load_identity(config.identity_dir).key.public.keyid
    fleet.down = True
    with pytest.raises(TransferError):
        renew_if_due(config, now=datetime.now(UTC) + timedelta(days=21))
    assert load_identity(config.identity_dir).key.public.keyid == before
