"""Who of a plan is compared with whom, and how its gates say so (rollouts 5.0, 5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limosa_contracts.json_value import JsonValue
from limosa_contracts.rollout.control import PREVIOUS_VERSION, PROFILE
from limosa_contracts.rollout.modes import Mode
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.judging.cohorts import Cohorts, WaveCohort, draw_cohorts
from limosa_server.core.planning.candidates import Candidate
from limosa_server.core.wording import devices


def cohorts_of(
    spec: RolloutSpec, taking: Mapping[str, Candidate], divided: Sequence[Sequence[str]]
) -> Cohorts:
    """Cohorts of the waves that `divide` gave. Shadows and comparisons of two releases have arms of their
    own, so their waves are judged by counts."""
    if spec.mode is not Mode.REPLACE:
        return Cohorts(waves=tuple(WaveCohort(why_not=f"its mode is {spec.mode.value}") for _ in divided))
    keys = spec.control.stratify_by
    return draw_cohorts(
        divided,
        {name: tuple(_trait(one, key) for key in keys) for name, one in taking.items()},
        spec.control,
        bakes_s=[wave.bake_s for wave in spec.waves],
        report_every_s=spec.report_every_s,
    )


def _trait(one: Candidate, key: str) -> str:
    if key == PROFILE:
        return one.traits.get("profile", "")
    return one.running_version if key == PREVIOUS_VERSION else one.labels.get(key, "")


def held_out(divided: Sequence[Sequence[str]], cohorts: Cohorts) -> list[list[str]]:
    """The waves without those that are held back."""
    held = set(cohorts.held_back)
    return [[device for device in wave if device not in held] for wave in divided]


def gate_words(cohort: WaveCohort, *, held: int) -> str:
    """What is asked beside the counts; "" where nothing is."""
    if not cohort.compares:
        return ""
    back = f", {held} of them held back until then" if held else ""
    return f"; nothing is worse than on {devices(len(cohort.control))} that stay{back}"


def cohorts_json(cohorts: Cohorts, names: Sequence[str]) -> list[JsonValue]:
    return [
        {
            "wave": name,
            "judge": "compare" if cohort.compares else "criteria",
            "why_counts": cohort.why_not,
            "treated": len(cohort.treated),
            "controls": len(cohort.control) if cohort.compares else 0,
            "strata": len(set(cohort.treated.values())) if cohort.compares else 0,
        }
        for name, cohort in zip(names, cohorts.waves, strict=True)
    ]
