"""The units: their text, what systemd itself says of them, and what they are refused for (agent 7)."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.service import install
from limosa_agent.service.errors import ServiceRefused
from limosa_agent.service.units import Installed, quoted, service_unit, socket_unit, sysusers
from tests.support.programs import require_program

GOLDEN = Path(__file__).parent / "golden"
EXPOSURE_MAX = 2.0
"""Of systemd-analyze, 0 safe to 10; "OK" begins at 2."""


def installed(**more: object) -> Installed:
    base: dict[str, object] = {
        "program": PurePosixPath("/opt/limosa/bin/limosa-agent"),
        "config": PurePosixPath("/etc/limosa/agent.toml"),
        "state_dir": PurePosixPath("/var/lib/limosa"),
        "user": "limosa",
        "listen": ("127.0.0.1:8080", "/run/limosa/infer.sock"),
    }
    return Installed(**(base | more))  # type: ignore[arg-type]  # names are the fields'


def test_units_are_what_they_were() -> None:
    assert service_unit(installed()) == (GOLDEN / "limosa-agent.service").read_text()
    assert socket_unit(installed()) == (GOLDEN / "limosa-agent.socket").read_text()
    assert sysusers(installed()) == (GOLDEN / "limosa.conf").read_text()


@pytest.mark.parametrize(
    "here",
    [
        installed(),
        installed(listen=()),
        installed(state_dir=PurePosixPath("/data/limosa")),
        installed(config=PurePosixPath('/etc/a "b"/100%/$x;y.toml')),
    ],
    ids=["usual", "no socket", "state elsewhere", "odd path"],
)
def test_systemd_accepts_the_units(here: Installed, tmp_path: Path) -> None:
    analyze = require_program("systemd-analyze")
    program = shutil.which("true")
    assert program is not None  # verify looks whether the program is there
    here = installed(
        program=PurePosixPath(program), config=here.config, state_dir=here.state_dir, listen=here.listen
    )
    written = [path for path in install.write(here, tmp_path) if path.suffix in (".service", ".socket")]
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, written)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "limosa" in line]
    assert (done.returncode, said) == (0, [])


def test_exposure_that_systemd_counts_stays_low(tmp_path: Path) -> None:
    analyze = require_program("systemd-analyze")
    unit = tmp_path / "limosa-agent.service"
    unit.write_text(service_unit(installed()))
    command = [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_MAX * 10:.0f}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_word_of_a_command_line_is_not_read_as_a_specifier_or_a_variable() -> None:
    assert quoted("/etc/limosa/agent.toml") == "/etc/limosa/agent.toml"
    assert quoted('/a "b"/%n/$HOME') == '"/a \\"b\\"/%%n/$$HOME"'


PROGRAM = "/opt/limosa/bin/limosa-agent"
CONFIG = "/etc/limosa/agent.toml"


@pytest.mark.parametrize(
    ("lines", "program", "config", "user", "what"),
    [
        ("", "/home/ada/bin/limosa-agent", CONFIG, "limosa", "the program lies in /home"),
        ("", PROGRAM, "/root/agent.toml", "limosa", "the configuration lies in /root"),
        ('state_dir = "/home/ada/state"', PROGRAM, CONFIG, "limosa", "the state folder lies in /home"),
        ('listen = "127.0.0.1:0"', PROGRAM, CONFIG, "limosa", "port 0"),
        ("", PROGRAM, CONFIG, "root; reboot", "no name for a user"),
        ("", PROGRAM, "/etc/a\nExecStart=/bin/sh.toml", "limosa", "control character"),
        ('socket = "/run/a\\nListenStream=0.0.0.0:1"', PROGRAM, CONFIG, "limosa", "control character"),
    ],
)
def test_service_that_could_not_work_is_refused_before_anything_is_written(
    lines: str, program: str, config: str, user: str, what: str
) -> None:
    settings = AgentConfig.parse(f'server = "https://fleet.example"\n{lines}\n')
    with pytest.raises(ServiceRefused) as caught:
        install.describe(settings, Path(config), user=user, program=Path(program))
    assert what in str(caught.value)


def test_blanks_and_percent_signs_in_paths_stay_one_word_and_no_specifier() -> None:
    settings = AgentConfig.parse(
        'server = "https://fleet.example"\nsocket = "/run/50%n/a.sock"\nstate_dir = "/var/lib/my agent"\n'
    )
    here = install.describe(settings, Path(CONFIG), user="limosa", program=Path(PROGRAM))
    assert 'StateDirectory="my agent"' in service_unit(here)
    assert "ListenStream=/run/50%%n/a.sock" in socket_unit(here)
    assert sysusers(here).endswith(' "/var/lib/my agent"\n')


def test_root_gives_away_the_folder_and_nothing_that_a_link_in_it_leads_to(tmp_path: Path) -> None:
    """The service's user writes there already when the command runs again."""
    root = os.geteuid() == 0
    user = "nobody" if root else pwd.getpwuid(os.geteuid()).pw_name
    (tmp_path / "state" / "models").mkdir(parents=True)
    (tmp_path / "state" / "models" / "file").touch()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "shadow").touch()
    (tmp_path / "state" / "way").symlink_to(tmp_path / "others")
    (tmp_path / "state" / "file").symlink_to(tmp_path / "others" / "shadow")
    install.own(tmp_path / "state", user)
    uid = pwd.getpwnam(user).pw_uid
    for path in (tmp_path / "state", *(tmp_path / "state").rglob("*")):
        assert path.lstat().st_uid == uid
    for path in (tmp_path / "others", tmp_path / "others" / "shadow"):
        assert path.stat().st_uid == os.geteuid()
