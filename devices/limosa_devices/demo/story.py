"""The demo's acts, in order: a good release, a better one, and four ways to be bad or unlucky."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final

from limosa_devices.demo.ledger import Event
from limosa_devices.demo.motion import load
from limosa_devices.demo.processes import wait_until
from limosa_devices.demo.releases import NAME, STORIES, Story, build, with_golden_of
from limosa_devices.demo.stream import LiveStream
from limosa_devices.demo.verdict import Interval, Observed
from limosa_devices.demo.world import BIN, DemoDevice, World

ENDED: Final = (
    "COMPLETED",
    "FAILED",
    "ROLLED_BACK",
    "ROLLBACK_INCOMPLETE",
    "CANCELED",
    "INVALID",
    "SUPERSEDED",
)
ROLLOUT_TIMEOUT_S: Final = 120.0
EVERY_S: Final = 0.03  # each device's application asks about 30 times a second
IN_THE_MIDDLE: Final = ("DOWNLOADING", "VERIFYING", "STAGED", "SELF_TESTING", "ACTIVATING", "PROBATION")


@dataclass(slots=True)
class Play:
    """Runs the acts; `say` gets one line per thing that happened."""

    world: World
    say: Callable[[str], None]
    streams: dict[str, LiveStream] = field(default_factory=dict)
    archives: dict[str, Path] = field(default_factory=dict)
    ended: list[tuple[str, str]] = field(default_factory=list)
    killed: dict[str, Interval] = field(default_factory=dict)
    offline_converged: bool = False
    _heard: int = 0

    def run(self) -> None:
        with ThreadPoolExecutor(max_workers=1) as builder:
            building = {story.version: builder.submit(self._build, story) for story in STORIES}
            self.world.start_server()
            self.say(f"server   {self.world.url} ({'mutual TLS' if self.world.tls else 'loopback only'})")
            self.world.start_devices()
            self.say(f"devices  {len(self.world.devices)} enrolled, each a process of its own")
            self._first(building["1.0.0"])
            self._better(building["2.0.0"])
            for version in ("3.0.0", "3.0.1", "4.0.0"):
                self._bad(building[version], version)
        self._settle()

    # acts

    def _first(self, building: Future[Path]) -> None:
        number = self._roll_out(building.result(), "1.0.0", file="all.toml")
        for device in self.world.devices:
            self._await_version(device, "1.0.0")
            self._stream(device)
        self._finish(number, "1.0.0")

    def _better(self, building: Future[Path]) -> None:
        offline, unlucky = self.world.devices[self.world.proxied - 1], self.world.devices[-1]
        number = self._roll_out(building.result(), "2.0.0", file="staged.toml")
        for proxy in self.world.proxies:
            proxy.cut()
        before = self.streams[offline.name].requests
        self.say(f"link     cut at {offline.name}: no MQTT, no HTTPS; it goes on answering")
        self._kill_in_the_middle(unlucky, number)
        wait_until(
            lambda: self.streams[offline.name].requests > before + 50,
            timeout_s=60,
            what="fifty predictions without a link",
            every_s=0.2,
        )
        for proxy in self.world.proxies:
            proxy.mend()
        self.say(
            f"link     back at {offline.name} after {self.streams[offline.name].requests - before} answers"
        )
        self._finish(number, "2.0.0")
        self.offline_converged = self.world.ledger.running(NAME).get(offline.name) == "2.0.0"

    def _bad(self, building: Future[Path], version: str) -> None:
        number = self._roll_out(building.result(), version, file="staged.toml")
        self._finish(number, version)

    def _settle(self) -> None:
        """Waits until every device says that it runs the good version again, and for the last reports."""
        wait_until(
            lambda: self._running() == {f"{NAME}@2.0.0": len(self.world.devices)},
            timeout_s=60,
            what="every device running 2.0.0 again",
        )
        self._tell_news()
        for stream in self.streams.values():
            stream.stop()

    # steps

    def _build(self, story: Story) -> Path:
        folder = self.world.folder / "releases"
        limosa = str(BIN / "limosa")
        archive = build(self.world.processes, folder, story, limosa=limosa)
        if story.golden_of:
            archive = with_golden_of(archive, self.archives[story.golden_of])
        self.archives[story.version] = archive
        return archive

    def _roll_out(self, archive: Path, version: str, *, file: str) -> int:
        release = f"{NAME}@{version}"
        self.world.limosa("publish", str(archive), "--offline", str(self.world.offline_keys))
        title = next(story.title for story in STORIES if story.version == version)
        self.say(f"publish  {release}: {title}")
        text = files(__package__).joinpath("rollouts", file).read_text(encoding="utf-8")
        path = self.world.folder / f"rollout-{version}.toml"
        path.write_text(f'release = "{release}"\n{text}', encoding="utf-8")
        answer = self.world.limosa("rollout", "start", str(path))
        return int(str(answer["id"]))

    def _finish(self, number: int, version: str) -> None:
        def over() -> bool:
            self._tell_news()
            self._tell_waves(number)
            return self.world.ledger.rollout(number)[0] in ENDED

        wait_until(
            over, timeout_s=ROLLOUT_TIMEOUT_S, what=f"the rollout of {version} coming to an end", every_s=0.2
        )
        status, reason = self.world.ledger.rollout(number)
        self._tell_news()
        self.ended.append((f"{NAME}@{version}", status))
        outcome = reason.rpartition("; ")[2]  # the cause was said when its wave failed
        self.say(f"rollout  {NAME}@{version} {status}: {outcome}")

    def _kill_in_the_middle(self, device: DemoDevice, number: int) -> None:
        """SIGKILL to the supervisor once it says that it is at the new version, then a new start."""

        def in_the_middle() -> bool:
            self._tell_news()
            self._tell_waves(number)
            return any(
                event.device == device.name and event.version == "2.0.0" and event.phase in IN_THE_MIDDLE
                for event in self.world.ledger.events()
            )

        wait_until(in_the_middle, timeout_s=ROLLOUT_TIMEOUT_S, what=f"{device.name} updating", every_s=0.05)
        if device.process is None:
            raise RuntimeError("the agent was not started")
        begin = time.time()
        device.process.kill()
        self.say(f"kill     SIGKILL to the supervisor of {device.name} in the middle of its update")
        self.world.start_agent(device)
        self.world.await_agent(device)
        stream = self.streams[device.name]
        answered = sum(stream.answers.values())
        wait_until(
            lambda: sum(stream.answers.values()) > answered,
            timeout_s=60,
            what=f"{device.name} answering again",
        )
        self.killed[device.name] = Interval(begin=begin, end=time.time())
        self.say(f"start    {device.name} answers again {time.time() - begin:.1f} s after it was killed")

    def _stream(self, device: DemoDevice) -> None:
        stream = LiveStream(
            device=device.name, port=device.port, motion=load("live"), seed=device.number, every_s=EVERY_S
        )
        self.streams[device.name] = stream
        stream.start()

    def _await_version(self, device: DemoDevice, version: str) -> None:
        wait_until(
            lambda: self.world.ledger.running(NAME).get(device.name) == version,
            timeout_s=ROLLOUT_TIMEOUT_S,
            what=f"{device.name} running {version}",
        )

    # telling

    _waves: dict[tuple[int, str], str] = field(default_factory=dict)

    def _tell_news(self) -> None:
        for event in self.world.ledger.events(after=self._heard):
            self._heard = event.id
            if event.kind == "alarm" or event.phase in ("COMMITTED", "REJECTED", "FELL_BACK"):
                self.say(_sentence(event))

    def _tell_waves(self, number: int) -> None:
        for name, status, reason in self.world.ledger.waves(number):
            if self._waves.get((number, name), "PENDING") != status:
                self._waves[(number, name)] = status
                self.say(f"wave     {name} {status}" + (f": {reason}" if reason else ""))

    # facts

    def _running(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for version in self.world.ledger.running(NAME).values():
            counts[f"{NAME}@{version}"] = counts.get(f"{NAME}@{version}", 0) + 1
        return counts

    def observed(self, *, seconds: float) -> Observed:
        events = self.world.ledger.events()
        running = self.world.ledger.running(NAME)
        crashes: dict[str, list[float]] = {}
        for event in events:
            if event.code in ("worker_crashed", "crash_loop"):
                crashes.setdefault(event.device, []).append(event.at)
        return Observed(
            devices=len(self.world.devices),
            rollouts=tuple(self.ended),
            running=self._running(),
            fallbacks=sum(event.kind == "update" and event.phase == "FELL_BACK" for event in events),
            rejected=sum(event.kind == "update" and event.phase == "REJECTED" for event in events),
            requests=sum(stream.requests for stream in self.streams.values()),
            failures=[failure for stream in self.streams.values() for failure in stream.failures],
            crashes=crashes,
            killed=self.killed,
            offline_converged=self.offline_converged,
            killed_recovered=bool(self.killed) and all(running.get(name) == "2.0.0" for name in self.killed),
            stopped={(event.version, event.phase, event.code) for event in events if event.kind == "update"},
            seconds=seconds,
        )


def _sentence(event: Event) -> str:
    if event.kind == "alarm":
        return f"device   {event.device} reports: {event.reason} ({event.version})"
    if event.code == "already_installed":
        return f"device   {event.device} goes on with {event.version}"
    verb = {"COMMITTED": "commits", "REJECTED": "rejects", "FELL_BACK": "falls back from"}[event.phase]
    why = f": {event.reason}" if event.reason and event.phase != "COMMITTED" else ""
    return f"device   {event.device} {verb} {event.version}{why}"
