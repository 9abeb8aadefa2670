"""Devices of a fleet as rows with real certificates, and the windows that they sign, for benchmarks."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from limosa_contracts.report_message import ReportMessage
from limosa_contracts.signing_keys import Algorithm, SigningKey
from limosa_contracts.topics import Suffix
from limosa_contracts.window import Sketch, Window
from limosa_server.store import Store
from limosa_server.tables.devices import Device, DeviceCertificate
from limosa_server.tables.releases import Release, Variant
from limosa_server.trust.trust_folder import TrustFolder

MODEL: Final = "demo/motion"
BASELINE: Final = "1" * 16
MANIFEST: Final = "2" * 64
SESSION: Final = 7
REVISIONS: Final = 4  # a window is sent again with higher numbers until it closes
FEATURES: Final = 8  # of a picture: brightness, contrast, sharpness … (telemetry 1.3)
BINS: Final = 32
CLASSES: Final = 10
INFERENCES: Final = 300
CERTIFICATE_S: Final = 30 * 86400.0


@dataclass(slots=True)
class Signer:
    """One device with its key and its outbox's numbering."""

    id: str
    key: SigningKey
    template: bytes
    seq: int = 0

    def next(self) -> ReportMessage:
        """Window `i // 4` at revision `i % 4 + 1`: the last revision of each is what counts."""
        window, revision = divmod(self.seq, REVISIONS)
        n = INFERENCES * (revision + 1)
        payload = self.template % (window, n, revision + 1)
        before, self.seq = self.seq, self.seq + 1
        return ReportMessage.sign(
            self.key, device=self.id, suffix=Suffix.WINDOW, session=SESSION, seq=self.seq, prev=before,
            payload=payload,
        )  # fmt: skip

    def inferences(self, acked: int) -> int:
        """What the server must have counted once it has acknowledged so many messages."""
        whole, rest = divmod(acked, REVISIONS)
        return INFERENCES * (whole * REVISIONS + rest)


def enrol(place: Path | str, trust: Path, *, devices: int) -> list[Signer]:
    """Writes the devices, and the release that they run, as enrolment and publishing would."""
    now = time.time()
    authority = TrustFolder(trust).authority()
    names = [f"dev-{i:06}" for i in range(devices)]
    signers = [Signer(name, SigningKey.generate(Algorithm.P256), _template(name)) for name in names]
    store = Store.open(place)
    with store.transaction() as tx:
        release = Release(
            model=MODEL, version="1.0.0", index_sha256=MANIFEST, release_counter=1, published_at=now,
            published_by="bench", size_bytes=1,
        )  # fmt: skip
        tx.add(release)
        tx.flush()
        assert release.id is not None
        tx.add(
            Variant(
                release_id=release.id, position=0, name="int8", manifest_sha256=MANIFEST, size_bytes=1,
                baseline_id=BASELINE,
            )
        )  # fmt: skip
        tx.add_all(Device(id=name, enrolled_at=now, last_seen=now) for name in names)
        tx.flush()
        for signer in signers:
            issued = authority.issue(signer.key.public, device=signer.id, now=now, lifetime_s=CERTIFICATE_S)
            tx.add(
                DeviceCertificate(
                    fingerprint=issued.fingerprint, device=signer.id, serial_number=issued.serial_number,
                    pem=issued.leaf_pem, not_after=now + CERTIFICATE_S, issued_at=now,
                )
            )  # fmt: skip
    store.close()
    return signers


def lossy(messages: Sequence[ReportMessage], draw: random.Random) -> Iterator[ReportMessage]:
    """In the order of a bad link: one in ten twice, one pair in twenty swapped."""
    order = list(messages)
    for i in range(len(order) - 1):
        if draw.random() < 0.05:
            order[i], order[i + 1] = order[i + 1], order[i]
    for message in order:
        yield message
        if draw.random() < 0.1:
            yield message


def _template(device: str) -> bytes:
    """A window as JSON with three numbers left out: index, n and rev."""
    draw = random.Random(device)
    rows: list[tuple[int, ...]] = []
    for _ in range(FEATURES):
        counts = [0] * BINS
        for _ in range(INFERENCES):
            counts[min(BINS - 1, max(0, int(draw.gauss(BINS / 2, 6))))] += 1
        rows.append(tuple(counts))
    some = tuple(draw.randrange(INFERENCES) for _ in range(32))
    moments = tuple(draw.random() for _ in range(FEATURES))
    sketch = Sketch(
        bins=tuple(rows), missing=(0,) * FEATURES, classes=some[:CLASSES], confidence=some[:10], latency=some,
        sums=moments, squares=moments,
    )  # fmt: skip
    counters = {"inferences": INFERENCES, "errors": 0, "refused": 0, "memory_bytes": 120_000_000}
    window = Window(
        device=device, model=MODEL, version="1.0.0", model_digest=MANIFEST[:16], baseline=BASELINE, boot="b1",
        index=987_654_321, rev=987_654_323, clock="ntp", started_mono_s=0.0, started_at=1.7e9, length_s=300.0,
        n=987_654_322, counters=counters, sketch=sketch,
    )  # fmt: skip
    text = window.encode()
    for number in (b"987654321", b"987654322", b"987654323"):
        assert text.count(number) == 1
        text = text.replace(number, b"%d")
    return text
