"""A key is gone, and with it the folder that it was in: the others put a new one in its place (trust 1.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.trust.test_commands import last, limosa


@pytest.mark.parametrize(
    ("lost", "command"),
    [
        ("off/root-2.pem", ("root", "--number", "2")),
        ("off/targets.pem", ("targets",)),
        ("off/teams/demo/team.pem", ("team", "--team", "demo")),
        ("off/teams/demo/team.pem", ("team", "--team", "demo", "--retire")),
        ("srv/keys/director.pem", ("director",)),
        ("srv/keys/snapshot.pem", ("snapshot",)),
        ("srv/keys/device-ca.pem", ("device-ca",)),
        ("srv/keys/audit.pem", ("audit",)),
        ("srv/server.pem", ("server-certificate",)),
    ],
)
def test_a_key_that_is_lost_is_replaced_without_it(
    tmp_path: Path, lost: str, command: tuple[str, ...]
) -> None:
    folders = ("--offline", tmp_path / "off", "--server", tmp_path / "srv")
    assert limosa("keys", "init", *folders, "--team", "demo", "--host", "fleet.example").returncode == 0
    file = tmp_path / lost
    file.unlink()
    done = limosa("keys", "rotate", *command, *folders, "--json")
    assert done.returncode == 0, done.stderr
    assert last(done)["now"]
    assert file.stat().st_mode & 0o777 == 0o600
    again = limosa("keys", "rotate", *command, *folders, "--json")
    assert again.returncode == 0, again.stderr


def test_a_device_ca_whose_key_is_lost_is_not_trusted_beside_the_new_one(tmp_path: Path) -> None:
    folders = ("--offline", tmp_path / "off", "--server", tmp_path / "srv")
    assert limosa("keys", "init", *folders, "--team", "demo", "--host", "fleet.example").returncode == 0
    (tmp_path / "srv/keys/device-ca.pem").unlink()
    assert limosa("keys", "rotate", "device-ca", *folders).returncode == 0
    assert limosa("keys", "retire", "device-ca", "--server", tmp_path / "srv").returncode != 0
