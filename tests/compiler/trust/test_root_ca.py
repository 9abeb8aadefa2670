"""The root CA is replaced in its folders, and the one before ends when the server says so (trust 1.2)."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from limosa_contracts.root_ca import SPREAD_FILE, RootSpread, fingerprints
from tests.compiler.trust.test_commands import limosa


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    made = limosa("keys", "init", *folders(tmp_path), "--team", "demo", "--host", "fleet.example")
    assert made.returncode == 0, made.stderr
    return tmp_path


def folders(fleet: Path) -> tuple[str | Path, ...]:
    return ("--offline", fleet / "off", "--server", fleet / "srv")


def roots(fleet: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((fleet / "srv/ca.crt").read_bytes())


def chain(fleet: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((fleet / "srv/server.crt").read_bytes())


def verifies(fleet: Path, root: x509.Certificate) -> bool:
    """By OpenSSL: the server's TLS certificate under this root alone."""
    (fleet / "root.crt").write_bytes(root.public_bytes(Encoding.PEM))
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", fleet / "root.crt", "-untrusted", fleet / "srv/server.crt",
         fleet / "srv/server.crt"],
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def spread(
    fleet: Path, *devices: str, missing: int | None = None, age_s: float = 0.0, root: str = ""
) -> None:
    """As the server writes it."""
    said = RootSpread(
        root=root or fingerprints((fleet / "srv/ca.crt").read_text())[0],
        at=int(time.time() - age_s),
        missing=len(devices) if missing is None else missing,
        devices=devices,
    )
    path = fleet / "srv" / SPREAD_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(said.encode())


def retire(fleet: Path, *words: str) -> str:
    """What it says; "" when it is done."""
    done = limosa("keys", "retire", "root-ca", "--server", fleet / "srv", *words)
    return "" if done.returncode == 0 else done.stderr


def test_both_roots_are_trusted_and_everybody_still_finds_the_server(fleet: Path) -> None:
    (old,), before = roots(fleet), (fleet / "srv/server.crt").read_bytes()
    (fleet / "off/ca.pem").unlink()  # it is lost: that is a reason to rotate
    assert limosa("keys", "rotate", "root-ca", *folders(fleet)).returncode == 0
    new, also = roots(fleet)
    assert also == old
    issuer = x509.load_pem_x509_certificates((fleet / "srv/device-ca.crt").read_bytes())[0]
    issuer.verify_directly_issued_by(new)
    assert (fleet / "srv/server.crt").read_bytes() == before
    assert limosa("keys", "rotate", "server-certificate", "--server", fleet / "srv").returncode == 0
    assert (fleet / "srv/server.crt").read_bytes() != before
    assert verifies(fleet, old), "devices that were away still believe it"
    for name in ("off/ca.pem", "srv/keys/device-ca.pem"):
        assert (fleet / name).stat().st_mode & 0o777 == 0o600

    spread(fleet)
    assert retire(fleet) == ""
    assert roots(fleet) == [new]
    assert verifies(fleet, new)
    assert not verifies(fleet, old)
    assert list((fleet / "srv/former-ca").glob("*.pem")) == []
    names = chain(fleet)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "fleet.example" in names.get_values_for_type(x509.DNSName)
    assert limosa("keys", "rotate", "device-ca", *folders(fleet)).returncode == 0, "the new key signs"


def test_a_root_is_not_retired_while_anybody_would_be_shut_out(fleet: Path) -> None:
    assert "no root CA was replaced" in retire(fleet)
    assert limosa("keys", "rotate", "root-ca", *folders(fleet)).returncode == 0
    assert "has not said" in retire(fleet)
    spread(fleet, age_s=2 * 86400)
    assert "too old" in retire(fleet)
    spread(fleet, age_s=-400 * 86400)
    assert "too old" in retire(fleet), "written while the server's clock was ahead: it would hold for a year"
    spread(fleet, root="0" * 64)
    assert "too old" in retire(fleet), "of a rotation before this one"
    spread(fleet, "kiosk-3", "shop-17")
    assert "kiosk-3, shop-17" in retire(fleet)
    said = retire(fleet, "--without", "kiosk-3")
    assert "LM-692" in said
    assert "shop-17" in said
    spread(fleet, "kiosk-3", missing=20_000)
    assert "19999 devices" in retire(fleet, "--without", "kiosk-3"), "more than a file names"
    assert len(roots(fleet)) == 2
    spread(fleet, "kiosk-3", "shop-17")
    assert retire(fleet, "--without", "kiosk-3", "--without", "shop-17") == ""


def test_a_rotation_that_was_cut_is_given_again(fleet: Path) -> None:
    """The power failed after the offline folder was written; and after the server was told to trust it."""
    (old,) = roots(fleet)
    device_ca = [fleet / "srv/device-ca.crt", fleet / "srv/keys/device-ca.pem"]
    kept = [path.read_bytes() for path in device_ca]
    assert limosa("keys", "rotate", "root-ca", *folders(fleet)).returncode == 0
    for path, data in zip(device_ca, kept, strict=True):
        path.write_bytes(data)
    assert limosa("keys", "rotate", "root-ca", *folders(fleet)).returncode == 0
    assert len(roots(fleet)) == 3
    assert verifies(fleet, old)
    spread(fleet)
    assert retire(fleet) == ""
    assert len(roots(fleet)) == 1


def test_an_option_of_another_key_is_refused(fleet: Path) -> None:
    done = limosa("keys", "retire", "device-ca", "--server", fleet / "srv", "--without", "kiosk-3")
    assert done.returncode == 2
    assert limosa("keys", "rotate", "root-ca", "--server", fleet / "srv").returncode == 2
