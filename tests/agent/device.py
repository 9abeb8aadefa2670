"""One agent as a process, with a client that asks it for predictions."""

from __future__ import annotations

import dataclasses
import http.client
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limosa_agent.config import AgentConfig
from limosa_agent.identity.enroll import enroll
from tests.agent.fetch.world import Published
from tests.agent.fleet import Fleet
from tests.agent.serving.releases import Plan, install, tiny_plan
from tests.support.processes import Processes, Started, script
from tests.support.waiting import wait_until

MODEL = "demo/motion"


def files_of(plan: Plan, folder: Path) -> dict[str, bytes]:
    """The plain files of a release for this model."""
    slot = install(dataclasses.replace(plan, model=MODEL), folder)
    return {path.name: path.read_bytes() for path in Path(slot.directory).iterdir()}


@dataclass
class Device:
    folder: Path
    fleet: Fleet
    processes: Processes
    process: Started | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)  # of its processes, beside the test's own

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def write_config(self, **more: object) -> None:
        self.folder.mkdir(exist_ok=True)
        keys = {
            "server": self.fleet.url,
            "state_dir": str(self.state),
            "listen": "127.0.0.1:0",
            "reconnect_min_s": 0.1,
            "reconnect_max_s": 0.3,
            "poll_interval_s": 0.3,
            "observe_every_s": 0.2,
            "ack_timeout_s": 2.0,
            "serving.graph_cache": False,  # a process less per update; the demo's devices make theirs
            **more,
        }
        self.config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items()))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script("limosa-agent"), *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def enroll(self) -> None:
        """What `limosa-agent enroll` calls; the command itself is asked in identity/test_enroll.py."""
        enroll(AgentConfig.load(self.config), token=self.fleet.token, serial="")

    def start(self) -> None:
        command = [script("limosa-agent"), "run", "--config", str(self.config)]
        self.process = self.processes.start(command, name="agent", env=self.env)
        self.process.wait_for_log('"ready": true')
        line = next(line for line in self.process.log().splitlines() if line.startswith('{"ready"'))
        self.ready = json.loads(line)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def stop(self) -> int:
        assert self.process is not None
        return self.process.stop()

    def log(self) -> str:
        return self.process.log() if self.process else ""

    def publish(
        self, version: str, plan: Plan | None = None, *,
        spoil: Callable[[dict[str, bytes]], None] | None = None, **more: Any,
    ) -> Published:  # fmt: skip
        """A release whose answers say which version gave them: y = major * x."""
        factor = float(version.split(".")[0])
        files = files_of(plan or tiny_plan(version, factor=factor), self.folder / "built" / version)
        if spoil is not None:
            spoil(files)
        return self.fleet.world.publish(version, files, **more)

    def ask(self, value: float = 1.0) -> float:
        """y of x = value. Raises AssertionError for anything but an answer."""
        host, port = self.ready["listen"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [value] * 3}]}
        try:
            connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
            response = connection.getresponse()
            answered = json.loads(response.read())
        finally:
            connection.close()
        assert response.status == 200, answered
        return float(answered["outputs"][0]["data"][0])

    def wait_for(self, fact: Callable[[], bool], what: str, *, timeout_s: float = 30) -> None:
        wait_until(
            fact,
            timeout_s=timeout_s,
            what=lambda: (
                f"{what}; events {[(e.rollout, e.phase.value, e.reason) for e in self.fleet.events()]}\n"
                + "\n".join(self.log().splitlines()[-25:])
            ),
        )
