"""What an operator at the device gets to see: status, doctor, logs, metrics, over a day's troubles."""

from __future__ import annotations

import http.client
import json
import os
import re
import sqlite3
from contextlib import closing
from typing import Any

from tests.agent.device import Device
from tests.agent.fleet import DEVICE, Fleet


def told(device: Device, *words: str, code: int = 0) -> Any:
    done = device.command(*words, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def checks(device: Device, *, code: int) -> dict[str, tuple[str, str]]:
    findings = told(device, "doctor", code=code)["findings"]
    return {f["name"]: (f["level"], f["says"]) for f in findings}


def scraped(device: Device) -> dict[str, float]:
    host, port = device.ready["listen"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    with closing(connection):
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        text = answer.read().decode()
    return {
        name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)
    }


def test_everything_that_an_operator_asks_is_answered_while_a_version_arrives(
    device: Device, fleet: Fleet
) -> None:
    device.start()
    fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")
    assert device.ask(1.0) == 1.0
    lines = told(device, "logs", "--model", "demo/motion", "--lines", "1000")["lines"]
    steps = [line["message"].split()[2] for line in lines if " is " in line["message"]]
    assert steps[-1].rstrip(":") == "COMMITTED"
    assert {(line["device"], line["rollout"]) for line in lines if " is " in line["message"]} == {
        (DEVICE, "r1")
    }
    assert fleet.token not in (device.state / "logs" / "agent.jsonl").read_text(encoding="utf-8")
    assert "COMMITTED" in device.command("logs", "--level", "info").stdout

    serving = 'limosa_agent_model_serving{model="demo/motion",version="1.0.0"'
    device.wait_for(
        lambda: any(name.startswith(serving) for name in scraped(device)), "the supervisor's metrics"
    )
    found = scraped(device)
    assert found['limosa_serving_inferences_total{model="demo/motion",version="1.0.0"}'] >= 1
    assert found['limosa_agent_model_phase{model="demo/motion",phase="COMMITTED"}'] == 1
    assert "limosa_agent_outbox_rows" in told(device, "metrics")["text"]

    status = device.command("status").stdout
    assert "✗ mqtt" in status
    assert re.search(r"demo/motion +1\.0\.0 +1\.0\.0 +COMMITTED +r1", status)
    seen = checks(device, code=3)
    assert {name for name, (level, _) in seen.items() if level == "wrong"} == {"broker", "agent"}
    assert seen["account"][1] == "the server knows this device"
    os.chmod(device.state / "identity" / "key.pem", 0o644)  # noqa: PTH101  the doctor is to find it
    assert checks(device, code=3)["permissions"] == ("wrong", "others may read this device's key")
    (device.state / "identity" / "key.pem").chmod(0o600)
    assert device.stop() == 0
    assert told(device, "logs")["lines"], "also while the agent is down"
    assert checks(device, code=3)["agent"][0] == "wrong"


def test_device_that_only_serves_says_why_and_what_to_do(device: Device, fleet: Fleet) -> None:
    device.start()
    fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r1"), "1.0.0 committed")
    assert device.stop() == 0
    with closing(sqlite3.connect(device.state / "state.db")) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute("PRAGMA user_version = 99")
    device.start()
    assert device.ask(1.0) == 1.0
    status = told(device, "status")
    assert status["safe_mode"]["code"] == "LM-507"
    assert "install the newer agent again" in device.command("status").stdout
    refused = device.command("slots")
    assert (refused.returncode, "LM-533" in refused.stderr) == (1, True)
    assert "only serves" in checks(device, code=3)["agent"][1]
    with closing(sqlite3.connect(device.state / "state.db")) as db:
        db.execute(f"PRAGMA user_version = {version}")
    device.wait_for(lambda: '"safe_mode": null' in device.command("status", "--json").stdout, "it is whole")
    assert device.stop() == 0
