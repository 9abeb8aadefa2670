"""What a build leaves on disk: the archive with its evidence and report, or nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from limosa_compiler.artifact.archive_file import archive_parts
from limosa_compiler.artifact.package import Packaged
from limosa_compiler.artifact.whole_files import written_together
from limosa_compiler.evidence.evidence import Evidence, evidence_path_of
from limosa_compiler.report import make_report, report_path_of


def refuse_unwritable(folder: Path) -> None:
    """Before minutes of measuring, and without making it: a build that fails leaves no folder."""
    whole = folder.absolute()
    there = next(place for place in (whole, *whole.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def write_release(path: Path, packaged: Packaged, evidence: Evidence, *, mtime: int) -> Path:
    """The archive with its evidence and report, or none of the three. Gives the evidence's path.

    The archive gets its name last: one that is there has both, even if the power went between two names.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    evidence_path, report = evidence_path_of(path), make_report(evidence)
    release = packaged.release
    parts = archive_parts(
        packaged.blobs, packaged.index, name=str(release.name), version=release.version, mtime=mtime
    )
    with written_together(evidence_path, report_path_of(path), path) as (facts, page, archive):
        facts.write(evidence.encode())
        page.write(report)
        archive.writelines(parts)
    return evidence_path
