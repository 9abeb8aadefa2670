"""What kind of file is this: real files out of pinned packages, as magika sees them.

Labels are magika's own names for the true type: by extension where that is beyond doubt, and for
containers and coded files by what made them.
"""

from __future__ import annotations

import bz2
import difflib
import gzip
import hashlib
import io
import itertools
import json
import lzma
import pickle
import sqlite3
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.datasets.case import LABEL, Case
from benchmarks.datasets.pictures import read_picture
from benchmarks.datasets.wheels import members, read_member
from benchmarks.real_models import file_path

INPUT: Final = "bytes"
SIDE, BLOCK, PADDING = 1024, 4096, 256  # of magika's config: beg_size, end_size, block_size, padding_token
PER_TYPE: Final = 40  # files at most, so that no type rules the score
CALIBRATION: Final = 200
SHORTEST: Final = 16  # bytes; magika answers about less without its model
SOURCES: Final = ("bokeh", "django", "googleapis", "matplotlib", "nbconvert", "pip", "pybind11", "sphinx")
TYPES: Final = {
    ".cmake": "cmake",
    ".css": "css",
    ".csv": "csv",
    ".exe": "pebin",
    ".h": "cpp",  # pybind11's
    ".html": "html",
    ".ico": "ico",
    ".j2": "jinja",
    ".jinja": "jinja",
    ".js": "javascript",
    ".json": "json",
    ".md": "markdown",
    ".pdf": "pdf",
    ".pem": "pem",
    ".po": "po",
    ".proto": "proto",
    ".py": "python",
    ".pyi": "python",
    ".rst": "rst",
    ".so": "elf",
    ".svg": "svg",
    ".toml": "toml",
    ".ts": "typescript",
    ".ttf": "ttf",
    ".xml": "xml",
}
TEMPLATED: Final = ("css", "html", "javascript", "markdown", "rst", "svg", "toml", "xml")
"""Kinds of which a package may hold templates, which are another kind: those are left out."""
PICTURE_FORMATS: Final = {
    "bmp": "BMP",
    "gif": "GIF",
    "jpeg": "JPEG",
    "png": "PNG",
    "tiff": "TIFF",
    "webp": "WEBP",
}


def features_of(content: bytes) -> npt.NDArray[np.int32]:
    """[2048]: the first and last 1,024 bytes of the stripped content, short ones padded towards the middle.

    Source: `Magika._extract_features_from_seekable` (magika 1.0.3).
    """
    begin = content[:BLOCK].lstrip()[:SIDE]
    end = content[-BLOCK:].rstrip()[-SIDE:]
    row = np.full(2 * SIDE, PADDING, np.int32)
    row[: len(begin)] = np.frombuffer(begin, np.uint8)
    row[2 * SIDE - len(end) :] = np.frombuffer(end, np.uint8)
    return row


def type_of(member: str, content: bytes) -> str | None:
    """The label of a packaged file; None where its name does not settle it."""
    label = TYPES.get(PurePosixPath(member).suffix)
    templated = b"{%" in content or b"{{" in content
    if label is None or (templated and label in TEMPLATED):
        return None
    return None if ".dist-info/" in member else label


def packaged() -> Iterator[tuple[str, bytes]]:
    """(label, content) of files as packages ship them."""
    for source in SOURCES:
        for member, content in members(source):
            if (label := type_of(member, content)) is not None:
                yield label, content


def pictures() -> Iterator[tuple[str, bytes]]:
    """Parts of photographs in every format that Pillow writes the same way everywhere."""
    draw = np.random.default_rng(5)
    photographs = [read_picture(name) for name in ("astronaut", "coffee", "chelsea", "china", "flower")]
    for label, form in PICTURE_FORMATS.items():
        for count in range(20):
            photograph = photographs[count % len(photographs)]
            width, height = (int(draw.integers(40, 200)) for _ in range(2))
            left = int(draw.integers(0, photograph.width - width))
            top = int(draw.integers(0, photograph.height - height))
            part = photograph.crop((left, top, left + width, top + height))
            stream = io.BytesIO()
            part.convert("P" if form == "GIF" else "RGB").save(stream, form)
            yield label, stream.getvalue()


def containers(texts: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Archives, compressed files and stores of the given texts."""
    for index, text in enumerate(texts):
        yield "gzip", gzip.compress(text, mtime=0)
        yield "bzip", bz2.compress(text)
        yield "xz", lzma.compress(text)
        few = texts[index : index + 3]
        yield "zip", _zip(few)
        yield "tar", _tar(few)
        lengths = [len(line) for line in text.splitlines()]
        yield "pickle", pickle.dumps({"lengths": lengths, "index": index}, protocol=2 + index % 4)
        table = np.frombuffer(text[: len(text) // 8 * 8], np.uint8).reshape(-1, 8)
        stream = io.BytesIO()
        np.save(stream, table.astype(np.float32))
        yield "npy", stream.getvalue()
        stream = io.BytesIO()
        np.savez(stream, rows=table, index=np.array(index))
        yield "npz", stream.getvalue()
        yield "sqlite", _sqlite(few)


def texts_made(texts: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    """Text formats, filled with what packages contain."""
    for before, after in itertools.pairwise(texts):
        old, new = (text.decode("utf-8", "replace").splitlines()[:80] for text in (before, after))
        new = [*old[:30], *new[:20], *old[35:]]
        lines = list(difflib.unified_diff(old, new, "a/one.py", "b/one.py", lineterm=""))
        yield "diff", "\n".join(lines).encode()
        words = [line.split() for line in old if len(line.split()) > 2]
        yield "jsonl", "\n".join(json.dumps({"line": i, "words": w}) for i, w in enumerate(words)).encode()


def sounds() -> Iterator[tuple[str, bytes]]:
    """Cuts of a recording, at three rates and two widths."""
    with wave.open(io.BytesIO(read_member("pyannote", "pyannote/audio/sample/sample.wav"))) as source:
        frames = source.readframes(source.getnframes())
    for index in range(20):
        stream = io.BytesIO()
        with wave.open(stream, "wb") as cut:
            cut.setnchannels(1 + index % 2)
            cut.setsampwidth(2)
            cut.setframerate((8000, 16000, 44100)[index % 3])
            cut.writeframes(frames[index * 40_000 : index * 40_000 + 16_000])
        yield "wav", stream.getvalue()


def all_files() -> Iterator[tuple[str, bytes]]:
    found = list(packaged())
    yield from found
    texts = [content for label, content in found if label == "python" and 2_000 < len(content) < 20_000]
    chosen = sorted(texts, key=_rank)[:21]
    yield from containers(chosen[:20])
    yield from texts_made(chosen)
    yield from pictures()
    yield from sounds()


def label_names() -> tuple[str, ...]:
    """The model's classes, in order."""
    return tuple(json.loads(file_path("magika_config").read_text())["target_labels_space"])


def file_types() -> Case:
    """Rows in the order of their content's hash: no package and no type comes first."""
    names = label_names()
    kept: dict[bytes, tuple[str, bytes]] = {}
    counts: dict[str, int] = {}
    for key, label, content in sorted((_rank(content), label, content) for label, content in all_files()):
        if key not in kept and len(content.strip()) >= SHORTEST and counts.get(label, 0) < PER_TYPE:
            counts[label] = counts.get(label, 0) + 1
            kept[key] = (label, content)
    chosen = [kept[key] for key in sorted(kept, key=_rank)]  # again: a common kind had the lowest first
    rows = np.stack([features_of(content) for _, content in chosen])
    labels = np.array([names.index(label) for label, _ in chosen], np.int64)
    return Case(
        calibration={INPUT: rows[:CALIBRATION]},
        evaluation={INPUT: rows[CALIBRATION:], LABEL: labels[CALIBRATION:]},
        truth=f"true types of {len(chosen)} real files of {len(counts)} kinds, at most {PER_TYPE} of each",
    )


def _rank(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _zip(texts: Sequence[bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, text in enumerate(texts):
            archive.writestr(zipfile.ZipInfo(f"notes/part-{index}.txt", (2020, 1, 1, 0, 0, 0)), text)
    return stream.getvalue()


def _tar(texts: Sequence[bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for index, text in enumerate(texts):
            entry = tarfile.TarInfo(f"notes/part-{index}.txt")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return stream.getvalue()


def _sqlite(texts: Sequence[bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.db"
        base = sqlite3.connect(path)
        base.execute("create table notes (id integer primary key, text text)")
        base.executemany(
            "insert into notes (text) values (?)", [(text.decode("utf-8", "replace"),) for text in texts]
        )
        base.commit()
        base.close()
        return path.read_bytes()
