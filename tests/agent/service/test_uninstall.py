"""Coming and going: what an agent put on a device goes again, and what is not its own stays (agent 7.2)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from limosa_agent.config import AgentConfig
from limosa_agent.service import uninstall
from limosa_agent.service.errors import UninstallRefused
from tests.agent.device import Device
from tests.agent.fleet import Fleet
from tests.support.processes import script


def everything_below(*folders: Path) -> list[Path]:
    return [path for folder in folders if folder.exists() for path in folder.rglob("*") if not path.is_dir()]


def test_device_that_ran_for_a_while_is_left_as_it_was(device: Device, fleet: Fleet, tmp_path: Path) -> None:
    root = tmp_path / "root"
    device.write_config(listen="127.0.0.1:8080", socket=str(tmp_path / "limosa-run" / "infer.sock"))
    program = ("--root", str(root), "--program", "/opt/limosa/bin/limosa-agent")
    written = device.command("install-service", *program, "--json")
    if tmp_path.is_relative_to("/home") or tmp_path.is_relative_to("/root"):
        assert "LM-540" in written.stderr
    else:
        assert len(json.loads(written.stdout)["written"]) == 3
    device.write_config(socket=str(tmp_path / "limosa-run" / "infer.sock"))
    device.start()
    fleet.want(device.publish("1.0.0"), rollout="r1", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r1") and fleet.serves("1.0.0"), "committed")
    fleet.want(device.publish("2.0.0"), rollout="r2", seconds=0.3)
    device.wait_for(lambda: "COMMITTED" in fleet.phases("r2") and fleet.serves("2.0.0"), "committed")
    (device.state / "hold").touch()

    refused = device.command("uninstall", "--root", str(root), "--yes")
    assert (refused.returncode, "LM-541" in refused.stderr) == (2, True), "it runs"
    assert device.ask(1.0) == 2.0
    assert device.stop() == 0

    would = json.loads(device.command("uninstall", "--root", str(root), "--dry-run", "--json").stdout)
    assert str(device.state / "identity") in would["removed"]
    assert (device.state / "identity" / "key.pem").exists(), "a dry run removes nothing"
    assert device.command("uninstall", "--root", str(root)).returncode != 0, "nobody said yes"
    assert (device.state / "identity" / "key.pem").exists()

    done = device.command("uninstall", "--root", str(root), "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)["kept"]) == (0, []), done.stderr
    assert everything_below(root, device.state, tmp_path / "limosa-run") == []
    assert not device.state.exists()
    assert not device.config.exists()


def test_file_of_somebody_else_in_the_state_folder_is_kept_and_named(tmp_path: Path) -> None:
    config, path = state_folder(tmp_path)
    (config.state_dir / "holiday.jpg").write_bytes(b"not a model")
    left = uninstall.remove(config, path, root=tmp_path / "root")
    assert list(left.kept) == [config.state_dir / "holiday.jpg"]
    assert [entry.name for entry in config.state_dir.iterdir()] == ["holiday.jpg"]


def state_folder(tmp_path: Path) -> tuple[AgentConfig, Path]:
    path = tmp_path / "agent.toml"
    path.write_text(f'server = "https://fleet.example"\nstate_dir = "{tmp_path / "state"}"\n')
    config = AgentConfig.load(path)
    for name in ("identity", "models", "blobs"):
        (config.state_dir / name).mkdir(parents=True)
    (config.state_dir / "identity" / "key.pem").write_bytes(b"key")
    (config.state_dir / "agent.lock").touch()
    return config, path


def test_what_is_removed_from_an_image_is_not_that_of_the_machine_that_makes_it(tmp_path: Path) -> None:
    here, _ = state_folder(tmp_path)
    image = tmp_path / "image"
    there = image / here.state_dir.relative_to("/")
    (there / "identity").mkdir(parents=True)
    path = image / "etc" / "limosa" / "agent.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'server = "https://fleet.example"\nstate_dir = "{here.state_dir}"\n')
    would = uninstall.plan(AgentConfig.load(path), path, root=image)
    assert all(entry.is_relative_to(image) for entry in would.removed)
    uninstall.remove(AgentConfig.load(path), path, root=image)
    assert (here.state_dir / "identity" / "key.pem").exists()
    assert not there.exists()
    assert not path.exists()


@pytest.mark.parametrize("left", ["identity", "agent.lock", "state.db"])
def test_removal_that_was_cut_is_taken_up_again(tmp_path: Path, left: str) -> None:
    config, path = state_folder(tmp_path)
    uninstall.remove(config, path, root=tmp_path / "root")
    path.write_text(f'server = "https://fleet.example"\nstate_dir = "{config.state_dir}"\n')
    config.state_dir.mkdir()
    (config.state_dir / left).touch()
    uninstall.remove(config, path, root=tmp_path / "root")
    assert not config.state_dir.exists()


def test_folder_that_is_no_state_folder_is_not_emptied_by_a_slip_of_the_pen(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "models").mkdir()  # a name that the agent uses too
    link = tmp_path / "link"
    real, _ = state_folder(tmp_path)
    link.symlink_to(real.state_dir)
    for folder in (photos, link, Path("/"), Path("/var/lib"), Path("/usr"), Path.home()):
        config = AgentConfig(server="https://fleet.example", state_dir=folder)
        with pytest.raises(UninstallRefused):
            uninstall.remove(config, tmp_path / "agent.toml", root=tmp_path / "root")
    assert (photos / "models").is_dir()
    assert (real.state_dir / "identity" / "key.pem").exists()


def test_link_in_the_state_folder_is_removed_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    config, path = state_folder(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (config.state_dir / "models").rmdir()
    (config.state_dir / "models").symlink_to(elsewhere)
    uninstall.remove(config, path, root=tmp_path / "root")
    assert (elsewhere / "precious").exists()
    assert not os.path.lexists(config.state_dir)


def test_program_names_its_commands() -> None:
    assert Path(script("limosa-agent")).exists()
