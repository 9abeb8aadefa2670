"""Reads what a recipe's lineage names: a data set's digest, a .dvc file, the commit of a checkout."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from limosa_compiler.external.yaml_documents import parse_yaml
from limosa_compiler.recipe.lineage import LineageNotes
from limosa_contracts.errors import InvalidField
from limosa_contracts.fields import Fields

FILES_MAX: Final = 1_000_000  # of a data set's folder
GIT_S: Final = 30.0
OUTS_MAX: Final = 16
_CHUNK_BYTES: Final = 1024 * 1024


def resolved(notes: LineageNotes) -> LineageNotes:
    """The same lineage with every place read, as texts in the order of their keys. Raises InvalidField."""
    texts = dict(notes.texts)
    if notes.dataset is not None:
        texts["dataset"] = digest_of_path(notes.dataset)
    if notes.dvc is not None:
        texts["dvc"] = tracked_by(notes.dvc)
    if notes.checkout is not None:
        texts["commit"] = commit_of(notes.checkout)
    return LineageNotes(texts=dict(sorted(texts.items())))


def digest_of_path(path: Path) -> str:
    """sha256:… of a file, or of a folder's file names and digests in the order of names.

    Raises InvalidField where there is neither.
    """
    if path.is_file():
        return f"sha256:{_sha256(path)}"
    if not path.is_dir():
        raise InvalidField(
            "there is no such data set",
            where="lineage.dataset",
            why=str(path),
            hint="a file, a folder, or sha256:… if it is not on this machine",
        )
    state = hashlib.sha256()
    for file in _files(path):
        state.update(f"{file.relative_to(path).as_posix()}\0{_sha256(file)}\n".encode())
    return f"sha256:{state.hexdigest()}"


def tracked_by(path: Path) -> str:
    """What a .dvc file tracks: `md5:… path`, several joined by "; ". Raises InvalidField."""
    where = f"lineage.dvc: {path.name}"
    try:
        document = parse_yaml(path.read_bytes(), where=where)
    except OSError as error:
        raise InvalidField("the .dvc file cannot be read", where=where, why=error.strerror or "") from error
    found: list[str] = []
    for place, item in Fields(document, where=where).items("outs", max_items=OUTS_MAX):
        out = Fields(item, where=place)
        kind = out.text("hash", max_chars=32) if out.has("hash") else "md5"
        found.append(f"{kind}:{out.text(kind, max_chars=128)} {out.text('path', max_chars=256)}")
    if not found:
        raise InvalidField("the .dvc file tracks nothing", where=where)
    return "; ".join(found)


def commit_of(folder: Path) -> str:
    """The commit that the folder's checkout is at; `-dirty` behind it where tracked files differ from it.

    Files that git does not track do not count: a build writes some. Raises InvalidField.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def _git(folder: Path, *words: str) -> str:
    """Without the folder's own programs: a checkout may name one for git to start."""
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *words]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=GIT_S, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise InvalidField(
            'commit = "auto" needs git, and a recipe in a checkout with a commit',
            where="lineage.commit",
            why=" ".join(str(said).split())[:200],
            hint='write the commit itself: commit = "…"',
        ) from error
    return done.stdout.strip()


def _files(folder: Path) -> Iterator[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(found) > FILES_MAX:
        raise InvalidField(
            "the data set has too many files", where="lineage.dataset", why=f"at most {FILES_MAX}"
        )
    return iter(found)


def _sha256(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()
