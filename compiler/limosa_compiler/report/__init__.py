"""The build report: one HTML file that needs no network, no script and no other file (compiler 6.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from limosa_compiler.evidence.evidence import SUFFIX as EVIDENCE_SUFFIX
from limosa_compiler.evidence.evidence import Evidence, evidence_path_of
from limosa_compiler.report.page import page

SUFFIX: Final = ".report.html"


def make_report(evidence: Evidence) -> bytes:
    """UTF-8. The same evidence gives the same bytes."""
    return page(json.loads(evidence.encode())).encode()


def report_path_of(artifact: Path) -> Path:
    """Beside the artifact, as its evidence is.

    >>> str(report_path_of(Path("m-1.0.0.signed.limosa")))
    'm-1.0.0.report.html'
    """
    evidence = evidence_path_of(artifact)
    return evidence.with_name(evidence.name.removesuffix(EVIDENCE_SUFFIX) + SUFFIX)
