"""Cohorts as rows: written once, when the rollout is made (rollouts 5.1)."""

from __future__ import annotations

from typing import Any, Final

from limosa_server.core.judging.cohorts import Cohorts, WaveCohort

TREATED, CONTROL = "treated", "control"
COLUMNS: Final = ("wave", "device", "arm", "stratum")


def cohort_rows(cohorts: Cohorts) -> list[tuple[Any, ...]]:
    """Rows of COLUMNS, of the waves that are compared; of the others nothing needs to be known."""
    return [
        (wave, device, arm, stratum)
        for wave, cohort in enumerate(cohorts.waves)
        if cohort.compares
        for arm, members in ((TREATED, cohort.treated), (CONTROL, cohort.control))
        for device, stratum in sorted(members.items())
    ]


def judge_columns(cohort: WaveCohort) -> dict[str, Any]:
    """Of a WaveRow: which judge it has, and why counts alone decide where they do."""
    return {"judge": "compare" if cohort.compares else "criteria", "why_counts": cohort.why_not}
