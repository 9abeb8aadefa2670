"""The audit trail as others can check it: chained entries, and signed heads of the chain (trust 6.5).

An entry's hash covers every other field and the hash before it. A head says how long the chain was at
some time and what its last hash was; whoever keeps one can prove later that history was rewritten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from limosa_contracts.canonical import encode_canonical, parse_object
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import LimosaError, SignatureMismatch
from limosa_contracts.fields import Fields
from limosa_contracts.json_value import JsonObject, JsonValue
from limosa_contracts.names import SHA256_HEX
from limosa_contracts.signing_keys import PublicKey, Signs

HEAD_SCHEMA: Final = "limosa.audit-head/1"
HEAD_TYPE: Final = "application/vnd.limosa.audit-head+json"
HEAD_MAX_BYTES: Final = 4096  # as `audit_head` of a desired document
TEXT_MAX_CHARS: Final = 4096
GENESIS: Final = "0" * 64
"""What the first entry follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`before` and `after` are any JSON. `time` is Unix seconds."""

    seq: int
    time: float
    actor: str
    action: str
    object: str
    before: JsonValue = None
    after: JsonValue = None
    prev_hash: str
    hash: str

    @classmethod
    def parse(cls, value: JsonValue, *, where: str = "audit") -> Self:
        """Raises InvalidField. Says nothing about the chain."""
        fields = Fields(value, where=where)
        return cls(
            seq=fields.integer("seq", low=1),
            time=fields.number("time"),
            actor=fields.text("actor", max_chars=TEXT_MAX_CHARS, empty=True),
            action=fields.text("action", max_chars=TEXT_MAX_CHARS, empty=True),
            object=fields.text("object", max_chars=TEXT_MAX_CHARS, empty=True),
            before=fields.raw("before"),
            after=fields.raw("after"),
            prev_hash=fields.text("prev_hash", pattern=SHA256_HEX),
            hash=fields.text("hash", pattern=SHA256_HEX),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "seq": self.seq,
            "time": self.time,
            "actor": self.actor,
            "action": self.action,
            "object": self.object,
            "before": self.before,
            "after": self.after,
            "prev_hash": self.prev_hash,
            "hash": self.hash,
        }

    def follows(self, *, seq: int, prev_hash: str) -> bool:
        """Whether it is the entry after number `seq`, whose hash is `prev_hash`, unchanged."""
        return self.seq == seq + 1 and self.prev_hash == prev_hash and self.hash == self.computed()

    def computed(self) -> str:
        return chain_hash(
            seq=self.seq,
            time=self.time,
            actor=self.actor,
            action=self.action,
            object=self.object,
            before=encode_canonical(self.before).decode(),
            after=encode_canonical(self.after).decode(),
            prev_hash=self.prev_hash,
        )


def chain_hash(
    *,
    seq: int,
    time: float,
    actor: str,
    action: str,
    object: str,  # noqa: A002  # the field's name in the design
    before: str,
    after: str,
    prev_hash: str,
) -> str:
    """sha256, 64 hex digits, over all other fields in canonical JSON; `before` and `after` are
    themselves canonical JSON texts."""
    fields: dict[str, JsonValue] = {
        "seq": seq,
        "time": time,
        "actor": actor,
        "action": action,
        "object": object,
        "before": before,
        "after": after,
        "prev_hash": prev_hash,
    }
    return hashlib.sha256(encode_canonical(fields)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """The chain was `seq` entries long and ended with `hash`, says the server at `time` (Unix seconds).

    `epoch` is the director's (trust 4.3): a database that was restored begins a new one, and may be
    shorter than before.
    """

    seq: int
    hash: str
    time: int
    epoch: int
    extra: JsonObject = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int]:
        return (self.epoch, self.seq)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InvalidJson, InvalidField, TooLarge. Says nothing about signatures."""
        fields = Fields(parse_object(data, what="audit head", max_bytes=HEAD_MAX_BYTES), where="audit head")
        fields.schema(HEAD_SCHEMA)
        return cls(
            seq=fields.integer("seq", low=1),
            hash=fields.text("hash", pattern=SHA256_HEX),
            time=fields.integer("time", low=0),
            epoch=fields.integer("epoch", low=0),
            extra=fields.rest(),
        )

    def encode(self) -> bytes:
        return encode_canonical(
            {
                **self.extra,
                "schema": HEAD_SCHEMA,
                "seq": self.seq,
                "hash": self.hash,
                "time": self.time,
                "epoch": self.epoch,
            }
        )

    def sign(self, key: Signs) -> str:
        """The text of its envelope, as desired documents carry it."""
        return Envelope.sign(self.encode(), payload_type=HEAD_TYPE, key=key).encode().decode()

    @classmethod
    def read(cls, text: str) -> Self:
        """The head in an envelope's text, unverified. Raises InvalidJson, InvalidField, TooLarge."""
        return cls.parse(Envelope.parse(text.encode(), max_bytes=HEAD_MAX_BYTES).payload)

    @classmethod
    def verify(cls, text: str, keys: Iterable[PublicKey]) -> Self:
        """Signed by one of `keys`: an audit key is replaced now and then. Raises SignatureMismatch, and
        what `read` raises."""
        envelope = Envelope.parse(text.encode(), max_bytes=HEAD_MAX_BYTES)
        refused: LimosaError | None = None
        for key in keys:
            try:
                return cls.parse(envelope.verify(key, payload_type=HEAD_TYPE))
            except SignatureMismatch as error:
                refused = error
        raise refused or SignatureMismatch("there is no key to check an audit head with")


def first_break(entries: Iterable[AuditEntry], *, after: int = 0, prev_hash: str = GENESIS) -> int | None:
    """The seq of the first entry that does not follow from those before it, or None."""
    seq = after
    for entry in entries:
        if not entry.follows(seq=seq, prev_hash=prev_hash):
            return entry.seq
        seq, prev_hash = entry.seq, entry.hash
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFinding:
    """What a kept head says about a trail: `problem` is "" where it agrees."""

    where: str
    seq: int
    problem: str


def compare_heads(
    hashes: Mapping[int, str], heads: Sequence[tuple[str, str]], keys: Sequence[PublicKey]
) -> list[HeadFinding]:
    """`hashes`: seq -> hash of a trail that `first_break` found whole; `heads`: (where it was kept, its
    text). With no `keys` the signatures are not checked: what devices keep came signed by the director."""
    last = max(hashes, default=0)
    found: list[HeadFinding] = []
    for where, text in heads:
        try:
            head = AuditHead.verify(text, keys) if keys else AuditHead.read(text)
        except LimosaError as error:
            found.append(HeadFinding(where=where, seq=0, problem=f"it cannot be believed: {error}"))
            continue
        problem = ""
        if head.seq > last:
            problem = f"the trail ends at {last}, and had {head.seq} entries: some were taken away"
        elif hashes.get(head.seq) != head.hash:
            problem = f"entry {head.seq} is not the one that was there: history was rewritten"
        found.append(HeadFinding(where=where, seq=head.seq, problem=problem))
    return found
