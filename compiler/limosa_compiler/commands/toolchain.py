"""`limosa toolchain install | list | check | remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from limosa_compiler.litert.toolchain import (
    NAME,
    Toolchain,
    install,
    installed,
    pins,
    remove,
    require_toolchain,
)
from limosa_contracts.cli import answer, columns, group, json_option, progress
from limosa_contracts.json_value import JsonValue

_WHICH: Final = click.argument("name", type=click.Choice([NAME]))
_TOLD: Final = ("ai-edge-litert", "onnx2tf", "litert-quantizer")


@group("toolchain", examples=["limosa toolchain install litert", "limosa toolchain list"])
def toolchain() -> None:
    """Environments that some targets need for compiling."""


@toolchain.command(
    "install",
    examples=[
        "limosa toolchain install litert",
        "limosa toolchain install litert --python /usr/bin/python3.12",
    ],
)
@_WHICH
@click.option("--python", type=click.Path(path_type=Path), help="The Python to make it with, 3.12 or newer.")
@json_option
def install_toolchain(name: str, python: Path | None, as_json: bool) -> None:
    """Make the environment that converts to .tflite and runs it.

    Needs Python 3.12 or newer, whatever limosa itself runs on, and pip's package index: some 110 MB are
    downloaded, 390 MB installed. It is checked with a small model before it counts as installed; what is
    interrupted leaves nothing.
    """
    from limosa_compiler.litert.check import check

    made = install(check=check, python=python, on_step=progress)
    answer(_as_json(made), as_json=as_json, text=lambda: f"{name} is installed: {made.folder}")


@toolchain.command("list", examples=["limosa toolchain list", "limosa toolchain list --json"])
@json_option
def list_toolchains(as_json: bool) -> None:
    """List what is installed, and where."""
    found = installed()
    rows = [
        [
            NAME,
            "current" if item.is_current else "of another version of limosa",
            f"{item.size_bytes / 1e6:.0f} MB",
            str(item.folder),
        ]
        for item in found
    ]
    answer(
        {"toolchains": [_as_json(item) for item in found]},
        as_json=as_json,
        text=lambda: columns(["TOOLCHAIN", "STATE", "SIZE", "FOLDER"], rows) if rows else "none is installed",
    )


@toolchain.command("check", examples=["limosa toolchain check litert"])
@_WHICH
@json_option
def check_toolchain(name: str, as_json: bool) -> None:
    """Convert, quantize and run a small model."""
    from limosa_compiler.litert.check import check

    found = require_toolchain()
    check(found)
    answer(
        {**_as_json(found), "works": True},
        as_json=as_json,
        text=lambda: f"{name} works: {', '.join(f'{package} {pins()[package]}' for package in _TOLD)}",
    )


@toolchain.command("remove", examples=["limosa toolchain remove litert"])
@_WHICH
@json_option
def remove_toolchain(name: str, as_json: bool) -> None:
    """Remove it, of whatever version."""
    gone = remove()
    answer(
        {"removed": [str(item.folder) for item in gone]},
        as_json=as_json,
        text=lambda: (
            "\n".join(f"removed {item.folder}" for item in gone) if gone else f"{name} is not installed"
        ),
    )


def _as_json(item: Toolchain) -> dict[str, JsonValue]:
    return {
        "name": NAME,
        "folder": str(item.folder),
        "current": item.is_current,
        "size_bytes": item.size_bytes,
        "packages": dict(pins()) if item.is_current else None,
    }
