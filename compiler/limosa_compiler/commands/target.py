"""`limosa target list | show | new | check`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from limosa_compiler.errors import ProfileDoubtful, ProfileUnusable
from limosa_compiler.targets.files import known_profiles, profile_named, read_profile, this_machine
from limosa_compiler.targets.profiles import differences, draft_profile, findings, profile_text
from limosa_contracts.cli import answer, columns, group, json_option, progress
from limosa_contracts.names import check_name
from limosa_contracts.profiles import Profile

FOLDER = click.option(
    "--profiles",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of profiles of your own.",
)


@group("target", examples=["limosa target list", "limosa target show rpi5"])
def target() -> None:
    """Device profiles that can be built for."""


@target.command("list", examples=["limosa target list", "limosa target list --profiles boards --json"])
@FOLDER
@json_option
def list_targets(profiles: Path | None, as_json: bool) -> None:
    """List the device profiles that can be built for."""
    known = known_profiles(profiles)
    rows = [
        [
            profile.name,
            profile.title,
            " ".join(profile.architectures),
            " ".join(profile.cpu_features) or "-",
            " ".join(profile.precisions),
        ]
        for profile in known.values()
    ]
    answer(
        {"targets": [profile.as_json() for profile in known.values()]},
        as_json=as_json,
        text=lambda: columns(["TARGET", "DEVICE", "ARCHITECTURE", "CPU", "PRECISIONS"], rows),
    )


@target.command("show", examples=["limosa target show rpi5", "limosa target show generic-x86-64 --json"])
@click.argument("name")
@FOLDER
@json_option
def show_target(name: str, profiles: Path | None, as_json: bool) -> None:
    """Show one device profile, and where each of its figures is from."""
    profile = profile_named(name, known_profiles(profiles), where="target")
    answer(profile.as_json(), as_json=as_json, text=lambda: _text(profile))


@target.command(
    "new",
    examples=[
        "limosa target new kiosk                           # of machines like this one",
        "limosa target new kiosk --like rpi4 --output boards/kiosk.toml",
    ],
)
@click.argument("name")
@click.option("--like", metavar="PROFILE", help="Begin with the figures of that profile.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Else NAME.toml.")
@json_option
def new_target(name: str, like: str | None, output: Path | None, as_json: bool) -> None:
    """Write a device profile of your own.

    Without --like its figures are this machine's. A recipe finds it by `profiles = "FOLDER"`.
    """
    check_name(name, what="profile")
    installed = known_profiles(None)
    if name in installed:
        raise ProfileUnusable("there is a profile of that name", where=name, hint="take another name")
    if like is None:
        profile = draft_profile(name, this_machine())
    else:
        profile = replace(profile_named(like, installed, where="--like"), name=name)
    path = output or Path(f"{name}.toml")
    if path.stem != name:
        raise ProfileUnusable("a profile's name is its file's", where=str(path), hint=f"{name}.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(profile_text(profile))
    except FileExistsError as error:
        raise ProfileUnusable(
            "there is a file already", where=str(path), hint="name another one with --output"
        ) from error
    answer({"profile": str(path), "name": name}, as_json=as_json, text=lambda: str(path))
    progress(f"next: correct its figures, then limosa target check {path}")


@target.command(
    "check", examples=["limosa target check boards/kiosk.toml", "limosa target check n100 --here"]
)
@click.argument("profile")
@click.option("--here", is_flag=True, help="Also: could this machine be such a device?")
@json_option
def check_target(profile: str, here: bool, as_json: bool) -> None:
    """Check a device profile: PROFILE is a file, or the name of one that is installed.

    Exit code 3 where a build for it would ship what its devices refuse, or where this machine is none.
    """
    if profile.endswith(".toml"):
        checked = read_profile(Path(profile))
    else:
        checked = profile_named(profile, known_profiles(None), where="target")
    found = findings(checked)
    serious = [item.text for item in found if item.serious]
    warnings = [item.text for item in found if not item.serious]
    apart = differences(checked, this_machine()) if here else ()
    if serious or apart:
        raise ProfileDoubtful(
            f"{checked.name} does not hold" if serious else f"this machine is no {checked.name}",
            where=profile,
            why="; ".join([*serious, *apart]),
            evidence={"problems": serious, "this_machine": list(apart), "warnings": warnings},
        )
    answer(
        {"profile": checked.name, "warnings": warnings, "fits_this_machine": True if here else None},
        as_json=as_json,
        text=lambda: "\n".join(
            [*(f"warning: {text}" for text in warnings), f"{checked.name} {_holds(here=here)}"]
        ),
    )


def _holds(*, here: bool) -> str:
    return "holds, and this machine could be one" if here else "holds"


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
        "limits": (
            f"artifact {limits.artifact_bytes or '-'} bytes, memory {limits.memory_bytes or '-'} bytes, "
            f"latency {limits.latency_ms or '-'} ms"
        ),
    }
    rows = [[name, value, profile.source.get(name, "")] for name, value in figures.items()]
    return f"{profile.name}: {profile.title}\n\n{columns(['FIGURE', 'VALUE', 'FROM'], rows)}"
