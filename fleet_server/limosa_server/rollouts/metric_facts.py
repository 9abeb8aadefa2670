"""The numbers of a look: one per device and metric, of the wave's cohort and its controls (rollouts 5.2).

Read for those devices only, in the same hours for both arms, when a look is due: a few times per wave.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.phases import Execution, Phase
from limosa_contracts.window import COMPARED
from limosa_server.core.comparing import due_look
from limosa_server.core.habit import Habit, is_silent
from limosa_server.core.judging import numbers
from limosa_server.core.judging.numbers import Tally
from limosa_server.core.judging.samples import DECIMALS, Comparison, Sample, Stratum
from limosa_server.core.rollout import Rollout, RolloutStatus
from limosa_server.core.wave import Wave, WaveStatus
from limosa_server.rollouts.rollout_rows import rollout_of, wave_of
from limosa_server.rollouts.window_times import began_at
from limosa_server.store import Transaction
from limosa_server.store.rounds import in_rounds
from limosa_server.tables.devices import Device
from limosa_server.tables.habits import DeviceHabit
from limosa_server.tables.judging import CohortRow
from limosa_server.tables.reports import EventRow, WindowRow
from limosa_server.tables.rollouts import ExecutionRow, RolloutRow, WaveRow

BEFORE_S: Final = 86400.0  # of the past that a device is compared with, at least; a longer bake: as long
CRASHES: Final = ("worker_crashed", "worker_hung", "crash_loop")
_BROKEN: Final = (Phase.FELL_BACK.value,)
_BAKING: Final = WaveStatus.BAKING.value
_GONE: Final = (Execution.SUPERSEDED, Execution.REMOVED, Execution.CANCELED)


@dataclass(slots=True, kw_only=True)
class _Device:
    treated: bool
    stratum: str
    failed: bool | None = False  # None: it has not ended
    crashed: bool = False
    silent: bool | None = False  # None: silent before anything began
    before: Tally = field(default_factory=Tally)
    since: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Period:
    """`bake_from`: since when the wave bakes. Windows from `first` to there are the past."""

    first: float
    bake_from: float


def read_due(tx: Transaction, number: int, *, now: float) -> Comparison | None:
    """What the look that is due at a rollout decides on; None where none is due, as nearly always."""
    baking = select(WaveRow.judge).where(WaveRow.rollout == number, WaveRow.status == _BAKING)
    rollout = tx.get(RolloutRow, number) if tx.exec(baking).first() == "compare" else None
    if rollout is None or rollout.status != RolloutStatus.RUNNING.value:
        return None
    waves = tx.exec(select(WaveRow).where(WaveRow.rollout == number).order_by(col(WaveRow.index))).all()
    return comparison_of(tx, rollout_of(rollout), [wave_of(wave) for wave in waves], now=now)


def comparison_of(
    tx: Transaction, rollout: Rollout, waves: Sequence[Wave], *, now: float
) -> Comparison | None:
    """What the look that is due now decides on; None where none is due."""
    wave = next((wave for wave in waves if wave.status is not WaveStatus.SUCCEEDED), None)
    gated = sum(not one.tail for one in waves)
    look = due_look(rollout, wave, waves=gated, now=now) if wave is not None else None
    if wave is None or look is None:
        return None
    devices, begun = _cohort(tx, rollout, wave)
    bake_s = now - wave.since
    period = _Period(first=wave.since - max(BEFORE_S, bake_s), bake_from=wave.since)
    model, version = str(rollout.spec.release.name), rollout.spec.release.version
    for names in in_rounds(sorted(devices)):
        _read_windows(tx, devices, names, period, model=model, version=version)
        _read_events(tx, devices, names, period, model=model)
        _read_silence(tx, devices, names, allowed_s=rollout.spec.timeouts.silence_s, begun=begun, now=now)
    treated = sum(device.treated for device in devices.values())
    return Comparison(
        wave=wave.name,
        look=look,
        baked_s=round(bake_s, 3),
        devices=(treated, len(devices) - treated),
        rules=rollout.spec.analysis,
        samples=tuple(
            _sample(rule.metric, devices, least=rule.min_devices_per_arm) for rule in rollout.spec.analysis
        ),
    )


def _cohort(tx: Transaction, rollout: Rollout, wave: Wave) -> tuple[dict[str, _Device], float]:
    """Treated devices that have ended or went dark, wherever they are by now, and controls that no rollout
    has touched; and when the first of the treated was offered the release, Unix seconds."""
    rows = tx.execute(
        select_columns(
            col(CohortRow.device),
            col(CohortRow.arm),
            col(CohortRow.stratum),
            col(ExecutionRow.state),
            col(ExecutionRow.silent),
            col(ExecutionRow.offered_at),
        )
        .join(
            ExecutionRow,
            (col(ExecutionRow.rollout) == col(CohortRow.rollout))
            & (col(ExecutionRow.device) == col(CohortRow.device)),
        )
        .where(col(CohortRow.rollout) == rollout.id, col(CohortRow.wave) == wave.index)
    ).all()
    found: dict[str, _Device] = {}
    begun = wave.since
    for device, arm, stratum, state, silent, offered_at in rows:
        execution = Execution(state)
        # Who went dark after the switch has moved to the tail, and is what silence is about.
        if arm == "treated" and (execution.executed or (silent and not execution.terminal)):
            failed = execution.failed if execution.executed else None
            found[device] = _Device(treated=True, stratum=stratum, failed=failed)
            begun = min(begun, offered_at or begun)
        elif arm == "control" and offered_at is None and execution not in _GONE:
            found[device] = _Device(treated=False, stratum=stratum)
    return found, begun


def _read_windows(
    tx: Transaction,
    devices: Mapping[str, _Device],
    names: Sequence[str],
    period: _Period,
    *,
    model: str,
    version: str,
) -> None:
    rows = tx.execute(
        select_columns(
            col(WindowRow.device),
            col(WindowRow.version),
            col(WindowRow.n),
            col(WindowRow.started_at),
            col(WindowRow.length_s),
            col(WindowRow.received_at),
            col(WindowRow.counters),
            col(WindowRow.latency),
            col(WindowRow.classes),
            col(WindowRow.memory_bytes),
        ).where(
            col(WindowRow.device).in_(names),
            col(WindowRow.model) == model,
            col(WindowRow.received_at) >= period.first,
        )
    ).all()
    for name, ran, n, started_at, length_s, received_at, counters, latency, classes, memory in rows:
        if COMPARED in counters:
            continue  # a challenger's: its answers went to nobody
        device = devices[name]
        middle = began_at(started_at, length_s, received_at) + length_s / 2
        tally = _tally_of(device, middle, ran == version, period)
        if tally is not None:
            tally.add(
                n=n,
                errors=_count(counters, "errors"),
                refused=_count(counters, "refused"),
                latency=latency,
                classes=classes,
                memory_bytes=memory,
            )


def _tally_of(device: _Device, middle: float, new: bool, period: _Period) -> Tally | None:
    """Where a window belongs: what a treated device did with the release since the bake began, what a
    control did in the same hours, or what either did before with another one."""
    if middle >= period.bake_from:
        return device.since if new == device.treated else None
    return device.before if middle >= period.first and not new else None


def _read_events(
    tx: Transaction, devices: Mapping[str, _Device], names: Sequence[str], period: _Period, *, model: str
) -> None:
    """Crashes since the bake began, and controls whose own version fell back meanwhile."""
    rows = tx.execute(
        select_columns(col(EventRow.device), col(EventRow.phase), col(EventRow.reason_code)).where(
            col(EventRow.device).in_(names),
            col(EventRow.model) == model,
            col(EventRow.received_at) >= period.bake_from,
            col(EventRow.reason_code).in_(CRASHES) | col(EventRow.phase).in_(_BROKEN),
        )
    ).all()
    for name, phase, code in rows:
        devices[name].crashed |= code in CRASHES
        if phase in _BROKEN and not devices[name].treated:
            devices[name].failed = True


def _read_silence(
    tx: Transaction,
    devices: Mapping[str, _Device],
    names: Sequence[str],
    *,
    allowed_s: float,
    begun: float,
    now: float,
) -> None:
    """Against each device's own habits: many are away half of the time (rollouts 3.4).

    A treated device was there when it was offered the release, so a control that was silent by then has no
    number: the dead of a fleet, all of them controls, would excuse a canary that went dark.
    """
    rows = tx.execute(
        select_columns(
            col(Device.id),
            col(Device.online),
            col(Device.last_seen),
            col(Device.enrolled_at),
            col(DeviceHabit.observed_to),
            col(DeviceHabit.spans_s),
        )
        .join(DeviceHabit, col(DeviceHabit.device) == col(Device.id), isouter=True)
        .where(col(Device.id).in_(names))
    ).all()
    for name, online, last_seen, enrolled_at, observed_to, spans in rows:
        usual = Habit.of(observed_to, spans).usual_gap_s if observed_to is not None else None
        quiet = 0.0 if online else now - (last_seen or enrolled_at)
        by_then = quiet - (now - begun)
        if not devices[name].treated and is_silent(by_then, allowed_s=allowed_s, usual_gap_s=usual):
            devices[name].silent = None
        else:
            devices[name].silent = is_silent(quiet, allowed_s=allowed_s, usual_gap_s=usual)


def _sample(metric: str, devices: Mapping[str, _Device], *, least: int) -> Sample:
    """Against the device's own before where enough devices of both arms have one (rollouts 5.2)."""
    if metric not in _OWN:
        return _strata(metric, devices, {name: _RATES[metric](one) for name, one in devices.items()})
    paired = {name: _OWN[metric](one, True) for name, one in devices.items()}
    arms = [
        sum(paired[name] is not None for name, one in devices.items() if one.treated is arm)
        for arm in (True, False)
    ]
    if min(arms) >= least or metric == "class_distance":
        return _strata(metric, devices, paired, own_before=True)
    return _strata(metric, devices, {name: _OWN[metric](one, False) for name, one in devices.items()})


def _strata(
    metric: str,
    devices: Mapping[str, _Device],
    values: Mapping[str, float | None],
    *,
    own_before: bool = False,
) -> Sample:
    arms: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for name in sorted(values):
        value = values[name]
        if value is not None:
            arms[devices[name].stratum][0 if devices[name].treated else 1].append(round(value, DECIMALS))
    return Sample(
        metric=metric,
        strata=tuple(
            Stratum(name=name, treated=tuple(arms[name][0]), control=tuple(arms[name][1]))
            for name in sorted(arms)
        ),
        own_before=own_before,
    )


def _errors(one: _Device) -> float | None:
    return numbers.rose(
        one.since.errors, one.since.n, one.before.errors, one.before.n, by=numbers.ERRORS_RISE
    )


def _refused(one: _Device) -> float | None:
    return numbers.rose(
        one.since.refused, one.since.n, one.before.refused, one.before.n, by=numbers.REFUSED_RISE
    )


def _latency(one: _Device, own: bool) -> float | None:
    now = numbers.log_latency(one.since.latency)
    return _less(now, numbers.log_latency(one.before.latency)) if own else now


def _memory(one: _Device, own: bool) -> float | None:
    now = numbers.log_memory(one.since.memory_bytes)
    return _less(now, numbers.log_memory(one.before.memory_bytes)) if own else now


def _classes(one: _Device, own: bool) -> float | None:
    return numbers.class_distance(one.since.classes, one.before.classes) if own else None


_RATES: Final[Mapping[str, Any]] = {
    "failures": lambda one: None if one.failed is None else float(one.failed),
    "crashes": lambda one: float(one.crashed),
    "silence": lambda one: None if one.silent is None else float(one.silent),
    "errors": _errors,
    "refused": _refused,
}
_OWN: Final[Mapping[str, Any]] = {"latency": _latency, "memory": _memory, "class_distance": _classes}


def _less(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def _count(counters: Mapping[str, Any], name: str) -> int:
    value = counters.get(name, 0)
    return value if isinstance(value, int) and value > 0 else 0
