"""docs/how-to/production.md, followed: its commands, its units and its nginx, in a folder instead of `/`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.fleet_server.databases import Database
from tests.support.ports import free_port, wait_for_port
from tests.support.processes import BIN, Processes, Started
from tests.support.programs import require_program

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/how-to/production.md"
UNITS = ROOT / "fleet_server/deploy/systemd"
NEEDS_ROOT = ("apt-get", "useradd", "usermod", "runuser", "chown", "python3 -m venv", "/opt/limosa/bin/pip")
"""What changes the machine itself; everything else on the page is done here."""


def commands() -> list[str]:
    """Every command of the page, in order."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines()]


@dataclass
class Machine:
    """A folder that stands for `/`, and what systemd would do in it."""

    root: Path
    processes: Processes
    database: str
    drill: str
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, Started] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    not_here: list[str] = field(default_factory=list)

    def put(self, text: str) -> str:
        """The page's places as they are here."""
        for port in ("8443", "8883"):
            text = text.replace(f":{port}", f":{self.ports[port]}")
            text = text.replace(f"--mqtt-port {port}", f"--mqtt-port {self.ports[port]}")
        text = text.replace("https://fleet.example", f"https://localhost:{self.ports['443']}")
        text = text.replace("fleet.example", "localhost").replace("0.0.0.0", "127.0.0.1")
        text = text.replace("postgresql:///limosa_drill?host=/run/postgresql", self.drill)
        text = text.replace("postgresql:///limosa?host=/run/postgresql", self.database)
        for place in ("/var/lib", "/etc/limosa", "/etc/nginx", "/etc/systemd", "/mnt"):
            text = text.replace(place, f"{self.root}{place}")
        return text.replace("/opt/limosa/bin/", f"{BIN}/")

    def run(self, line: str) -> None:
        if line.startswith(NEEDS_ROOT) or "podman" in line or "…" in line:
            self.not_here.append(line)
        elif line.startswith("systemctl"):
            self._systemctl(line.split()[1:])
        elif line == "nginx -t":
            self._nginx("-t")
        elif line.startswith("curl"):
            with self.http() as http:
                self.said["curl"] = http.get("/healthz").text
        else:
            self._command(self.put(line))

    def http(self, headers: dict[str, str] | None = None) -> httpx.Client:
        url = f"https://localhost:{self.ports['443']}"
        trusted = ssl.create_default_context(cafile=str(self.root / "var/lib/limosa-server/trust/ca.crt"))
        return httpx.Client(base_url=url, verify=trusted, trust_env=False, timeout=20, headers=headers or {})

    def _command(self, line: str) -> None:
        line, _, output = line.partition(" > ")
        words = shlex.split(line)
        if words[0] == "install":  # as whoever runs the test
            words = [word for word in words if word not in ("-o", "-g", "limosa-server")]
        if words[0] == "cp":
            words = [one for word in words for one in self._globbed(word)]
        program = str(BIN / words[0]) if words[0] == "limosa" else words[0]
        listen = ["--listen", f"127.0.0.1:{self.ports['443']}"] if "nginx-config" in words else []
        upstream = ["--upstream", f"127.0.0.1:{self.ports['8443']}"] if listen else []
        done = subprocess.run(
            [program, *words[1:], *listen, *upstream], cwd=self.root, capture_output=True, text=True,
            timeout=120, check=False, env=self._environment(),
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if output:
            Path(output).write_text(done.stdout)
        self.said[line] = done.stdout

    def _environment(self) -> dict[str, str]:
        token = self.root / "var/lib/limosa-server/admin.token"
        operator = {}
        if token.exists():
            operator = {
                "LIMOSA_SERVER": f"https://localhost:{self.ports['443']}",
                "LIMOSA_TOKEN": token.read_text().strip(),
                "LIMOSA_CA": str(self.root / "var/lib/limosa-server/trust/ca.crt"),
            }
        return {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/bin", **self.env, **operator}

    def _globbed(self, word: str) -> list[str]:
        found = ROOT.glob(word) if word.startswith("fleet_server/") else [word]
        return sorted(map(str, found))

    def _systemctl(self, words: list[str]) -> None:
        unit = words[-1]
        if words[0] in ("daemon-reload", "disable") or unit.endswith(".timer"):
            return
        if unit == "nginx":
            self._nginx()
            return
        service = unit_of(self.root / "etc/systemd/system" / unit)
        for name, value in (line.split("=", 1) for line in self._env_file(service)):
            self.env[name] = value
        for line in service.get("ExecStartPre", []):
            self._run_to_end(line)
        *first, last = service["ExecStart"]
        if service.get("Type") == ["oneshot"]:
            for line in (*first, last):
                self._run_to_end(line)
            return
        started = self.processes.start(self._words(last), name=unit, env=self.env)
        self.running[unit] = started
        if unit == "limosa-server.service":
            started.wait_for_log('"ready"', timeout_s=60)
        else:
            wait_for_port(self.ports["8883"])

    def _env_file(self, service: dict[str, list[str]]) -> list[str]:
        return [
            line
            for path in service.get("EnvironmentFile", [])
            for line in Path(self.put(path)).read_text().split()
        ]

    def _run_to_end(self, line: str) -> None:
        done = subprocess.run(
            self._words(line),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self._environment(),
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def _words(self, line: str) -> list[str]:
        line = self.put(line)
        for name, value in self.env.items():
            line = line.replace(f"${{{name}}}", value)
        words = shlex.split(line)
        # The units run as the server's user; here as whoever runs the tests, and mosquitto leaves root.
        return [*words, "--user", "root"] if "broker-config" in words and os.geteuid() == 0 else words

    def _nginx(self, *options: str) -> None:
        """The distribution's nginx.conf, as far as it is needed, with the page's file in it."""
        folder = self.root / "nginx"
        folder.mkdir(exist_ok=True)
        config = folder / "nginx.conf"
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/body; {temporary}\n"
            f"include {self.root}/etc/nginx/conf.d/*.conf; }}\n"
        )
        command = [require_program("nginx"), "-p", str(folder), "-c", str(config), *options]
        if options:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return
        self.running["nginx"] = self.processes.start(command, name="nginx")
        wait_for_port(self.ports["443"])


def unit_of(path: Path) -> dict[str, list[str]]:
    """[Service]: name -> values, lines that go on joined."""
    text = path.read_text().replace("\\\n", " ")
    section = text.partition("[Service]")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def machine(tmp_path: Path, processes: Processes, postgresql_cluster: Callable[[], object]) -> Machine:
    for program in ("mosquitto", "nginx", "curl"):
        require_program(program)
    database = Database("postgresql", tmp_path, postgresql_cluster)  # type: ignore[arg-type]  # a fixture's own type
    root = tmp_path / "root"
    for folder in ("etc/limosa/tls", "etc/nginx/conf.d", "etc/systemd/system", "var/lib", "mnt/backup"):
        (root / folder).mkdir(parents=True)
    ports = {"443": free_port(), "8443": free_port(), "8883": free_port()}
    return Machine(root, processes, str(database.place(empty=True)), str(database.place(empty=True)), ports)


def test_page_leads_to_a_server_that_holds_together_and_comes_back_from_its_backup(machine: Machine) -> None:
    env = re.search(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert env is not None
    (machine.root / "etc/limosa/server.env").write_text(machine.put(env[1]))
    for line in commands():
        if "nginx-config" in line:
            tls = machine.root / "var/lib/limosa-server/trust"
            shutil.copy(tls / "server.crt", machine.root / "etc/limosa/tls/fleet.crt")
            shutil.copy(tls / "server.pem", machine.root / "etc/limosa/tls/fleet.key")
        machine.run(line)

    assert json.loads(machine.said["curl"]) == {"status": "ok"}
    assert all(one.running for one in machine.running.values()), {
        n: p.log() for n, p in machine.running.items()
    }
    token = (machine.root / "var/lib/limosa-server/admin.token").read_text().strip()
    with machine.http({"Authorization": f"Bearer {token}"}) as http:
        names = {one["name"] for one in http.get("/api/v1/tokens").json()["items"]}
    assert "alice" in names
    assert " ERROR " not in machine.running["limosa-server.service"].log()
    assert (machine.root / "mnt/backup/limosa/backup.json").exists()
    assert machine.said  # every command that this machine can run was run
    assert {line.split()[0] for line in machine.not_here} <= {
        "apt-get", "python3", "/opt/limosa/bin/pip", "useradd", "usermod", "chown", "runuser", "export",
        "LIMOSA_PUBLIC_URL=https://fleet.example",
    }  # fmt: skip


def test_units_name_what_exists() -> None:
    for path in UNITS.glob("*.service"):
        service = unit_of(path)
        for line in (*service.get("ExecStartPre", []), *service["ExecStart"]):
            words = line.split()
            if words[0] != "/opt/limosa/bin/limosa":
                continue
            asked = subprocess.run(
                [str(BIN / "limosa"), *words[1:3], "--help"], capture_output=True, text=True, check=True
            ).stdout
            for option in re.findall(r"--[a-z-]+", line):
                assert option in asked, (path.name, option)
