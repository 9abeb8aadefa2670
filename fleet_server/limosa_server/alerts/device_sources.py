"""Findings about devices: rows that are in trouble only, capped, grouped by cause (server 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import exists
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from limosa_contracts.duration import about_duration
from limosa_server.core.alerts.finding import Finding
from limosa_server.core.alerts.rules import AlertRule, Severity, Source
from limosa_server.core.alerts.troubles import DISK, FAILING, FELL_BACK, QUARANTINED
from limosa_server.core.device_state import DeviceState
from limosa_server.core.habit import is_silent
from limosa_server.core.wording import devices as so_many
from limosa_server.fleet.habits import usual_gaps
from limosa_server.store import Transaction
from limosa_server.tables.alerts import DeviceTrouble
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceLabel

ROWS_MAX: Final = 1000  # devices that one rule looks at; beyond, the alert says "more than"
NAMED_MAX: Final = 10  # devices named in an alert
ALERTS_MAX: Final = 50  # of one rule; the rest is told as one
_KINDS: Final[Mapping[Source, tuple[str, str]]] = {
    Source.DEVICE_FAILING: (FAILING, "had inferences that failed"),
    Source.DEVICE_FELL_BACK: (FELL_BACK, "refused a release or went back from it"),
    Source.DEVICE_QUARANTINED: (QUARANTINED, "put a release into quarantine"),
    Source.DEVICE_DISK: (DISK, "reported little room"),
}
"""Words that go with one device and with many."""
_LINKS: Final[Mapping[Source, str]] = {
    Source.DEVICE_SILENT: "/devices?state=unreachable",
    Source.DEVICE_FELL_BACK: "/devices?state=trouble",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One device in trouble. `model` "" where it is about the device itself."""

    device: str
    model: str = ""
    version: str = ""
    cause: str = ""
    severity: Severity | None = None


def device_findings(tx: Transaction, rule: AlertRule, *, now: float) -> list[Finding]:
    match rule.source:
        case Source.DEVICE_SILENT:
            found, said = _silent(tx, rule, now), f"said nothing for {about_duration(rule.after_s)}"
        case Source.DEVICE_CERTIFICATE:
            found = _certificates(tx, rule, now)
            said = f"did not renew a certificate that ends within {about_duration(rule.after_s)}"
        case _:
            kind, said = _KINDS[rule.source]
            found = _troubles(tx, kind)
    return _grouped(tx, rule, found, said)


def _silent(tx: Transaction, rule: AlertRule, now: float) -> list[Found]:
    """The longest silent first; a device that was never seen counts from its enrolment. What is usual for
    a device is no silence (rollouts 3.4)."""
    before = now - rule.after_s
    active = (Device.state == DeviceState.ACTIVE, col(Device.online).is_(False))
    seen = tx.exec(
        select(Device.id, Device.last_seen)
        .where(col(Device.last_seen) < before, *active)
        .order_by(col(Device.last_seen))
        .limit(ROWS_MAX + 1)
    ).all()
    never = tx.exec(
        select(Device.id)
        .where(col(Device.last_seen).is_(None), Device.enrolled_at < before, *active)
        .order_by(col(Device.id))
        .limit(ROWS_MAX + 1)
    ).all()
    usual = usual_gaps(tx, [device for device, _ in seen])
    return [
        Found(device=device)
        for device, last in seen
        if is_silent(now - (last or 0.0), allowed_s=rule.after_s, usual_gap_s=usual.get(device))
    ] + [Found(device=device) for device in never]


def _troubles(tx: Transaction, kind: str) -> list[Found]:
    rows = tx.exec(
        select(DeviceTrouble)
        .join(Device, col(Device.id) == col(DeviceTrouble.device))
        .where(DeviceTrouble.kind == kind, Device.state == DeviceState.ACTIVE)
        .order_by(col(DeviceTrouble.since), col(DeviceTrouble.device))
        .limit(ROWS_MAX + 1)
    )
    return [Found(device=row.device, model=row.model, version=row.version, cause=row.cause) for row in rows]


def _certificates(tx: Transaction, rule: AlertRule, now: float) -> list[Found]:
    """Certificates that end soon without one that lives longer; those that ended long ago are silence."""
    ends = col(DeviceCertificate.not_after)
    other = aliased(DeviceCertificate)
    renewed = exists().where(
        col(other.device) == col(DeviceCertificate.device),
        col(other.not_after) >= now + rule.after_s,
        col(other.revoked_at).is_(None),
    )
    rows = tx.exec(
        select(DeviceCertificate.device, DeviceCertificate.not_after)
        .join(Device, col(Device.id) == col(DeviceCertificate.device))
        .where(
            ends > now - rule.after_s,
            ends < now + rule.after_s,
            col(DeviceCertificate.revoked_at).is_(None),
            Device.state == DeviceState.ACTIVE,
            ~renewed,
        )
        .order_by(ends)
        .limit(ROWS_MAX + 1)
    ).all()
    last = dict(rows)  # of several the one that ends last
    return [
        Found(device=device, severity=Severity.CRITICAL if not_after <= now else None)
        for device, not_after in last.items()
    ]


def _grouped(tx: Transaction, rule: AlertRule, found: Sequence[Found], said: str) -> list[Finding]:
    capped = len(found) > ROWS_MAX
    rows = found[:ROWS_MAX]
    keys = _keys(tx, rule, rows)
    groups: dict[tuple[tuple[str, str], ...], list[Found]] = {}
    for one, key in zip(rows, keys, strict=True):
        groups.setdefault(key, []).append(one)
    findings = [
        _finding(rule, dict(key), group, said, capped=capped)
        for key, group in groups.items()
        if len({one.device for one in group}) >= rule.min_count
    ]
    findings.sort(key=lambda one: (-one.count, sorted(one.labels.items())))
    return findings if len(findings) <= ALERTS_MAX else _as_one(findings, said)


def _keys(tx: Transaction, rule: AlertRule, rows: Sequence[Found]) -> list[tuple[tuple[str, str], ...]]:
    """Labels of the alert that each row belongs to."""
    names = sorted({one.device for one in rows})
    match rule.by.partition(":"):
        case ("model", _, _):
            return [
                tuple((k, v) for k, v in (("model", one.model), ("version", one.version)) if v)
                for one in rows
            ]
        case ("profile", _, _):
            query = select(Device.id, Device.profile).where(col(Device.id).in_(names))
            profiles = dict(tx.exec(query).all())
            return [(("profile", profiles.get(one.device, "")),) for one in rows]
        case ("device", _, _):
            return [(("device", one.device),) for one in rows]
        case ("label", _, key):
            values = dict(
                tx.exec(
                    select(DeviceLabel.device, DeviceLabel.value).where(
                        DeviceLabel.key == key, col(DeviceLabel.device).in_(names)
                    )
                ).all()
            )
            return [((key, values.get(one.device, "")),) for one in rows]
        case _:
            return [()] * len(rows)


def _finding(
    rule: AlertRule, labels: dict[str, str], group: Sequence[Found], said: str, *, capped: bool
) -> Finding:
    names = list(dict.fromkeys(one.device for one in group))
    causes = list(dict.fromkeys(one.cause for one in group if one.cause))
    where = ", ".join(f"{key} {value}" for key, value in sorted(labels.items()))
    severities = [one.severity for one in group if one.severity is not None]
    link = _LINKS.get(rule.source, "/devices")
    if len(names) == 1:
        link = f"/devices/{names[0]}"
    return Finding(
        labels=labels,
        summary=f"{'more than ' if capped else ''}{so_many(len(names))} {said}"
        + (f" ({where})" if where else ""),
        detail="; ".join(causes[:3]),
        count=len(names),
        capped=capped,
        devices=tuple(names[:NAMED_MAX]),
        link=link,
        severity=max(severities, key=lambda one: one.rank, default=None),
    )


def _as_one(findings: Sequence[Finding], said: str) -> list[Finding]:
    """More causes than anybody reads are one event: an alert for each would bury the rest."""
    count = sum(one.count for one in findings)
    return [
        Finding(
            labels={"cause": "many"},
            summary=f"{so_many(count)} {said}, of {len(findings)} different causes",
            detail="; ".join(one.summary for one in findings[:3]),
            count=count,
            capped=any(one.capped for one in findings),
            devices=tuple(device for one in findings for device in one.devices)[:NAMED_MAX],
            link=findings[0].link if "?" in findings[0].link else "/devices",
        )
    ]
