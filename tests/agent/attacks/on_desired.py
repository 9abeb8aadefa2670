"""Attacks on the desired state: forged, replayed, for others, absurd (trust 4.2, 4.3, 7.3)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredModel, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.signing_keys import Algorithm, SigningKey

NOW: Final = 1_800_000_000.0
DEVICE: Final = "dev-1"
DIRECTOR: Final = SigningKey.generate(Algorithm.ED25519)
STRANGER: Final = SigningKey.generate(Algorithm.ED25519)
TEAM: Final = SigningKey.generate(Algorithm.P256)
MODEL: Final = DesiredModel(model="demo/motion", version="2.0.0", index_sha256="ab" * 32)
OBEYED: Final = DesiredState(
    device=DEVICE,
    epoch=3,
    counter=int(NOW * 1000),
    issued=int(NOW) - 10,
    expires=int(NOW) + 86400,
    models=(MODEL,),
)
"""What the device has accepted last."""

NEXT: Final = replace(OBEYED, counter=OBEYED.counter + 1)
Make = Callable[[], bytes]


def envelope(state: DesiredState, key: SigningKey = DIRECTOR, kind: str = PAYLOAD_TYPE) -> bytes:
    return Envelope.sign(state.encode(), payload_type=kind, key=key).encode()


def payload(change: Callable[[dict[str, JsonValue]], None]) -> Make:
    """Signed by the director, of a form that our own writer would not make."""

    def make() -> bytes:
        document: dict[str, JsonValue] = json.loads(NEXT.encode())
        change(document)
        data = json.dumps(document).encode()
        return Envelope.sign(data, payload_type=PAYLOAD_TYPE, key=DIRECTOR).encode()

    return make


def field_of(name: str, value: JsonValue) -> Make:
    def change(document: dict[str, JsonValue]) -> None:
        document[name] = value

    return payload(change)


def model_of(name: str, value: JsonValue) -> Make:
    def change(document: dict[str, JsonValue]) -> None:
        document["models"] = [{**MODEL.as_json(), name: value}]

    return payload(change)


def bytes_signed(data: bytes) -> Make:
    return lambda: Envelope.sign(data, payload_type=PAYLOAD_TYPE, key=DIRECTOR).encode()


def wrapped(change: Callable[[dict[str, JsonValue]], None]) -> Make:
    """The envelope itself is bent."""

    def make() -> bytes:
        value: dict[str, JsonValue] = json.loads(envelope(NEXT))
        change(value)
        return json.dumps(value).encode()

    return make


def without_signatures(value: dict[str, JsonValue]) -> None:
    value["signatures"] = []


def signature_of_another(value: dict[str, JsonValue]) -> None:
    other: JsonObject = json.loads(envelope(OBEYED))
    value["signatures"] = other["signatures"]


def payload_of_another(value: dict[str, JsonValue]) -> None:
    changed = replace(NEXT, models=(replace(MODEL, index_sha256="ee" * 32),))
    value["payload"] = b64encode(changed.encode()).decode()


def junk_signatures(value: dict[str, JsonValue]) -> None:
    value["signatures"] = [{"keyid": "x" * 100, "sig": "AAAA"}] * 1000


def flipped() -> bytes:
    data = bytearray(envelope(NEXT))
    data[len(data) // 3] ^= 1
    return bytes(data)


def twice_a_name() -> bytes:
    text = NEXT.encode().decode().replace('"device":', '"device":"dev-2","device":', 1)
    return bytes_signed(text.encode())()


MANY: Final[list[JsonValue]] = [{**MODEL.as_json(), "model": f"demo/m{i}"} for i in range(2000)]
FORGED: Final = "LM-508"

ATTACKS: Final[dict[str, tuple[Make, tuple[str, ...]]]] = {
    "signed by a stranger": (lambda: envelope(NEXT, STRANGER), (FORGED,)),
    "signed by the team": (lambda: envelope(NEXT, TEAM), (FORGED,)),
    "signed as something else": (
        lambda: envelope(NEXT, kind="application/vnd.limosa.permit+json"),
        (FORGED,),
    ),
    "without signature": (wrapped(without_signatures), (FORGED,)),
    "with the signature of the one before": (wrapped(signature_of_another), (FORGED,)),
    "with another content": (wrapped(payload_of_another), (FORGED,)),
    "with a thousand signatures": (wrapped(junk_signatures), (FORGED,)),
    "with a flipped bit": (flipped, (FORGED,)),
    "for another device": (lambda: envelope(replace(NEXT, device="dev-2")), ("LM-509",)),
    "for no device": (field_of("device", ""), (FORGED,)),
    "older by one": (lambda: envelope(replace(OBEYED, counter=OBEYED.counter - 1)), ("LM-510",)),
    "of an older epoch, with a higher counter": (
        lambda: envelope(replace(NEXT, epoch=2, counter=2**62)),
        ("LM-510",),
    ),
    "of the same number, with other content": (lambda: envelope(replace(OBEYED, models=())), ("LM-511",)),
    "expired": (lambda: envelope(replace(NEXT, issued=1, expires=int(NOW) - 1)), ("LM-512",)),
    "that ends before it begins": (field_of("expires", 1), (FORGED, "LM-512")),
    "with a negative counter": (field_of("counter", -1), (FORGED,)),
    "with a counter of 70 bits": (field_of("counter", 2**70), (FORGED,)),
    "with a counter that is a fraction": (field_of("counter", 1.5), (FORGED,)),
    "with a counter that is true": (field_of("counter", True), (FORGED,)),
    "with an epoch of nothing": (field_of("epoch", None), (FORGED,)),
    "of a newer schema": (field_of("schema", "limosa.desired/2"), (FORGED,)),
    "with a model twice": (field_of("models", [MODEL.as_json(), MODEL.as_json()]), (FORGED,)),
    "with two thousand models": (field_of("models", MANY), (FORGED,)),
    "with models that are none": (field_of("models", {"a": 1}), (FORGED,)),
    "with an unknown mode": (model_of("mode", "root"), (FORGED,)),
    "with a model named like a path": (model_of("model", "../../etc"), (FORGED,)),
    "with a version named like a path": (model_of("version", "1/../../x"), (FORGED,)),
    "with a digest in capitals": (model_of("index_sha256", "AB" * 32), (FORGED,)),
    "with a trial of no inference": (model_of("trial", {"inferences": 0}), (FORGED,)),
    "with a trial without end": (model_of("trial", {"max_seconds": 1e300}), (FORGED,)),
    "with a permit that is a list": (model_of("permit", []), (FORGED,)),
    "with a rollout of 5,000 letters": (model_of("rollout", "r" * 5000), (FORGED,)),
    "with reports a million times a second": (field_of("telemetry", {"report_every_s": 1e-6}), (FORGED,)),
    "with an audit head of a megabyte": (field_of("audit_head", "a" * 1_000_000), (FORGED,)),
    "a thousand levels deep": (bytes_signed(b"[" * 1000 + b"]" * 1000), (FORGED,)),
    "with a name twice": (twice_a_name, (FORGED,)),
    "that is no number": (bytes_signed(NEXT.encode().replace(b'"epoch":3', b'"epoch":NaN')), (FORGED,)),
    "that is no text": (bytes_signed(b"\xff\xfe" * 20), (FORGED,)),
    "that is nothing": (lambda: b"", (FORGED,)),
    "that is a list": (lambda: encode_canonical([]), (FORGED,)),
    "of a megabyte": (lambda: b" " * 1_000_000 + envelope(NEXT), (FORGED,)),
}
