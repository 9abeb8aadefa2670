"""Forty devices and rollouts in every state, written straight into a store: what pages are looked at with.

python -m tests.support.seeded_fleet        # serves it on loopback, and prints address and token
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlmodel import select

from limosa_contracts.reported import Installed
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_server.core.counts import Counts
from limosa_server.core.tally import counted
from limosa_server.registry import running
from limosa_server.rollouts.rollout_rows import execution_of, wave_of, write_wave
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.reports import EventRow, RefusedReport, WindowRow
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow, RolloutRow, WaveRow
from tests.support.seeded_alerts import seed_alerts
from tests.support.seeded_rollouts import DAY, DEVICES, HOUR, MODEL, ROLLOUTS, RolloutSeed, S, WaveSeed

_WHY: Final = {
    "worker_crashed": "the serving worker ended with SIGFPE in the first minute of probation",
    "golden_mismatch": "golden case 3 differs by 0.41, 0.001 is allowed",
    "probation_failed": "2 of 20 inferences failed in probation",
    "output_collapsed": "one class got 97 % of 500 answers; 38 % in the baseline",
    "accuracy_below_gate": "holdout accuracy 0.71 on the device, 0.90 is needed",
    "latency_above_limit": "p99 of 41 ms over 20 inferences, 25 ms are allowed",
}
_STEPS: Final = {
    S.IN_PROGRESS: "probation", S.NOTIFIED: "notified", S.QUEUED: "queued", S.SUCCEEDED: "committed",
    S.ROLLED_BACK: "fell_back", S.REJECTED: "rejected",
}  # fmt: skip


_RETURNS: Final = {"ROLLING_BACK": "sent", "ROLLED_BACK": "returned", "ROLLBACK_INCOMPLETE": "stuck"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def device_name(place: int) -> str:
    return f"{('watch', 'gate', 'lift', 'pump')[place % 4]}-{place:04d}"


def seed_fleet(tx: Transaction, *, now: float, devices: int = DEVICES) -> None:
    """Releases, devices, groups and one rollout per seed; trouble of every kind that a page names."""
    for place in range(devices):
        add_device(tx, device_name(place), now=now, place=place)
    add_group(tx, "watches", [device_name(place) for place in range(devices)], now=now)
    add_group(tx, "lab", [device_name(place) for place in range(0, devices, 5)], now=now)
    for counter, one in enumerate(ROLLOUTS, start=1):
        add_release(tx, one.model, one.version, counter, now=now - one.age_s, stage=_stage(one))
        add_rollout(tx, one, devices=devices, now=now)
    add_events(tx, now=now, devices=devices)
    tx.add(
        RefusedReport(
            device=device_name(3), code="LM-203", count=12, last_at=now - 240.0,
            sample="reported: the signature does not verify under the key of this device",
        )
    )  # fmt: skip
    seed_alerts(tx, now=now)
    tx.announce("devices", "rollouts", "events")


def _stage(one: RolloutSeed) -> str:
    return "production" if one.status == "COMPLETED" else "staging"


def add_device(tx: Transaction, name: str, *, now: float, place: int = 0, **fields: object) -> None:
    online = place % 9 != 4
    device = Device(
        id=name,
        serial=f"SN-{10_000 + place}",
        enrolled_at=now - 40 * DAY,
        profile=("cpu-generic", "arm-cortex-a72")[place % 2],
        agent="0.1.0",
        boot=sha(name)[:12],
        clock="ntp",
        desired_epoch=1,
        desired_counter=7,
        capabilities={
            "arch": "x86_64", "cpu_features": ["avx2", "fma"], "memory_bytes": 4 * 2**30,
            "runtimes": {"onnxruntime": "1.31.1"}, "profile": "cpu-generic",
        },
        resources={"disk_free_bytes": 11_300_000_000, "rss_bytes": 38_000_000},
        reported_at=now - 30,
        last_seen=now - (20 if online else 3 * HOUR + 1200 * place),
        online=online,
    )  # fmt: skip
    for key, value in fields.items():
        setattr(device, key, value)
    tx.add(device)
    tx.flush()
    for key, value in (
        ("site", ("hq", "lab", "north")[place % 3]),
        ("tier", ("prod", "dev")[place % 7 == 6]),
    ):
        tx.add(DeviceLabel(device=name, key=key, value=value, source="operator"))
    tx.add(
        DeviceCertificate(
            fingerprint=sha(f"certificate {name}"), device=name, serial_number=str(place), pem="",
            not_after=now + (-HOUR if place == 11 else 2 * DAY if place == 5 else 24 * DAY),
            issued_at=now - 6 * DAY,
        )
    )  # fmt: skip
    said = device_model(name, now=now, place=place)
    tx.add(said)
    runs = Installed(
        version=said.active_version, index_sha256=said.active_index, manifest_sha256=sha("manifest")
    )
    running.count(tx, name, {MODEL: runs}, now=now)
    for index in range(3):
        tx.add(
            WindowRow(
                device=name, boot="b", window_index=index, baseline="1" * 16, model_digest="0" * 16,
                model=MODEL, version="2.0.0", rev=1, n=1800 + place, started_at=now - 900 + 300 * index,
                length_s=300.0, received_at=now - 600 + 300 * index, body=b"",
                counters={"inferences": 1800 + place, "errors": place % 2},
            )
        )  # fmt: skip


def device_model(name: str, *, now: float, place: int) -> DeviceModel:
    version = "4.0.0" if place < 9 else "2.0.0" if place < 37 else "1.0.0"
    phase = {9: "PROBATION", 10: "DOWNLOADING", 12: "FELL_BACK", 13: "REJECTED"}.get(place, "COMMITTED")
    code = {12: "worker_crashed", 13: "golden_mismatch"}.get(place, "")
    coming = "4.0.0" if phase in ("PROBATION", "DOWNLOADING") else ""
    return DeviceModel(
        device=name, model=MODEL, phase=phase, active_version=version,
        active_index=sha(f"{MODEL}@{version}"), active_manifest=sha("manifest"),
        active_variant="cpu-int8-minmax", previous_version="1.0.0" if version != "1.0.0" else "",
        candidate_version=coming, candidate_index=sha(f"{MODEL}@{coming}") if coming else "",
        reason=_WHY.get(code, ""), quarantined=[sha("bad")] if code else [], updated_at=now - 30,
    )  # fmt: skip


def add_group(tx: Transaction, name: str, members: Sequence[str], *, now: float) -> None:
    tx.add(Group(name=name, created_at=now, created_by="test", devices=len(members)))
    tx.flush()
    tx.add_all([Membership(group=name, device=device, since=now) for device in members])


def add_release(
    tx: Transaction, model: str, version: str, counter: int, *, now: float, stage: str = "staging"
) -> None:
    release = Release(
        model=model, version=version, index_sha256=sha(f"{model}@{version}"), release_counter=counter,
        may_return_to=["1.0.0"] if counter > 1 else [], stage=stage, published_at=now - HOUR,
        published_by="token p1 ci", size_bytes=310_000,
    )  # fmt: skip
    tx.add(release)
    tx.flush()
    assert release.id is not None
    for place, (name, size) in enumerate((("cpu-int8-minmax", 92_000), ("cpu-fp32", 218_000))):
        tx.add(
            Variant(
                release_id=release.id, position=place, name=name, size_bytes=size,
                manifest_sha256=sha(f"{model}@{version} {name}"), precision=name.split("-")[1],
            )
        )  # fmt: skip


def add_rollout(tx: Transaction, one: RolloutSeed, *, devices: int = DEVICES, now: float) -> int:
    """Its waves, executions (on the first devices, in order) and decisions."""
    at = now - one.age_s
    spec = RolloutSpec.parse(
        {
            "release": f"{one.model}@{one.version}",
            "group": "watches",
            "waves": [{"name": "canary", "count": 4, "bake": "1h"}, {"name": "rest", "bake": "24h"}],
        }
    )
    ended = one.status not in ("RUNNING", "PAUSED", "ROLLING_BACK", "CANCELING")
    row = RolloutRow(
        model=one.model, version=one.version, index_sha256=sha(f"{one.model}@{one.version}"),
        target="watches", spec=dict(spec.as_json()), salt="salt", fingerprint="f", status=one.status,
        pause=one.pause, reason=one.reason, since=at, created_at=at - HOUR, created_by="token o1 ana",
        ended_at=at if ended else None,
    )  # fmt: skip
    tx.add(row)
    tx.flush()
    assert row.id is not None
    names = iter([device_name(place) for place in range(devices)])
    for index, wave in enumerate(one.waves):
        tx.add(
            WaveRow(
                rollout=row.id, index=index, name=wave.name, bake_s=HOUR, pause_after=False,
                size=sum(wave.devices.values()), tail=wave.tail, status=wave.status,
                since=0.0 if wave.status == "PENDING" else at, reason=wave.reason,
                counts=dict(Counts(wave.devices).as_json()),
            )
        )  # fmt: skip
        tx.flush()
        _add_executions(tx, row, one, index, wave, names, at)
        _count(tx, row.id, index)
    for place, (kind, verdict, sentence) in enumerate(one.decisions):
        tx.add(
            DecisionRow(
                rollout=row.id, at=at - 60 * (len(one.decisions) - place), kind=kind, verdict=verdict,
                sentence=sentence, by="controller", inputs_sha256=sha(sentence),
                numbers={"executed": 8, "failed": 3, "lower_bound": 0.168, "threshold": 0.1},
            )
        )  # fmt: skip
    return row.id


def _add_executions(
    tx: Transaction,
    row: RolloutRow,
    one: RolloutSeed,
    index: int,
    wave: WaveSeed,
    names: Iterator[str],
    at: float,
) -> None:
    away = wave.away
    assert row.id is not None
    for state, count in wave.devices.items():
        for _ in range(count):
            is_away = away > 0 and not state.terminal
            away -= is_away
            code = one.why if state.failed else ""
            tx.add(
                ExecutionRow(
                    rollout=row.id, device=next(names), wave=index, state=state.value,
                    step=_STEPS.get(state, state.value.lower()), reason=_WHY.get(code, ""),
                    reason_code=code, since=at, offered_at=at, away=is_away, from_version="2.0.0",
                    returning=_RETURNS.get(one.status, "") if state.succeeded else "",
                    return_version="2.0.0" if one.status == "ROLLING_BACK" else "",
                )
            )  # fmt: skip


def _count(tx: Transaction, rollout: int, index: int) -> None:
    """The wave's kept counters, as the controller would have moved them."""
    row = tx.get_one(WaveRow, (rollout, index))
    blank = replace(wave_of(row), counts=Counts(), away=Counts(), silent=0, way_back={})
    for run in tx.exec(select(ExecutionRow).where(ExecutionRow.rollout == rollout)).all():
        if run.wave == index:
            blank = counted(blank, execution_of(run), 1)
    write_wave(row, blank)
    tx.add(row)


def add_events(tx: Transaction, *, now: float, devices: int) -> None:
    phases = ("DOWNLOADING", "PROBATION", "COMMITTED", "FELL_BACK", "COMMITTED", "REJECTED")
    codes = {"FELL_BACK": "worker_crashed", "REJECTED": "golden_mismatch"}
    for place in range(24):
        phase = phases[place % len(phases)]
        code = codes.get(phase, "")
        evidence = {"case": 3, "difference": 0.41, "allowed": 0.001} if code else {}
        tx.add(
            EventRow(
                device=device_name(place % devices), key=f"k{place}", kind="update", model=MODEL,
                version="4.0.0", rollout=str(len(ROLLOUTS)), attempt=1, phase=phase, reason_code=code,
                reason=_WHY.get(code, ""), at=now, received_at=now - 45 * (24 - place),
                body=json.dumps({"reason": {"code": code, "evidence": evidence}}),
            )
        )  # fmt: skip


def main() -> None:
    """Serves the pages until it is interrupted."""
    from limosa_server.access.roles import Role
    from tests.fleet_server.world import running_fleet

    with tempfile.TemporaryDirectory() as folder, running_fleet(Path(folder)) as fleet:
        with fleet.state.store.transaction() as tx:
            seed_fleet(tx, now=fleet.clock.now)
        token = fleet.token(Role.OPERATOR, expires_in_s=DAY)
        sys.stdout.write(f"{fleet.http.base_url}\n{token}\n")
        sys.stdout.flush()
        while True:
            time.sleep(1)
            fleet.clock.now += 1


if __name__ == "__main__":
    main()
