"""Device profiles of one's own: written, checked, and built for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from limosa_compiler.commands.target import target
from limosa_compiler.errors import ProfileDoubtful, ProfileUnusable, UnknownTarget
from limosa_compiler.targets.files import known_profiles, profile_named, read_profile, this_machine
from limosa_compiler.targets.profiles import MachineFacts, differences, draft_profile, findings, profile_text
from limosa_contracts.profiles import Profile, load_profiles

PI = MachineFacts(architecture="aarch64", cpu_features=("neon",), cores=4, memory_bytes=4 * 1024**3)


def run(*words: str) -> Result:
    return CliRunner().invoke(target, list(words))


@pytest.mark.parametrize("name", sorted(load_profiles()))
def test_every_profile_survives_being_written_and_read_again(name: str) -> None:
    profile = load_profiles()[name]
    assert Profile.parse(profile_text(profile), where=name) == profile


@pytest.mark.parametrize("name", sorted(load_profiles()))
def test_every_installed_profile_holds_and_says_where_its_figures_are_from(name: str) -> None:
    assert findings(load_profiles()[name]) == ()


def test_a_profile_of_this_machine_fits_this_machine(tmp_path: Path) -> None:
    profile = draft_profile("box", this_machine())
    assert differences(profile, this_machine()) == ()
    (tmp_path / "box.toml").write_text(profile_text(profile))
    assert read_profile(tmp_path / "box.toml") == profile


def test_a_device_that_lacks_what_the_profile_promises_is_told_apart() -> None:
    wanted = replace(draft_profile("pi", PI), cpu_features=("neon", "dotprod"), cores=8)
    assert differences(wanted, PI) == ("the CPU lacks dotprod", "4 cores, not 8")
    assert differences(load_profiles()["n100"], PI)[0].startswith("architecture aarch64")


def test_a_profile_that_contradicts_itself_is_found_out() -> None:
    good = draft_profile("pi", PI)
    serious = [
        replace(good, cpu_features=("vnni",)),
        replace(good, limits=replace(good.limits, memory_bytes=good.memory_bytes + 1)),
        replace(good, storage_bytes=good.limits.artifact_bytes),
    ]
    for profile in serious:
        assert any(item.serious for item in findings(profile)), profile
    slow = findings(replace(good, precisions=("fp16", "fp32")))
    assert [item.serious for item in slow] == [False]
    nameless = findings(replace(good, source={}))
    assert len(nameless) == 5
    assert not any(item.serious for item in nameless)


def test_a_file_may_not_take_an_installed_profiles_name(tmp_path: Path) -> None:
    (tmp_path / "rpi4.toml").write_text(profile_text(load_profiles()["rpi4"]))
    with pytest.raises(ProfileUnusable) as caught:
        known_profiles(tmp_path)
    assert "rpi4" in caught.value.why


@pytest.mark.parametrize(
    "text",
    [b"", b"schema = 1", b"\xff\xfe", b"x" * 70_000, profile_text(draft_profile("other", PI)).encode()],
)
def test_what_is_no_profile_is_refused_by_file(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "kiosk.toml"
    file.write_bytes(text)
    with pytest.raises(ProfileUnusable) as caught:
        read_profile(file)
    assert str(file) in caught.value.where
    with pytest.raises(ProfileUnusable):
        read_profile(tmp_path / "missing.toml")


def test_new_then_check_then_named_by_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "boards" / "kiosk.toml"
    assert run("new", "kiosk", "--like", "rpi4", "--output", str(file)).exit_code == 0
    assert run("new", "kiosk", "--output", str(file)).exit_code != 0, "nothing is overwritten"
    done = run("check", str(file), "--json")
    assert json.loads(done.stdout.splitlines()[-1])["warnings"] == []
    known = known_profiles(file.parent)
    assert known["kiosk"].memory_bytes == known["rpi4"].memory_bytes
    with pytest.raises(UnknownTarget) as caught:
        profile_named("kiosc", known)
    assert "kiosk" in caught.value.hint
    listed = run("list", "--profiles", str(file.parent))
    assert "kiosk" in listed.output


def test_this_machine_is_no_coral_board() -> None:
    done = run("check", "coral", "--here")
    assert isinstance(done.exception, ProfileDoubtful)
    assert done.exception.evidence["this_machine"]
