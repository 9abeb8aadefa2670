"""`limosa target list | show`."""

from __future__ import annotations

from difflib import get_close_matches

import click

from limosa_compiler.errors import UnknownTarget
from limosa_contracts.cli import answer, columns, group, json_option
from limosa_contracts.profiles import Profile, load_profiles


@group("target", examples=["limosa target list", "limosa target show rpi5"])
def target() -> None:
    """Device profiles that can be built for."""


@target.command("list", examples=["limosa target list", "limosa target list --json"])
@json_option
def list_targets(as_json: bool) -> None:
    """List the device profiles that can be built for."""
    profiles = load_profiles()
    rows = [
        [
            profile.name,
            profile.title,
            " ".join(profile.architectures),
            " ".join(profile.cpu_features) or "-",
            " ".join(profile.precisions),
        ]
        for profile in profiles.values()
    ]
    answer(
        {"targets": [profile.as_json() for profile in profiles.values()]},
        as_json=as_json,
        text=lambda: columns(["TARGET", "DEVICE", "ARCHITECTURE", "CPU", "PRECISIONS"], rows),
    )


@target.command("show", examples=["limosa target show rpi5", "limosa target show generic-x86-64 --json"])
@click.argument("name")
@json_option
def show_target(name: str, as_json: bool) -> None:
    """Show one device profile, and where each of its figures is from."""
    profiles = load_profiles()
    if name not in profiles:
        near = get_close_matches(name, list(profiles), n=1)
        raise UnknownTarget(
            f"there is no target {name[:80]!r}",
            where="target",
            hint=f"did you mean {near[0]!r}? All of them: limosa target list" if near else "",
        )
    profile = profiles[name]
    answer(profile.as_json(), as_json=as_json, text=lambda: _text(profile))


def _text(profile: Profile) -> str:
    limits = profile.limits
    figures = {
        "architectures": " ".join(profile.architectures),
        "cpu_features": " ".join(profile.cpu_features) or "-",
        "accelerators": " ".join(profile.accelerators) or "-",
        "cores": str(profile.cores),
        "memory_bytes": str(profile.memory_bytes),
        "storage_bytes": str(profile.storage_bytes or "-"),
        "precisions": " ".join(profile.precisions),
        "runtimes": ", ".join(f"{need.name} >= {need.min_version}" for need in profile.runtimes),
        "limits": f"artifact {limits.artifact_bytes or '-'}, memory {limits.memory_bytes or '-'} bytes",
    }
    rows = [[name, value, profile.source.get(name, "")] for name, value in figures.items()]
    return f"{profile.name}: {profile.title}\n\n{columns(['FIGURE', 'VALUE', 'FROM'], rows)}"
