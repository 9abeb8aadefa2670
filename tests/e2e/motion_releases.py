"""Releases that are packaged, not built: builds are `limosa demo`'s and the tutorials' to show."""

from __future__ import annotations

from pathlib import Path

from limosa_compiler.artifact.archive_file import archive_name, write_archive
from limosa_compiler.artifact.package import VariantFiles, package_release
from limosa_contracts.oci import Requirements
from limosa_devices.demo.world import World
from tests.agent.serving.releases import Plan, install


def publish(world: World, plan: Plan) -> None:
    """What the plan says, in one variant, signed with the world's keys."""
    folder = Path(install(plan, world.folder / "built").directory)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    packaged = package_release([VariantFiles(name="cpu", files=files, requirements=Requirements())])
    path = world.folder / archive_name(packaged.release)
    name = str(packaged.release.name)
    write_archive(path, packaged.blobs, packaged.index, name=name, version=plan.version)
    world.limosa("publish", str(path), "--offline", str(world.offline_keys))
