"""A real server process takes up what is replaced in its trust folder, without a restart (trust 1.2)."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from limosa_compiler.trust.ceremony import init_keys
from limosa_contracts.cli import run
from limosa_contracts.cli_host import make_host
from tests.support.processes import Processes, script
from tests.support.programs import require_program
from tests.support.waiting import wait_until


def keys(*words: str | Path) -> int:
    return run(make_host(), prog_name="limosa", args=["keys", *(str(word) for word in words)])


def test_a_running_server_shows_a_new_certificate_and_a_new_root(
    tmp_path: Path, processes: Processes
) -> None:
    require_program("mosquitto")
    offline, data = tmp_path / "offline", tmp_path / "data"
    trust = data / "trust"
    init_keys(offline=offline, server=trust, team="demo", now=datetime.now(UTC), dev=True)
    server = processes.start(
        [
            script("limosa"),
            "server",
            "run",
            "--data",
            str(data),
            "--listen",
            "127.0.0.1:0",
            "--mqtt-port",
            "0",
        ],
        name="server",
    )
    server.wait_for_log('"ready"', timeout_s=60)
    ready = next(json.loads(line) for line in server.log().splitlines() if line.startswith('{"ready"'))
    web, mqtt = urlsplit(ready["url"]), urlsplit(ready["mqtt"])
    places = [(str(one.hostname), int(one.port or 0)) for one in (web, mqtt)]
    before = [ssl.get_server_certificate(place) for place in places]
    context = ssl.create_default_context(cafile=trust / "ca.crt")
    token = (data / "admin.token").read_text().strip()
    with httpx.Client(
        base_url=ready["url"], verify=context, headers={"Authorization": f"Bearer {token}"}, timeout=30
    ) as standing:
        standing.get("/healthz").raise_for_status()
        assert keys("rotate", "server-certificate", "--server", trust, "--host", "fleet.example.com") == 0
        wait_until(
            lambda: all(
                ssl.get_server_certificate(place) != old for place, old in zip(places, before, strict=True)
            ),
            timeout_s=30,
            what="web server and broker show the new certificate",
        )
        standing.get("/healthz").raise_for_status()
        assert keys("rotate", "snapshot", "--server", trust, "--offline", offline) == 0
        wait_until(
            lambda: httpx.get(f"{ready['url']}/tuf/metadata/2.root.json", verify=context).status_code == 200,
            timeout_s=30,
            what="the new root is served",
        )

        def noted() -> list[str]:
            rows = standing.get("/api/v1/audit").json()["items"]
            return [row["object"] for row in rows if row["action"] == "key.replace"]

        wait_until(lambda: len(noted()) == 2, timeout_s=10, what="both are noted")
        assert noted() == ["server certificate", "snapshot"]
