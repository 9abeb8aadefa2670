"""What a device says of itself stays readable, whatever was asked of it in its life (trust 7.3)."""

from __future__ import annotations

from dataclasses import replace

from limosa_agent.link.reports import REASON_MAX_CHARS, Speaker
from limosa_agent.update.state import QUARANTINE_MAX, SHADOW, Bad, ModelState, Release, Target
from limosa_contracts.event import Reason, UpdateEvent
from limosa_contracts.limits import LIMITS
from limosa_contracts.phases import Phase
from limosa_contracts.reported import Reported

SPEAKER = Speaker(device="dev-1", agent="1.0.0", boot="1-0000")
MANY = LIMITS.models_per_device_max


def release(number: int) -> Release:
    digest = f"{number:064x}"
    return Release(
        version=f"{number}.0.0", index_sha256=digest, manifest_sha256=digest, release_counter=number
    )


def said(states: list[ModelState], shadows: dict[str, ModelState]) -> Reported:
    return Reported.parse(
        SPEAKER.reported(
            states, desired=(1, 1), clock="ntp", at=1.0, resources={}, serving={}, shadows=shadows
        )
    )


def test_device_that_had_many_models_in_its_life_still_tells_of_those_it_has() -> None:
    gone = [
        ModelState(model=f"a/gone-{i}", phase=Phase.REMOVED, committed_counter=9) for i in range(3 * MANY)
    ]
    here = [ModelState(model=f"z/here-{i}", phase=Phase.COMMITTED, active=release(i)) for i in range(3)]
    told = said([*gone, *here], {})
    assert len(told.models) == MANY
    assert [model.model for model in told.models[-3:]] == [state.model for state in here]


def test_report_of_a_device_where_everything_fails_fits_into_a_message() -> None:
    bad = tuple(
        Bad(manifest_sha256=f"{i:064x}", index_sha256=f"{i:064x}", reason="nan_outputs")
        for i in range(QUARANTINE_MAX)
    )
    failing = ModelState(
        model="x/y",
        phase=Phase.FELL_BACK,
        target=Target(version="3.0.0", index_sha256="3" * 64, rollout="r" * 64),
        active=release(2),
        previous=release(1),
        quarantine=bad,
        reason=Reason(code="nan_outputs", message="x" * REASON_MAX_CHARS),
    )
    states = [replace(failing, model=f"team/model-{i}") for i in range(MANY)]
    told = said(states, {state.model: replace(state, lane=SHADOW) for state in states})
    assert len(told.models) == MANY
    assert all(model.reason.startswith("nan_outputs") and model.quarantined for model in told.models)


def test_verdict_whose_evidence_is_larger_than_a_message_still_arrives() -> None:
    huge = {f"variant-{i}": "CPU features " + "x" * 900 + " are missing" for i in range(90)}
    reason = Reason(code="no_fitting_variant", message="none fits", evidence={"variants": huge})
    state = ModelState(model="x/y", phase=Phase.REJECTED, active=release(1))
    data = SPEAKER.alarm("k", state, reason, at=1.0).encode()
    told = UpdateEvent.parse(data).reason
    assert (told.code, told.message) == (reason.code, reason.message)
    assert list(told.evidence) == ["omitted_bytes"]
