"""Rows from a batch of reports: each write is idempotent, compared in SQL (server 3.2, telemetry 3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import bindparam, update
from sqlalchemy import select as select_columns
from sqlmodel import col

from limosa_contracts.event import UpdateEvent
from limosa_contracts.reported import Reported
from limosa_contracts.status import Status
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Window
from limosa_server.core.device_state import DeviceState
from limosa_server.fleet import habits
from limosa_server.reports import event_rows, reported_rows, window_rows
from limosa_server.reports.report_parsing import Checked, Refusal
from limosa_server.store import Transaction
from limosa_server.store.among import among
from limosa_server.store.rounds import in_rounds
from limosa_server.store.table_of import table_of
from limosa_server.store.upsert import insert
from limosa_server.tables.devices import Device
from limosa_server.tables.reports import RefusedReport

SAMPLE_MAX_CHARS: Final = 500
_DEVICES: Final = table_of(Device)
_OF_ONE: Final = update(_DEVICES).where(_DEVICES.c.id == bindparam("of_device"))


def store(
    tx: Transaction, fresh: Sequence[Checked], now: float, *, progress_per_day: int
) -> Counter[tuple[str, str]]:
    """(kind, result) -> how many; a result is one of stored, duplicate, stale, refused, dropped."""
    events: list[tuple[UpdateEvent, bytes]] = []
    windows: list[tuple[str, Window, bytes]] = []
    said: dict[str, Reported] = {}
    outcomes: Counter[tuple[str, str]] = Counter()
    for one in fresh:
        report, message = one.parsed.report, one.parsed.message
        if isinstance(report, UpdateEvent):
            events.append((report, message.payload))
        elif isinstance(report, Window):
            windows.append((one.device, report, message.payload))
        elif isinstance(report, Reported):
            said[one.device] = report
            outcomes[Suffix.REPORTED.value, "stored"] += 1
        else:
            assert one.parsed.refused is not None
            _refused(tx, one.device, one.parsed.refused, now)
            outcomes[message.suffix.value, "refused"] += 1
    for result, count in _windows(tx, windows, now).items():
        outcomes[Suffix.WINDOW.value, result] += count
    for result, count in event_rows.store(tx, events, now, progress_per_day=progress_per_day).items():
        outcomes[Suffix.EVENT.value, result] += count
    reported_rows.store(tx, said, now)
    return outcomes


def seen(tx: Transaction, devices: Collection[str], now: float) -> None:
    habits.note(tx, devices, now=now)
    tx.execute(update(Device).where(among(tx, col(Device.id), devices)).values(last_seen=now))


def presence(tx: Transaction, device: str, *, online: bool, session: int, now: float) -> bool:
    """Takes a status unless a newer session has spoken; whether it was taken."""
    return bool(presences(tx, {device: Status(online=online, session=session)}, now=now))


def presences(tx: Transaction, statuses: Mapping[str, Status], *, now: float) -> list[str]:
    """The same of many devices, in a number of statements that does not grow with them; who was taken."""
    taken: list[str] = []
    for some in in_rounds(sorted(statuses)):
        habits.note(tx, [device for device in some if statuses[device].online], now=now)
        query = select_columns(
            col(Device.id), col(Device.online), col(Device.presence_session), col(Device.last_seen)
        )
        rows: list[dict[str, object]] = []
        for device, was_online, spoken, last_seen in tx.execute(
            query.where(col(Device.id).in_(some), col(Device.state) == DeviceState.ACTIVE)
        ):
            said = statuses[device]
            if spoken > said.session:
                continue
            # One that goes has been there until now, however long ago it last reported.
            seen_at = max(now, last_seen or now) if said.online or was_online else last_seen
            rows.append(
                {
                    "of_device": device, "online": said.online, "presence_session": said.session,
                    "last_seen": seen_at,
                }
            )  # fmt: skip
            taken.append(device)
        if rows:
            tx.connection().execute(_OF_ONE, rows)
    if taken:
        tx.announce("devices", *(f"device {device}" for device in taken))
    return taken


def _windows(tx: Transaction, windows: Sequence[tuple[str, Window, bytes]], now: float) -> Counter[str]:
    unknown = window_rows.strangers(tx, [window for _, window, _ in windows])
    ours: list[tuple[Window, bytes]] = []
    for device, window, body in windows:
        stranger = unknown.get(window_rows.counted(window))
        if stranger is None:
            ours.append((window, body))
        else:
            _refused(tx, device, Refusal(code=stranger.code, text=str(stranger)), now)
    return window_rows.store(tx, ours, now) + Counter(refused=len(windows) - len(ours))


def _refused(tx: Transaction, device: str, why: Refusal, now: float) -> None:
    sample = why.text[:SAMPLE_MAX_CHARS].encode("utf-8", "replace").decode()
    tx.execute(
        insert(tx, RefusedReport)
        .values(device=device, code=why.code, count=1, last_at=now, sample=sample)
        .on_conflict_do_update(
            index_elements=["device", "code"],
            set_={"count": col(RefusedReport.count) + 1, "last_at": now, "sample": sample},
        )
    )
