"""One step of one rollout: facts and time in, decisions out (style 1, 4).

Level-triggered: called with the same facts again it decides the same, and once nothing is left to
decide, nothing.
"""

from __future__ import annotations

from dataclasses import replace

from limosa_contracts.duration import format_duration
from limosa_contracts.json_value import JsonValue
from limosa_contracts.phases import Execution
from limosa_contracts.rollout.abort import Action
from limosa_contracts.rollout.on_failure import Scope
from limosa_contracts.rollout.timeouts import AtEnd
from limosa_server.core import comparing, following, pace, way_back
from limosa_server.core.beginning import begin, lost_all
from limosa_server.core.board import Board
from limosa_server.core.dark import went_dark
from limosa_server.core.facts import Facts, Outcome
from limosa_server.core.judging import gate
from limosa_server.core.judging.gate import Fired
from limosa_server.core.judging.judge import Verdict, asked_of, judge, meets
from limosa_server.core.modes import holding
from limosa_server.core.offers import make_offers, move_clocks, offer, time_out
from limosa_server.core.rollout import Pause, RolloutEvent, RolloutStatus
from limosa_server.core.wave import Wave, WaveEvent, WaveStatus
from limosa_server.core.wording import devices


def advance(facts: Facts) -> Outcome:
    """What shall change now."""
    board = Board(facts)
    move_clocks(board)
    match board.rollout.status:
        case RolloutStatus.VALIDATING | RolloutStatus.WAITING_FOR_APPROVAL | RolloutStatus.SCHEDULED:
            if begin(board):
                _run(board)
        case RolloutStatus.RUNNING | RolloutStatus.PAUSED:
            time_out(board)
            _run(board)
        case RolloutStatus.CANCELING:
            time_out(board)
            way_back.cancel(board)
        case RolloutStatus.ROLLING_BACK:
            way_back.roll_back(board)
        case _:
            pass
    return board.outcome()


def _run(board: Board) -> None:
    if lost_all(board) or _abort(board) or _time_is_over(board):
        return
    pace.resume_by_itself(board)
    # Each round moves at least one wave one state on, so this ends.
    while board.rollout.status is RolloutStatus.RUNNING and _round(board):
        pass


def _time_is_over(board: Board) -> bool:
    """`timeouts.end`: no rollout goes on for ever by being forgotten."""
    timeouts, started = board.rollout.spec.timeouts, board.rollout.started_at
    if timeouts.end_s is None or started is None or board.now - started <= timeouts.end_s:
        return False
    if board.rollout.settled:
        if board.rollout.status is RolloutStatus.PAUSED:
            board.move(RolloutEvent.RESUME, "its time is over")
        if not _fell_below(board):
            following.complete(board)
        return True
    sentence = f"its time is over: {format_duration(timeouts.end_s)}"
    board.move(RolloutEvent.CANCEL, sentence)
    board.rollout = replace(board.rollout, stopping=timeouts.at_end is AtEnd.STOP)
    board.decide("ended", "CANCELING", sentence)
    way_back.cancel(board)
    return True


def _abort(board: Board) -> bool:
    """Whether a rule fired. In PAUSED only those that do more than pause."""
    wave = board.current()
    totals = board.totals
    paused = board.rollout.status is RolloutStatus.PAUSED and not board.rollout.pause.ends_by_itself
    scopes = [("all waves", totals, board.silent())]
    if wave is not None and not wave.tail:
        scopes.insert(0, (f"wave {wave.name}", wave.counts, board.silent(wave.index)))
    for place, rule in enumerate(board.rollout.spec.abort):
        for scope, counts, silent in scopes:
            fired = gate.evaluate(rule, place, counts, silent=silent, group=totals.total, scope=scope)
            if fired is None or board.accepted(rule.failure) or (paused and fired.action is Action.PAUSE):
                continue
            _carry_out(board, fired, wave)
            return True
    return False


def _carry_out(board: Board, fired: Fired, wave: Wave | None) -> None:
    action, sentence = fired.action, fired.sentence
    board.decide(
        "abort", action.value.upper(), sentence, wave=wave.index if wave else None, numbers=fired.numbers
    )
    if action is Action.PAUSE:
        board.move(board.rollout.pausing, sentence, pause=Pause.GATE_FAILED)
        return
    if wave is not None:
        _fail_wave(board, wave, sentence)
    if action is Action.CANCEL:
        board.move(RolloutEvent.CANCEL, sentence)
        way_back.cancel(board)
    else:
        _begin_rollback(board, sentence, wave)


def _fail_wave(board: Board, wave: Wave, sentence: str) -> None:
    if board.waves[wave.index].status not in (WaveStatus.PENDING, WaveStatus.FAILED):
        board.move_wave(wave, WaveEvent.FAIL, sentence)


def _begin_rollback(board: Board, sentence: str, wave: Wave | None) -> None:
    """Who goes back is decided in the next tick, which reads every device that was offered it."""
    scope = board.rollout.spec.on_failure.rollback
    board.move(RolloutEvent.ROLL_BACK, sentence)
    board.rollout = replace(
        board.rollout,
        rollback_scope=Scope.ALL if scope is Scope.NONE else scope,
        failed_wave=wave.index if wave else None,
    )


def _round(board: Board) -> bool:
    """Moves the wave that is under way one state on, where it can; whether it did."""
    wave = board.current()
    if wave is None:
        return _complete(board)
    match wave.status:
        case WaveStatus.PENDING:
            return _start_wave(board, wave)
        case WaveStatus.IN_PROGRESS:
            make_offers(board, wave)
            return _through(board, board.waves[wave.index])
        case WaveStatus.BAKING:
            return _bake(board, wave)
        case WaveStatus.ANALYZING:
            return _judge(board, wave)
        case _:
            return False


def _start_wave(board: Board, wave: Wave) -> bool:
    holding.end_with_the_tail(board, wave)
    if wave.tail and not board.rollout.follows and board.count_open(wave.index) == 0:
        # Nobody was left behind; what had gone to the tail and ended is judged with all at the end.
        board.move_wave(wave, WaveEvent.NOBODY, "no device was left for it")
        return True
    moved = board.move_wave(wave, WaveEvent.START, "its devices are offered the release")
    board.say(f"wave {moved.name} is under way")
    board.decide(
        "wave_started",
        "IN_PROGRESS",
        f"wave {moved.name} starts: {devices(moved.counts.total)}",
        wave=wave.index,
    )
    return True


def _through(board: Board, wave: Wave) -> bool:
    """Whether every device that can be reached has ended; the others go to the tail (rollouts 3.5)."""
    waiting, present = wave.counts.open, wave.present
    if wave.tail and board.rollout.settled and board.rollout.follows:
        following.say(board)
        return False
    if wave.tail:
        waited = board.now - wave.since >= board.rollout.spec.success.reachable_within_s
        if waiting and not (waited and _enough_executed(board, present)):
            if board.rollout.status is RolloutStatus.RUNNING:
                left = f"{devices(waiting)} not through" if present else f"{devices(waiting)} away"
                board.say(f"{left}; the rollout waits")
            return False
        if board.rollout.follows and meets_all(board):
            following.settle(board)
            return False
        board.move_wave(wave, WaveEvent.BELOW, "those that came back are through")
        return True
    if present:
        if board.rollout.status is not RolloutStatus.RUNNING or pace.bytes_spent(board):
            return False  # it has said why it waits
        board.say(f"wave {wave.name}: {waiting} of {devices(wave.counts.total)} not through")
        return False
    fired = went_dark(board, wave)
    if fired is not None:
        _carry_out(board, fired, wave)
        return False
    if waiting and wave.counts.executed == 0:
        board.say(f"wave {wave.name}: none of its {waiting} devices can be reached")
        return False
    for run in board.everyone(wave.index):
        board.put(replace(run, wave=len(board.waves) - 1))
    return _leave(board, board.waves[wave.index], moved=waiting)


def _leave(board: Board, wave: Wave, *, moved: int) -> bool:
    left = f"; {moved} could not be reached and follow in the tail" if moved else ""
    counts = wave.counts
    sentence = f"wave {wave.name}: {counts.succeeded} of {counts.executed} executed devices succeeded{left}"
    good = meets(counts, board.rollout.spec.success.percent)
    board.move_wave(wave, WaveEvent.THROUGH if good else WaveEvent.BELOW, sentence)
    board.say(f"{sentence}; it bakes" if good else sentence)
    numbers: dict[str, JsonValue] = {"counts": counts.as_json(), "moved_to_tail": moved}
    board.decide("through", "BAKING" if good else "BELOW", sentence, wave=wave.index, numbers=numbers)
    return True


def _enough_executed(board: Board, present: int) -> bool:
    """min_reachable_executed: of the devices that can be reached, this share has ended."""
    executed = board.totals.executed
    return executed * 100 >= board.rollout.spec.success.min_reachable_executed * (executed + present)


def _bake(board: Board, wave: Wave) -> bool:
    if not meets(wave.counts, board.rollout.spec.success.percent):
        board.move_wave(wave, WaveEvent.BELOW, "devices fell back while it baked")
        return True
    if holding.bakes_on(board, wave):
        return False
    if wave.compares:
        return _compare(board, wave)
    if board.now - wave.since < wave.bake_s:
        return False
    board.move_wave(wave, WaveEvent.BAKED, "it has baked")
    return True


def _compare(board: Board, wave: Wave) -> bool:
    """A look at it beside its controls, where one is due (rollouts 5.5)."""
    verdict = comparing.look(board, wave)
    if verdict is None:
        return False
    sentence = board.decisions[-1].sentence
    if verdict is Verdict.FAILED:
        board.move_wave(wave, WaveEvent.FAIL, sentence)
        _fail(board, sentence, board.waves[wave.index])
        return True
    board.move_wave(wave, WaveEvent.BAKED, sentence)
    if verdict is Verdict.INCONCLUSIVE:
        board.move_wave(wave, WaveEvent.TOO_LITTLE, sentence)
        board.move(RolloutEvent.PAUSE, sentence, pause=Pause.INCONCLUSIVE)
    return True


def _judge(board: Board, wave: Wave) -> bool:
    success = board.rollout.spec.success
    # The tail is small and late: it is judged with everybody, so that one old device does not decide.
    counts = board.totals if wave.tail else wave.counts
    planned = counts.total if wave.tail else wave.size
    taken = counts.of(Execution.SUPERSEDED, Execution.REMOVED)
    asked = asked_of(success, planned - taken)
    verdict, decision = judge(asked, counts, wave=wave.index, name=wave.name)
    board.decisions.append(decision)
    verdict, sentence = holding.agrees(board, wave, verdict, decision.sentence)
    if verdict is Verdict.PASSED:
        board.move_wave(wave, WaveEvent.GATE_PASSED, sentence)
        board.say(sentence)
        if wave.pause_after:
            more = any(one.index > wave.index and not one.tail for one in board.waves)
            then = "resume starts the next" if more else "it was the last, and a person says what follows"
            board.move(RolloutEvent.PAUSE, f"wave {wave.name} has passed; {then}", pause=Pause.MANUAL)
    elif verdict is Verdict.FAILED:
        board.move_wave(wave, WaveEvent.FAIL, sentence)
        _fail(board, sentence, board.waves[wave.index])
    else:
        board.move_wave(wave, WaveEvent.TOO_LITTLE, sentence)
        board.move(RolloutEvent.PAUSE, sentence, pause=Pause.INCONCLUSIVE)
    return True


def _fail(board: Board, sentence: str, wave: Wave | None) -> None:
    """Ended below its criteria: roll back if the file says so, else stop where it is."""
    if board.rollout.spec.on_failure.rollback is not Scope.NONE:
        _begin_rollback(board, sentence, wave)
        return
    board.move(RolloutEvent.FAIL, sentence)
    way_back.withdraw_open(board, "the rollout failed")
    board.decide("failed", "FAILED", sentence, wave=wave.index if wave else None)


def _fell_below(board: Board) -> bool:
    """The whole is judged once more at its end, however it ends (rollouts 3.2)."""
    totals = board.totals
    if not totals.executed or meets(totals, board.rollout.spec.success.percent):
        return False
    last = board.waves[-1]
    sentence = f"{totals.failed} of {totals.executed} executed devices failed in the end"
    _fail_wave(board, last, sentence)
    _fail(board, sentence, last)
    return True


def _complete(board: Board) -> bool:
    """Every gate has passed, and nothing fell back since that would have kept one from passing."""
    if _fell_below(board):
        return True
    # Gates have passed, so those who are away may have it too; the rate still holds (rollouts 3.10).
    for run in [run for run in board.open() if run.state is Execution.QUEUED]:
        if pace.budget(board) <= 0 or pace.hold_back(board):
            if board.rollout.status is RolloutStatus.RUNNING:
                board.say("devices that are away are offered the release, as fast as the rate allows")
            return False
        offer(board, run, reason="the rollout is complete; it follows when it comes back")
    if board.totals.of(Execution.QUEUED):
        return False  # others that wait were not read; the next tick has them
    following.complete(board)
    return True


def meets_all(board: Board) -> bool:
    totals = board.totals
    return totals.executed > 0 and meets(totals, board.rollout.spec.success.percent)
