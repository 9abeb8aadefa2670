"""Rows from reports: each write is idempotent, compared in SQL (server 3.2, telemetry 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import delete, update
from sqlmodel import col, select

from limosa_contracts.event import UpdateEvent
from limosa_contracts.names import LABEL_KEY, LABEL_VALUE
from limosa_contracts.reported import Installed, Reported, ReportedModel
from limosa_contracts.window import Window
from limosa_server.errors import BaselineUnknown
from limosa_server.reports.report_parsing import Parsed
from limosa_server.state import Report
from limosa_server.store import Transaction
from limosa_server.store.upsert import insert
from limosa_server.tables.devices import Device, DeviceModel
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.reports import EventRow, InboxMark, RefusedReport, WindowRow

SAMPLE_MAX_CHARS: Final = 500


def store(tx: Transaction, device: str, parsed: Parsed, now: float) -> str:
    """What became of it: stored | duplicate | stale | refused."""
    report = parsed.report
    if isinstance(report, UpdateEvent):
        return _event(tx, report, parsed.message.payload, now)
    if isinstance(report, Window):
        if not _counts_what_it_runs(tx, report):
            stranger = BaselineUnknown(f"{report.model}@{report.version} has no baseline {report.baseline}")
            _refused(tx, device, stranger.code, str(stranger), now)
            return "refused"
        return _window(tx, report, parsed.message.payload, now)
    if isinstance(report, Reported):
        return _reported(tx, report, now)
    assert parsed.refused is not None
    _refused(tx, device, parsed.refused.code, str(parsed.refused), now)
    return "refused"


def advance(tx: Transaction, marks: Mapping[tuple[str, int], int], now: float) -> None:
    """Everything up to these numbers is committed with this transaction."""
    rows = [
        {"device": device, "session": session, "mark": mark, "updated_at": now}
        for (device, session), mark in marks.items()
        if mark > 0
    ]
    if rows:
        statement = insert(tx, InboxMark)
        tx.execute(
            statement.on_conflict_do_update(
                index_elements=["device", "session"],
                set_={"mark": statement.excluded.mark, "updated_at": now},
                where=col(InboxMark.mark) < statement.excluded.mark,
            ),
            rows,
        )


def seen(tx: Transaction, device: str, now: float) -> None:
    tx.execute(update(Device).where(col(Device.id) == device).values(last_seen=now))


def labels_said(reports: Sequence[Report]) -> dict[str, str] | None:
    """The labels of the last `reported`; None without one. Labels that do not have a label's form are
    left out: they can name nothing in a selector."""
    last = next((one for one in reversed(reports) if isinstance(one, Reported)), None)
    if last is None:
        return None
    return {
        key: value
        for key, value in last.labels.items()
        if LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value)
    }


def presence(tx: Transaction, device: str, *, online: bool, session: int, now: float) -> bool:
    """Takes a status unless a newer session has spoken; whether it was taken."""
    statement = update(Device).where(
        col(Device.id) == device, col(Device.state) == "active", col(Device.presence_session) <= session
    )
    values: dict[str, object] = {"online": online, "presence_session": session}
    if online:
        values["last_seen"] = now
    taken = tx.connection().execute(statement.values(**values)).rowcount == 1
    if taken:
        tx.announce("devices", f"device {device}")
    return taken


def _event(tx: Transaction, event: UpdateEvent, payload: bytes, now: float) -> str:
    written = tx.connection().execute(
        insert(tx, EventRow)
        .values(
            device=event.device,
            key=event.key,
            kind=event.kind,
            model=event.model,
            version=event.version,
            rollout=event.rollout,
            attempt=event.attempt,
            phase=event.phase.value,
            reason_code=event.reason.code,
            reason=event.reason.message,
            at=event.at,
            received_at=now,
            body=payload.decode(),
        )
        .on_conflict_do_nothing()
    )
    tx.announce("events")
    return "stored" if written.rowcount == 1 else "duplicate"


def _counts_what_it_runs(tx: Transaction, window: Window) -> bool:
    """Counts over other bins would be added to ours as if they were the same (telemetry 2.2)."""
    known = (
        select(Variant.id)
        .join(Release, col(Release.id) == col(Variant.release_id))
        .where(
            Release.model == window.model,
            Release.version == window.version,
            col(Variant.manifest_sha256).startswith(window.model_digest, autoescape=True),
            Variant.baseline_id == window.baseline,
        )
    )
    return tx.exec(known.limit(1)).first() is not None


def _window(tx: Transaction, window: Window, payload: bytes, now: float) -> str:
    statement = insert(tx, WindowRow).values(
        device=window.device,
        boot=window.boot,
        window_index=window.index,
        baseline=window.baseline,
        model_digest=window.model_digest,
        model=window.model,
        version=window.version,
        rev=window.rev,
        n=window.n,
        started_at=window.started_at,
        length_s=window.length_s,
        received_at=now,
        counters=dict(window.counters),
        body=payload,
    )
    new = statement.excluded
    written = tx.connection().execute(
        statement.on_conflict_do_update(
            index_elements=["device", "boot", "window_index", "baseline", "model_digest"],
            set_={name: new[name] for name in ("rev", "n", "length_s", "received_at", "counters", "body")},
            where=col(WindowRow.rev) < new.rev,
        )
    )
    tx.announce("windows")
    return "stored" if written.rowcount == 1 else "stale"


def _reported(tx: Transaction, reported: Reported, now: float) -> str:
    profile = reported.capabilities.get("profile")
    tx.execute(
        update(Device)
        .where(col(Device.id) == reported.device)
        .values(
            agent=reported.agent,
            boot=reported.boot,
            clock=reported.clock,
            desired_epoch=reported.desired[0],
            desired_counter=reported.desired[1],
            capabilities=dict(reported.capabilities),
            resources=dict(reported.resources),
            profile=profile[:64] if isinstance(profile, str) else "",
            reported_at=now,
        )
    )
    kept = [model.model for model in reported.models]
    tx.execute(
        delete(DeviceModel).where(
            col(DeviceModel.device) == reported.device, col(DeviceModel.model).not_in(kept)
        )
    )
    for model in reported.models:
        values = _model_values(model, now)
        tx.execute(
            insert(tx, DeviceModel)
            .values(device=reported.device, model=model.model, **values)
            .on_conflict_do_update(index_elements=["device", "model"], set_=values)
        )
    return "stored"


def _model_values(model: ReportedModel, now: float) -> dict[str, object]:
    def version(installed: Installed | None) -> str:
        return installed.version if installed else ""

    active, candidate = model.active, model.candidate
    return {
        "phase": model.phase.value,
        "active_version": version(active),
        "active_index": active.index_sha256 if active else "",
        "active_manifest": active.manifest_sha256 if active else "",
        "active_variant": active.variant if active else "",
        "previous_version": version(model.previous),
        "candidate_version": version(candidate),
        "candidate_index": candidate.index_sha256 if candidate else "",
        "rollout": model.rollout,
        "attempt": model.attempt,
        "reason": model.reason,
        "quarantined": list(model.quarantined),
        "updated_at": now,
    }


def _refused(tx: Transaction, device: str, code: str, why: str, now: float) -> None:
    sample = why[:SAMPLE_MAX_CHARS].encode("utf-8", "replace").decode()
    tx.execute(
        insert(tx, RefusedReport)
        .values(device=device, code=code, count=1, last_at=now, sample=sample)
        .on_conflict_do_update(
            index_elements=["device", "code"],
            set_={"count": col(RefusedReport.count) + 1, "last_at": now, "sample": sample},
        )
    )
