"""Counters are kept, not counted (rollouts 3.6): here they are counted, and compared with what is kept."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from limosa_contracts.phases import Execution
from limosa_server.core.execution import DeviceExecution, Return
from limosa_server.core.tally import counted
from limosa_server.core.wave import Wave
from limosa_server.deploy.finding import Finding
from limosa_server.rollouts.rollout_rows import wave_of
from limosa_server.store.transaction import Transaction
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.lifecycle import ReleaseCount, ReleaseDevice
from limosa_server.tables.rollouts import ExecutionRow, WaveRow


def check_counters(tx: Transaction) -> Iterator[Finding]:
    """One finding for each counter that is not what its rows are: waves, groups, who runs what."""
    yield from _waves(tx)
    yield from _groups(tx)
    yield from _running(tx)


def _waves(tx: Transaction) -> Iterator[Finding]:
    found: dict[tuple[int, int], Wave] = {}
    run = ExecutionRow
    kinds = (
        col(run.rollout),
        col(run.wave),
        col(run.state),
        col(run.away),
        col(run.silent),
        col(run.returning),
    )
    for rollout, index, state, away, silent, returning, number in tx.execute(
        select_columns(*kinds, func.count()).group_by(*kinds)
    ):
        one = DeviceExecution(
            device="",
            wave=index,
            state=Execution(state),
            away=away,
            silent=silent,
            returning=Return(returning),
        )
        wave = found.get((rollout, index)) or _empty(index)
        found[rollout, index] = counted(wave, one, number)
    for row in tx.exec(select(WaveRow).order_by(col(WaveRow.rollout), col(WaveRow.index))):
        kept, again = wave_of(row), found.get((row.rollout, row.index)) or _empty(row.index)
        if (kept.counts, kept.away, kept.silent, kept.way_back) != (
            again.counts, again.away, again.silent, again.way_back
        ):  # fmt: skip
            yield Finding(
                bad=True,
                what="a wave's counters are not what its devices are",
                where=f"rollout {row.rollout}, wave {row.name}",
                hint="limosa rollout pause; a gate would judge by wrong numbers",
            )


def _empty(index: int) -> Wave:
    return Wave(index=index, name="", bake_s=0.0, pause_after=False, size=0)


def _groups(tx: Transaction) -> Iterator[Finding]:
    members = dict(tx.exec(select(Membership.group, func.count()).group_by(col(Membership.group))).all())
    for name, kept in tx.exec(select(Group.name, Group.devices).order_by(col(Group.name))):
        if kept != members.get(name, 0):
            yield Finding(
                bad=True,
                what=f"a group says {kept} devices, and has {members.get(name, 0)}",
                where=f"group {name}",
                hint="lists and plans show a wrong size; rollouts go by its members",
            )


def _running(tx: Transaction) -> Iterator[Finding]:
    devices = dict(
        tx.exec(
            select(ReleaseDevice.index_sha256, func.count()).group_by(col(ReleaseDevice.index_sha256))
        ).all()
    )
    kept = {row.index_sha256: row for row in tx.exec(select(ReleaseCount))}
    for index in sorted(kept.keys() | devices.keys()):
        row = kept.get(index)
        says = row.devices if row is not None else 0
        if says != devices.get(index, 0):
            yield Finding(
                bad=True,
                what=f"a release says that {says} devices run it, and {devices.get(index, 0)} do",
                where=f"{row.model}@{row.version}" if row is not None else f"sha256:{index}",
                hint="pages show a wrong number; limosa device list says what each device runs",
            )
