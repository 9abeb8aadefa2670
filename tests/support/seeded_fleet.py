"""Forty devices and rollouts in every state, written straight into a store: what pages are looked at with.

python -m tests.support.seeded_fleet        # serves it on loopback, and prints address and token
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from limosa_contracts.phases import Execution
from limosa_contracts.rollout_spec import RolloutSpec
from limosa_server.core.counts import Counts
from limosa_server.store import Transaction
from limosa_server.tables.devices import Device, DeviceCertificate, DeviceLabel, DeviceModel
from limosa_server.tables.groups import Group, Membership
from limosa_server.tables.releases import Release, Variant
from limosa_server.tables.reports import EventRow, RefusedReport, WindowRow
from limosa_server.tables.rollouts import DecisionRow, ExecutionRow, RolloutRow, WaveRow

MODEL: Final = "demo/motion"
OTHER_MODEL: Final = "audio/kws"
DEVICES: Final = 40
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
S: Final = Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSeed:
    name: str
    status: str
    devices: Mapping[Execution, int]
    reason: str = ""
    away: int = 0  # of the open ones
    tail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSeed:
    version: str
    status: str
    reason: str
    waves: Sequence[WaveSeed]
    pause: str = ""
    age_s: float = 600.0
    model: str = MODEL
    why: str = ""
    decisions: Sequence[tuple[str, str, str]] = field(default_factory=tuple)  # kind, verdict, sentence


FAILED_GATE = "3 of 8 executed devices failed (wave second): at least 17% with 95% confidence, 10% is allowed"
ROLLOUTS: Final = (
    RolloutSeed(
        version="1.0.0",
        status="COMPLETED",
        reason="every gate has passed",
        age_s=30 * DAY,
        waves=(
            WaveSeed(name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4}),
            WaveSeed(name="rest", status="SUCCEEDED", devices={S.SUCCEEDED: 34, S.ALREADY_INSTALLED: 2}),
        ),
    ),
    RolloutSeed(
        version="2.0.0",
        status="COMPLETED",
        reason="every gate has passed; 2 stragglers",
        age_s=9 * DAY,
        waves=(
            WaveSeed(
                name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4},
                reason="wave canary: 4 of 4 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(
                name="rest", status="SUCCEEDED", devices={S.SUCCEEDED: 33, S.FAILED: 1},
                reason="wave rest: 33 of 34 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(name="tail", status="IN_PROGRESS", devices={S.NOTIFIED: 2}, away=2, tail=True),
        ),
    ),
    RolloutSeed(
        version="3.0.0",
        status="ROLLED_BACK",
        reason="1 of 1 executed devices rolled back (wave canary): the hard stop is 1",
        age_s=5 * HOUR,
        why="worker_crashed",
        decisions=(("abort", "ROLLBACK", "1 of 1 executed devices rolled back (wave canary)"),),
        waves=(
            WaveSeed(
                name="canary", status="FAILED", devices={S.ROLLED_BACK: 1, S.SUCCEEDED: 3},
                reason="1 of 4 executed devices rolled back",
            ),
            WaveSeed(name="rest", status="PENDING", devices={S.CANCELED: 36}),
        ),
    ),
    RolloutSeed(
        version="3.0.1", status="ROLLBACK_INCOMPLETE", reason="2 devices could not go back", age_s=3 * HOUR,
        why="golden_mismatch",
        waves=(WaveSeed(name="canary", status="FAILED", devices={S.REJECTED: 2, S.SUCCEEDED: 2}),),
    ),
    RolloutSeed(
        version="3.1.0", status="CANCELED", reason="canceled by ana: wrong group", age_s=2 * HOUR,
        waves=(WaveSeed(name="canary", status="IN_PROGRESS", devices={S.CANCELED: 3, S.SUCCEEDED: 1}),),
    ),
    RolloutSeed(
        version="3.2.0", status="FAILED", reason="12 of 20 executed devices succeeded",
        age_s=1.5 * HOUR, why="probation_failed",
        waves=(
            WaveSeed(
                name="rest", status="FAILED", devices={S.FAILED: 5, S.TIMED_OUT: 3, S.SUCCEEDED: 12}
            ),
        ),
    ),
    RolloutSeed(
        version="3.3.0", status="SUPERSEDED", reason="a newer rollout has taken all of its devices",
        age_s=1.4 * HOUR,
        waves=(WaveSeed(name="rest", status="IN_PROGRESS", devices={S.SUPERSEDED: 10}),),
    ),
    RolloutSeed(
        version="3.4.0", status="INVALID", reason="no device can take it: every one lacks avx512", age_s=HOUR,
        waves=(WaveSeed(name="rest", status="PENDING", devices={S.REMOVED: 5}),),
    ),
    RolloutSeed(
        version="3.5.0", status="ROLLING_BACK", reason="6 devices are on their way back", age_s=200.0,
        why="output_collapsed",
        waves=(WaveSeed(name="rest", status="FAILED", devices={S.ROLLED_BACK: 4, S.SUCCEEDED: 6}),),
    ),
    RolloutSeed(
        version="3.6.0", status="CANCELING", reason="canceled by ana", age_s=20.0,
        waves=(WaveSeed(name="rest", status="IN_PROGRESS", devices={S.IN_PROGRESS: 4, S.QUEUED: 6}),),
    ),
    RolloutSeed(
        version="3.7.0", status="PAUSED", pause="inconclusive", age_s=1800.0,
        reason="wave canary: 0 of 0 executed devices succeeded; no device of it executed the update",
        waves=(WaveSeed(name="canary", status="INCONCLUSIVE", devices={S.NOTIFIED: 4}, away=4),),
    ),
    RolloutSeed(
        version="0.9.0", status="PAUSED", pause="gate_failed", reason=FAILED_GATE, age_s=720.0,
        model=OTHER_MODEL, why="accuracy_below_gate",
        decisions=(
            ("wave_started", "IN_PROGRESS", "wave canary starts: 4 devices"),
            ("gate", "PASSED", "wave canary: 4 of 4 executed devices succeeded; 95 % are needed"),
            ("wave_started", "IN_PROGRESS", "wave second starts: 10 devices"),
            ("abort", "PAUSE", FAILED_GATE),
        ),
        waves=(
            WaveSeed(
                name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4},
                reason="wave canary: 4 of 4 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(
                name="second", status="IN_PROGRESS", away=1,
                devices={S.SUCCEEDED: 5, S.FAILED: 2, S.REJECTED: 1, S.IN_PROGRESS: 1, S.NOTIFIED: 1},
                reason="its devices are offered the release",
            ),
            WaveSeed(name="rest", status="PENDING", devices={S.QUEUED: 26}, away=2),
        ),
    ),
    RolloutSeed(
        version="4.0.0", status="RUNNING", reason="wave second: 6 of 12 devices are not through", age_s=300.0,
        decisions=(
            ("started", "RUNNING", "it starts: 40 devices in 3 waves"),
            ("wave_started", "IN_PROGRESS", "wave canary starts: 4 devices"),
            ("gate", "PASSED", "wave canary: 4 of 4 executed devices succeeded; 95 % are needed"),
            ("wave_started", "IN_PROGRESS", "wave second starts: 12 devices"),
        ),
        waves=(
            WaveSeed(
                name="canary", status="SUCCEEDED", devices={S.SUCCEEDED: 4},
                reason="wave canary: 4 of 4 executed devices succeeded; 95 % are needed",
            ),
            WaveSeed(
                name="second", status="IN_PROGRESS", away=2, reason="its devices are offered the release",
                devices={S.SUCCEEDED: 5, S.ROLLED_BACK: 1, S.IN_PROGRESS: 3, S.NOTIFIED: 3},
            ),
            WaveSeed(name="rest", status="PENDING", devices={S.QUEUED: 24}, away=1),
            WaveSeed(name="tail", status="PENDING", devices={}, tail=True),
        ),
        why="latency_above_limit",
    ),
)  # fmt: skip
"""In the order in which they were started."""
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
    tx.add(device_model(name, now=now, place=place))
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
    tx.add(Group(name=name, created_at=now, created_by="test"))
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
                    returning="sent" if one.status == "ROLLING_BACK" and state.succeeded else "",
                    return_version="2.0.0" if one.status == "ROLLING_BACK" else "",
                )
            )  # fmt: skip


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
    from limosa_server.roles import Role
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
