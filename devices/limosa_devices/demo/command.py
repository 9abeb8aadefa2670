"""`limosa demo`."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from limosa_contracts.cli import answer, columns, command, json_option
from limosa_contracts.errors import Interrupted
from limosa_devices.demo.errors import DemoIncomplete
from limosa_devices.demo.story import Play
from limosa_devices.demo.verdict import Verdict, judge
from limosa_devices.demo.world import World, broker_here

DEVICES_MIN = 5  # a canary, a wave of two, one whose link is cut, one whose supervisor is killed
DEVICES_MAX = 24
PROXIED = 4  # in the last wave, so that no gate waits for the device whose link is cut


@command(
    "demo",
    examples=[
        "limosa demo",
        "limosa demo --keep       # leave everything running, with the dashboard",
        "limosa demo --json | tail -1",
    ],
)
@click.option("--devices", type=click.IntRange(DEVICES_MIN, DEVICES_MAX), default=6, show_default=True)
@click.option(
    "--broker",
    type=click.Choice(["auto", "mosquitto", "iotcore"]),
    default="auto",
    show_default=True,
    help="mosquitto is used with mutual TLS; iotcore comes with limosa and speaks plainly on loopback.",
)
@click.option("--keep", is_flag=True, help="Go on after the end, until interrupted, and keep the folder.")
@json_option
def demo(devices: int, broker: str, keep: bool, as_json: bool) -> None:
    """See the whole loop on this machine: one server, real devices, good and bad releases.

    Everything is real: quantized models, signatures, a broker, one process per device, and an
    application on each that asks for predictions all the time. It takes about two minutes.
    """
    begin = time.monotonic()
    with _folder(keep=keep) as folder, _terminated_as_interrupted():
        chosen = broker_here() if broker == "auto" else broker
        world = World(folder=folder, devices_wanted=devices, proxied=PROXIED, broker=chosen)
        play = Play(world=world, say=lambda line: _say(line, since=begin))
        try:
            play.run()
            verdict = judge(play.observed(seconds=time.monotonic() - begin))
            if keep:
                _stay(world)
        finally:
            for stream in play.streams.values():
                stream.stop()
            world.stop()
    answer(dict(verdict.result), as_json=as_json, text=lambda: _table(verdict))
    if not verdict.ok:
        raise DemoIncomplete("not everything was observed", why="; ".join(verdict.missing))


def _say(line: str, *, since: float) -> None:
    click.echo(f"{time.monotonic() - since:6.1f} s  {line}", err=True)


def _stay(world: World) -> None:
    token = (world.data / "admin.token").read_text(encoding="utf-8").strip()
    click.echo(
        f"\ndashboard  {world.url}/\nsign in    {token}\nfolder     {world.folder}\n"
        f"commands   export LIMOSA_SERVER={world.url} LIMOSA_TOKEN={token}"
        f" LIMOSA_CA={world.data / 'trust' / 'ca.crt'}\nCtrl-C ends it.",
        err=True,
    )
    try:
        signal.pause()
    except (KeyboardInterrupt, Interrupted):
        click.echo("stopping", err=True)


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="limosa-demo-"))
    try:
        yield folder
    except BaseException:
        click.echo(f"the logs are in {folder}", err=True)
        raise
    else:
        if not keep:
            shutil.rmtree(folder)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: with every process stopped."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted("the demo was ended")

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _table(verdict: Verdict) -> str:
    result = verdict.result
    rollouts = result["rollouts"]
    rows = [
        [str(item["release"]), str(item["status"])]
        for item in (rollouts if isinstance(rollouts, list) else [])
    ]
    facts = [
        [name.replace("_", " "), json.dumps(result[name])]
        for name in result
        if name not in ("schema", "rollouts")
    ]
    return columns(["RELEASE", "ROLLOUT"], rows) + "\n\n" + columns(["OBSERVED", ""], facts)
