"""The demo's five releases, built by the same command that an ML engineer gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from limosa_compiler.artifact.archive_file import Archive, Variant, archive_name, read_archive, write_archive
from limosa_compiler.artifact.package import VariantFiles, package_release
from limosa_contracts.serving import GOLDEN_FILE
from limosa_devices.demo.motion import CHANNELS, CLASSES, INPUT_NAME, asset, in_wrong_unit, load
from limosa_devices.demo.processes import Processes

NAME: Final = "demo/motion"
TARGETS: Final = ("generic-x86-64", "generic-aarch64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One release of the demo: why it is there, and how it was made wrong, if it was."""

    version: str
    title: str
    wrong_unit: bool = False  # calibrated and evaluated in m/s² and deg/s
    golden_of: str = ""  # packaged with the golden vectors of this version


STORIES: Final = (
    Story(version="1.0.0", title="the first model"),
    Story(version="2.0.0", title="a better model"),
    Story(version="3.0.0", title="crashes the runtime on an input that no test has seen"),
    Story(version="3.0.1", title="the wrong checkpoint was packaged", golden_of="2.0.0"),
    Story(version="4.0.0", title="trained and tested in the wrong unit", wrong_unit=True),
)


def write_recipe(folder: Path, story: Story) -> Path:
    """The recipe of one release with its model and data (named `window`, as the model's input is);
    returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(asset(f"motion-{story.version}.onnx"))
    for split in ("calibration", "evaluation"):
        motion = load("calibration" if split == "calibration" else "evaluation")
        window = in_wrong_unit(motion.window) if story.wrong_unit else motion.window
        np.savez(folder / f"{split}.npz", allow_pickle=False, window=window, label=motion.label)
    recipe = folder / "limosa.toml"
    recipe.write_text(_recipe(story), encoding="utf-8")
    return recipe


def _recipe(story: Story) -> str:
    quoted = {key: ", ".join(f'"{item}"' for item in items) for key, items in _LISTS.items()}
    return f"""# {story.title}
name = "{NAME}"
version = "{story.version}"
model = "model.onnx"
targets = [{quoted["targets"]}]
classes = [{quoted["classes"]}]

[data]
calibration = "calibration.npz"
evaluation = "evaluation.npz"
label = "label"

[metric]
name = "accuracy"

[gate]
max_loss_points = 1.0

[inputs.{INPUT_NAME}]
channels = [{quoted["channels"]}]

[about]
title = "Wrist motion, seven exercises"
licenses = ["BSD-3-Clause"]
"""


_LISTS: Final[Mapping[str, tuple[str, ...]]] = {"targets": TARGETS, "classes": CLASSES, "channels": CHANNELS}


def build(processes: Processes, folder: Path, story: Story, *, limosa: str) -> Path:
    """The archive of one release. Raises ProcessFailed."""
    recipe = write_recipe(folder / story.version, story)
    output = folder / story.version
    processes.run(f"build {story.version}", [limosa, "build", str(recipe), "--output", str(output)])
    return next(path for path in output.glob("*.limosa"))


def with_golden_of(archive: Path, donor: Path) -> Path:
    """`archive` repackaged with the donor's golden vectors: what a build machine does that tests one
    checkpoint and packages another. It is well-formed, and any team could sign it."""
    built, other = read_archive(archive), read_archive(donor)
    golden = other.blobs[other.variants[0].manifest.layer(GOLDEN_FILE).digest]
    variants = [_files(built, variant, golden) for variant in built.variants]
    packaged = package_release(variants, annotations=built.index.annotations)
    path = archive.with_name(archive_name(built.release))
    write_archive(
        path,
        packaged.blobs,
        packaged.index,
        name=str(built.release.name),
        version=built.release.version,
    )
    return path


def _files(archive: Archive, variant: Variant, golden: bytes) -> VariantFiles:
    files = {layer.filename: archive.blobs[layer.digest] for layer in variant.manifest.layers}
    return VariantFiles(
        name=variant.name,
        files={**files, GOLDEN_FILE: golden},
        requirements=variant.requirements,
        annotations=variant.manifest.annotations,
    )
