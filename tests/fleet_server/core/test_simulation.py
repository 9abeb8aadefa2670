"""Random fleets, random trouble: what must hold, holds (rollouts 2, 3)."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limosa_contracts.errors import Conflict
from limosa_contracts.phases import Execution, Phase
from limosa_server.core import operate
from limosa_server.core.approval import Vote
from limosa_server.core.execution import RANK, TRANSITIONS, DeviceExecution, ExecutionEvent, on_phase
from limosa_server.core.judging.judge import meets
from limosa_server.core.rollout import RolloutStatus
from tests.fleet_server.core.fleet import FALLS_BACK, GOOD, HANGS, LATE, REJECTS, Fleet, spec_of

BEHAVIOURS = st.sampled_from([GOOD, GOOD, GOOD, GOOD, REJECTS, FALLS_BACK, HANGS, LATE])


RATES = st.sampled_from(
    [
        {"maximum_per_minute": 2},
        {},
        {"exponential": {"base_per_minute": 1, "factor": 3, "after": 1}},
        {"max_in_progress": 1, "max_bytes_per_second": 1000},
    ]
)
CLOCKS: st.SearchStrategy[dict[str, object]] = st.sampled_from(
    [{}, {}, {"download_stall": "6s", "verify": "9s"}, {"end": "60s"}, {"end": "60s", "at_end": "cancel"}]
)
EXTRAS: st.SearchStrategy[dict[str, object]] = st.sampled_from(
    [
        {},
        {},
        {"retry": {"attempts": 2, "backoff": "3s"}},
        {"target_selection": "continuous"},
        {"schedule": {"start": "1970-01-01T00:17:00Z"}},
        {"approval": {"approvers": 1}},
    ]
)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    count = draw(st.integers(2, 9))
    names = [f"d{i}" for i in range(count)]
    waves: list[object] = [{"name": "canary", "count": 1, "bake": draw(st.sampled_from(["0s", "6s"]))}]
    if count > 3 and draw(st.booleans()):
        waves.append({"name": "half", "percent": 60, "bake": "3s"})
    waves.append({"name": "rest", "bake": "2s"})
    action = draw(st.sampled_from(["pause", "cancel", "rollback"]))
    spec = spec_of(
        waves=waves,
        abort=[{"threshold": 0.2, "min_executed": draw(st.integers(1, 4)), "action": action}],
        success={"percent": draw(st.sampled_from([50, 80, 95])), "reachable_within": "40s"},
        timeouts={"offer": "20s", "in_progress": "25s", "silence": "4s", **draw(CLOCKS)},
        rate=draw(RATES),
        **draw(EXTRAS),
    )
    return Fleet(
        spec,
        count,
        behaviours={name: draw(BEHAVIOURS) for name in names},
        seed=draw(st.integers(0, 1000)),
        lose=draw(st.sampled_from([0.0, 0.4, 1.0])),
        double=draw(st.sampled_from([0.0, 0.5])),
    )


HAPPENINGS = ("approve", "deny", "pause", "resume", "cancel", "let finish", "join", "hold", "close", "open")


def happen(fleet: Fleet, what: str, second: int) -> None:
    """What people, groups and clocks on the wall do meanwhile; what the state forbids is refused."""
    rollout, now = fleet.rollout, fleet.now
    try:
        match what:
            case "approve" | "deny":
                fleet.votes.append(Vote(actor=f"p{second}", approves=what == "approve", at=now))
            case "pause":
                fleet.rollout = operate.pause(rollout, now=now, by="eva")[0]
            case "resume":
                fleet.rollout, waves, _ = operate.resume(rollout, fleet.waves, now=now, by="eva")
                fleet.waves = list(waves)
            case "cancel" | "let finish":
                finish = what == "let finish"
                fleet.rollout = operate.cancel(rollout, now=now, by="eva", finish=finish)[0]
            case "join":
                if rollout.follows and f"new{second}" not in fleet.devices:
                    fleet.join(f"new{second}")
            case "hold":
                fleet.held = {"d0": 99}
            case _:
                fleet.opens_at = now + 20 if what == "close" else None
    except Conflict:
        assert what not in ("approve", "deny", "join")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fleets(),
    st.lists(st.tuples(st.integers(0, 8), st.integers(1, 40), st.integers(1, 60)), max_size=3),
    st.lists(st.tuples(st.integers(1, 150), st.sampled_from(HAPPENINGS)), max_size=3),
)
def test_whatever_happens_gates_hold_counters_agree_and_nothing_bad_completes(
    fleet: Fleet, cuts: list[tuple[int, int, int]], happenings: list[tuple[int, str]]
) -> None:
    """`Fleet.check` runs after every tick: no wave starts before its gate, counters are the recount,
    the rate is kept, no rank falls."""
    for second in range(400):
        for device, at, lasting in cuts:
            name = f"d{device % len(fleet.devices)}"
            if second == at:
                fleet.cut(name)
            if second == at + lasting:
                fleet.mend(name)
        for at, what in happenings:
            if second == at:
                happen(fleet, what, second)
        fleet.tick()
        if fleet.rollout.status.terminal:
            break
        fleet.work()
        fleet.now += 1
    totals = [run.state for run in fleet.runs.values()]
    status = fleet.rollout.status
    if status is RolloutStatus.COMPLETED:
        counts = sum((wave.counts for wave in fleet.waves[1:]), fleet.waves[0].counts)
        assert meets(counts, fleet.rollout.spec.success.percent)
        assert fleet.promoted
    if status is RolloutStatus.ROLLED_BACK:
        online = [device for device in fleet.devices.values() if device.online and not device.steps]
        assert all(device.running == "1.0.0" for device in online)
    if status.terminal and status is not RolloutStatus.COMPLETED:
        assert all(state.terminal for state in totals), "an ended rollout leaves nobody under way"
        assert not fleet.promoted or fleet.rollout.settled
    if status in (RolloutStatus.INVALID, RolloutStatus.APPROVAL_DENIED):
        assert fleet.offered == []
    for run in fleet.runs.values():
        assert run.attempt <= 1 + fleet.rollout.spec.retry.attempts


@given(st.lists(st.sampled_from(Phase), max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_no_order_of_events_lowers_the_rank_of_an_execution(phases: list[Phase], running: list[bool]) -> None:
    run = DeviceExecution(device="d", wave=0, state=Execution.NOTIFIED, offered_at=0.0)
    for phase, is_running in zip(phases, running, strict=False):
        after = on_phase(run, phase, running=is_running, reason="", code="", now=0.0)
        assert RANK[after.state] >= RANK[run.state]
        run = after


def test_the_table_has_every_event_of_a_terminal_state_and_never_reopens_it() -> None:
    for state, row in TRANSITIONS.items():
        for event, to in row.items():
            assert RANK[to] >= RANK[state], (state, event)
        if state.terminal:
            assert set(row) == set(ExecutionEvent)
            assert all(to.terminal for to in row.values())


def test_an_abort_rule_fires_when_it_must_and_not_before() -> None:
    """Two of three failed with at least two executed: the Wilson bound of 2/2 is 42 %."""
    spec = spec_of(
        waves=[{"name": "all"}],
        abort=[{"threshold": 0.4, "min_executed": 2, "action": "cancel"}],
        rate={"max_in_progress": 1},
    )
    fleet = Fleet(spec, 5, behaviours={"d0": FALLS_BACK, "d1": FALLS_BACK})
    assert fleet.run(100) is RolloutStatus.CANCELED
    assert {device for _, device in fleet.offered} == {"d0", "d1"}
