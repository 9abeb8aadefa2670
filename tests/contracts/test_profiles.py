"""Device profiles: found by entry point, strict, and each figure has a source (compiler 5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from limosa_contracts.cpu_features import FLAGS_OF_FEATURE, features_of_flags
from limosa_contracts.errors import InvalidField
from limosa_contracts.profiles import Profile, load_profiles

GOLDEN = (Path(__file__).parent / "golden" / "profile-1.toml").read_text()


def test_version_1_is_read() -> None:
    profile = Profile.parse(GOLDEN, where="profile-1.toml")
    assert (profile.name, profile.architectures, profile.cores) == ("rpi5", ("aarch64",), 4)
    assert profile.cpu_features == ("neon", "dotprod", "fp16")
    assert profile.limits.memory_bytes == 1024**3
    assert profile.runtimes[0].name == "onnxruntime"


def test_every_device_that_was_promised_has_a_profile() -> None:
    promised = {
        "rpi3", "rpi4", "rpi5", "zero2w", "jetson-orin-nano", "coral", "imx8mp", "n100",
        "generic-x86-64", "generic-x86-64-vnni", "generic-aarch64", "generic-armv7",
    }  # fmt: skip
    assert promised <= set(load_profiles())


@pytest.mark.parametrize("name", sorted(load_profiles()))
def test_figures_say_where_they_are_from(name: str) -> None:
    source = load_profiles()[name].source
    assert {"cores", "memory_bytes", "cpu_features", "storage_bytes", "limits"} <= set(source)
    assert all(source.values())


def test_coral_takes_int8_only() -> None:
    assert load_profiles()["coral"].precisions == ("int8",)


@pytest.mark.parametrize(
    "old, new, where",
    [
        ("cores = 4", "core = 4", "cores"),
        ("cores = 4", "cores = 4\ncolour = 1", "colour"),
        ('"aarch64"', '"arm64"', "architectures"),
        ('"dotprod"', '"asimddp"', "cpu_features"),
        ('precisions = ["int8", "fp16", "fp32"]', "precisions = []", "precisions"),
        ('name = "onnxruntime"', 'name = "tensorrt"', "name"),
        ("[limits]", "[limits]\nmemory = 1", "memory"),
        ("limosa.profile/1", "limosa.profile/2", "schema"),
        ("cores = 4", "cores = ", ""),
    ],
)
def test_mistake_in_a_profile_is_refused_where_it_is(old: str, new: str, where: str) -> None:
    assert old in GOLDEN
    with pytest.raises(InvalidField) as refused:
        Profile.parse(GOLDEN.replace(old, new, 1), where="p.toml")
    assert refused.value.where.startswith("p.toml")
    assert where in refused.value.where


def test_cpu_flags_have_one_name_on_every_architecture() -> None:
    assert features_of_flags(["fpu", "sse4_2", "avx2", "avx512_vnni"]) == {"avx2", "vnni"}
    assert features_of_flags(["fp", "asimd", "asimdhp", "asimddp"]) == {"neon", "fp16", "dotprod"}
    assert features_of_flags([]) == frozenset()
    used = {feature for profile in load_profiles().values() for feature in profile.cpu_features}
    assert used <= set(FLAGS_OF_FEATURE)
