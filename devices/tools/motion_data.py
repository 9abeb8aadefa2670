"""The demo's data: recordings out of the seglearn wheel, cut into windows, split by person."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeAlias
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from limosa_devices.demo.motion import WINDOW_SAMPLES, Motion

WHEEL_MEMBER = "seglearn/data/watch_dataset.npy"
WHEEL_MEMBER_SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
SHUFFLE_SEED = 5

Recording: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Who is in a split and how densely their recordings are cut."""

    people: tuple[int, ...]
    stride: int  # samples between window starts
    shuffled: bool


CUTS: Mapping[str, Cut] = {
    "train": Cut(people=(1, 2, 3, 4, 5), stride=20, shuffled=False),
    "calibration": Cut(people=(6,), stride=100, shuffled=True),
    "evaluation": Cut(people=(7, 10), stride=100, shuffled=True),
    "live": Cut(people=(8, 9), stride=32, shuffled=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """140 recordings [samples, 6] in g and rad/s, 50 Hz, with exercise and person of each."""

    motion: Sequence[Recording]
    label: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]


def read_wheel(wheel: Path) -> Recordings:
    """The recordings in seglearn's wheel. Raises ValueError if they are not the known bytes.

    The file is a pickle, so its hash is compared before it is opened.
    """
    with ZipFile(wheel) as archive:
        content = archive.read(WHEEL_MEMBER)
    found = hashlib.sha256(content).hexdigest()
    if found != WHEEL_MEMBER_SHA256:
        raise ValueError(f"{wheel}: {WHEEL_MEMBER} has sha256 {found}, expected {WHEEL_MEMBER_SHA256}")
    table = np.load(BytesIO(content), allow_pickle=True).item()
    return Recordings(
        motion=[np.asarray(recording, np.float64) for recording in table["X"]],
        label=np.asarray(table["y"], np.int64),
        person=np.asarray(table["subject"], np.int64),
    )


def cut_windows(recordings: Recordings, cut: Cut) -> Motion:
    """Windows [N, 6, WINDOW_SAMPLES] of the people of one cut, rounded to float16 as they are stored."""
    windows: list[npt.NDArray[np.float16]] = []
    labels: list[int] = []
    people: list[int] = []
    for motion, label, person in zip(recordings.motion, recordings.label, recordings.person, strict=True):
        if int(person) not in cut.people:
            continue
        for start in range(0, len(motion) - WINDOW_SAMPLES + 1, cut.stride):
            windows.append(motion[start : start + WINDOW_SAMPLES].T.astype(np.float16))
            labels.append(int(label))
            people.append(int(person))
    order = np.arange(len(windows))
    if cut.shuffled:
        order = np.random.default_rng(SHUFFLE_SEED).permutation(order)
    return Motion(
        window=np.stack(windows)[order].astype(np.float32),
        label=np.asarray(labels, np.int64)[order],
        person=np.asarray(people, np.int64)[order],
    )


def write_split(path: Path, motion: Motion) -> None:
    """One split as .npz: `window` float16, `label` and `person` int64; same rows, same bytes."""
    np.savez_compressed(
        path, window=motion.window.astype(np.float16), label=motion.label, person=motion.person
    )
