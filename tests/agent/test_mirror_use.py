"""Devices that only ever see a stick: the whole agent, with its server gone (trust 3.5)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.agent.device import Device
from tests.agent.fleet import DEVICE, Fleet
from tests.support.mirror_folder import write_mirror


def stick(fleet: Fleet, folder: Path, *, name: str = "m") -> Path:
    return write_mirror(folder, fleet.world.server.files, desired={DEVICE: fleet.desired}, name=name)


def serves(device: Device, version: str) -> bool:
    answered = json.loads(device.command("status", "--json").stdout)
    return [(m["serving"], m["phase"]) for m in answered["models"]] == [(version, "COMMITTED")]


def test_an_operator_brings_a_release_on_a_stick(device: Device, fleet: Fleet, tmp_path: Path) -> None:
    fleet.want(device.publish("1.0.0"), seconds=0.3)
    folder = stick(fleet, tmp_path / "stick")
    fleet.down = True
    device.start()
    done = device.command("update", "--from", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"mirror": str(folder), "desired": True, "new": True}
    device.wait_for(lambda: serves(device, "1.0.0"), "1.0.0 from the stick")
    assert device.ask(2.0) == 2.0
    again = device.command("update", "--from", str(folder))
    assert "what this device knows already" in again.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = device.command("update", "--from", str(empty))
    assert (refused.returncode, "error[LM-528]" in refused.stderr) == (6, True), refused
    assert device.stop() == 0


def test_a_stick_that_is_plugged_in_is_found_and_one_that_lies_gives_way_to_the_server(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    port = tmp_path / "media"
    device.write_config(**{"mirror.paths": [f"{port}/*/limosa"], "mirror.look_every_s": 0.1})
    one = device.publish("1.0.0")
    fleet.want(one, seconds=0.3)
    lying = stick(fleet, tmp_path / "lying")
    for blob in (lying / "blobs" / "sha256").iterdir():
        blob.write_bytes(b"something else")
    fleet.down = True
    device.start()
    shutil.copytree(lying, port / "usb0" / "limosa")
    device.wait_for(lambda: "is not used any more" in device.log(), "the lying stick is forgotten")
    fleet.down = False
    device.wait_for(lambda: fleet.serves("1.0.0"), "1.0.0 from the server")
    fleet.down = True
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.3, inferences=1)
    stick(fleet, tmp_path / "next", name="n").rename(port / "usb1-half")
    (port / "usb1").mkdir()
    (port / "usb1-half").rename(port / "usb1" / "limosa")
    device.wait_for(lambda: device.ask(2.0) == 4.0, "2.0.0 from the second stick")
    assert device.stop() == 0
