"""Renewals that meet: each other, and whoever reads the identity just then (trust 6.2, agent 8)."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.errors import RenewedMeanwhile
from limosa_agent.fetch.durable import Disk
from limosa_agent.identity.enroll import enroll
from limosa_agent.identity.identity import load_identity, recover_identity, replace_certificate
from limosa_agent.identity.renew import leaf_of, renew_if_due
from limosa_agent.link.mqtt import mqtt_context
from limosa_contracts.signing_keys import Algorithm, PublicKey, SigningKey
from tests.agent.fleet import DEVICE, Fleet, certify


@pytest.fixture
def config(fleet: Fleet, tmp_path: Path) -> AgentConfig:
    """Of a device that is enrolled."""
    config = AgentConfig(server=fleet.url, state_dir=tmp_path / "state")
    enroll(config, token=fleet.token, serial="")
    return config


def certificate_of(fleet: Fleet, key: SigningKey) -> str:
    return certify(fleet.ca_key, key.public.raw, DEVICE)


def is_whole(config: AgentConfig) -> bool:
    """Key and certificate on disk are of one another, and nothing else is left."""
    identity = load_identity(config.identity_dir)
    certified = PublicKey.of(leaf_of(identity.certificate_path.read_bytes()).public_key())
    context = ssl.create_default_context()
    context.load_cert_chain(str(identity.certificate_path), str(identity.key_path))
    left = [path.name for path in config.state_dir.iterdir() if path.name.startswith("identity")]
    return certified.keyid == identity.key.public.keyid and left == ["identity"]


def test_of_two_renewals_the_first_to_be_stored_counts(config: AgentConfig, fleet: Fleet) -> None:
    """The child of a killed supervisor, and that of the next one: both began with the same identity."""
    identity = load_identity(config.identity_dir)
    first, second = (SigningKey.generate(Algorithm.P256) for _ in range(2))
    ca = identity.enrolled.ca_pem
    replace_certificate(identity, key=first, certificate_pem=certificate_of(fleet, first), ca_pem=ca)
    with pytest.raises(RenewedMeanwhile):
        replace_certificate(identity, key=second, certificate_pem=certificate_of(fleet, second), ca_pem=ca)
    assert load_identity(config.identity_dir).key.public.keyid == first.public.keyid
    assert is_whole(config)


def test_who_reads_while_a_renewal_is_stored_gets_the_old_or_the_new(
    config: AgentConfig, fleet: Fleet
) -> None:
    """A folder that is swapped by two renames is not there between them."""
    swapping, go_on = threading.Event(), threading.Event()

    class Held(Disk):
        def rename(self, source: Path, target: Path) -> None:
            super().rename(source, target)
            if target.name == "identity.old":
                swapping.set()
                assert go_on.wait(20)

    identity, key = load_identity(config.identity_dir), SigningKey.generate(Algorithm.P256)
    renewal = threading.Thread(
        target=replace_certificate,
        args=(identity,),
        kwargs={
            "key": key,
            "certificate_pem": certificate_of(fleet, key),
            "ca_pem": identity.enrolled.ca_pem,
            "disk": Held(),
        },
    )
    renewal.start()
    assert swapping.wait(20)
    assert not config.identity_dir.exists()
    read: list[str] = []

    def look() -> None:
        read.append(load_identity(config.identity_dir).key.public.keyid)
        mqtt_context(load_identity(config.identity_dir))
        recover_identity(config.identity_dir)  # a supervisor that starts just now

    reader = threading.Thread(target=look)
    reader.start()
    go_on.set()
    for thread in (renewal, reader):
        thread.join(20)
        assert not thread.is_alive()
    assert read == [key.public.keyid]
    assert is_whole(config)


def test_an_identity_that_was_loaded_keeps_its_own_certificate(config: AgentConfig, fleet: Fleet) -> None:
    """An assertion by the old key carries the old certificate, also when the new one is on disk."""
    before = load_identity(config.identity_dir)
    assert renew_if_due(config, now=datetime.now(UTC) + timedelta(days=21))["renewed"] is True
    certified = PublicKey.of(leaf_of(before.certificate_pem).public_key())
    assert certified.keyid == before.key.public.keyid
    assert load_identity(config.identity_dir).certificate_pem != before.certificate_pem


def test_a_clock_that_is_far_ahead_does_not_renew_again_and_again(config: AgentConfig) -> None:
    said = renew_if_due(config, now=datetime(2100, 1, 1, tzinfo=UTC))
    assert said["renewed"] is True
    assert said["again_s"] == 86400.0


def test_a_clock_at_1970_renews_nothing(config: AgentConfig) -> None:
    assert renew_if_due(config, now=datetime(1970, 1, 1, tzinfo=UTC))["renewed"] is False
