"""A device keeps the newest head of the audit and tells of a history that was rewritten (trust 6.5)."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from limosa_agent.link.audit_witness import META, AuditWitness
from limosa_agent.link.desired_inbox import DesiredInbox
from limosa_agent.store.state_db import StateDb
from limosa_contracts.audit_trail import AuditHead
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import TrustError
from limosa_contracts.signing_keys import Algorithm, SigningKey

AUDIT = SigningKey.generate(Algorithm.ED25519)
DIRECTOR = SigningKey.generate(Algorithm.ED25519)


def head(seq: int, *, letter: str = "a", epoch: int = 1) -> str:
    return AuditHead(seq=seq, hash=letter * 64, time=1_800_000_000, epoch=epoch).sign(AUDIT)


class Witness:
    def __init__(self, db: StateDb) -> None:
        self.told: list[str] = []
        self.witness = AuditWitness(db, self._hear)

    def _hear(self, key: str, error: TrustError) -> None:
        self.told.append(error.why)

    def sees(self, *heads: str) -> list[str]:
        self.told.clear()
        for one in heads:
            self.witness.see(one)
        return self.told


def test_a_trail_that_grows_is_believed_and_its_newest_head_kept_over_a_restart(tmp_path: Path) -> None:
    newest = head(9, letter="c")
    with closing(StateDb.open(tmp_path)) as db:
        assert Witness(db).sees(head(3), head(5, letter="b"), head(5, letter="b"), newest) == []
    with closing(StateDb.open(tmp_path)) as db:
        assert Witness(db).witness.head == newest


def test_another_entry_in_the_same_place_is_told_and_what_was_seen_is_kept(tmp_path: Path) -> None:
    with closing(StateDb.open(tmp_path)) as db:
        witness = Witness(db)
        kept = head(5)
        assert witness.sees(kept, head(5, letter="b")) == ["entry 5 of the audit is not the one that it was"]
        assert witness.witness.head == kept


def test_a_shorter_trail_is_told_and_does_not_take_the_place_of_the_longer(tmp_path: Path) -> None:
    with closing(StateDb.open(tmp_path)) as db:
        witness = Witness(db)
        kept = head(9)
        assert witness.sees(kept, head(4)) == ["the audit had 9 entries and has 4"]
        assert witness.witness.head == kept


def test_a_server_restored_into_a_new_epoch_is_told_once(tmp_path: Path) -> None:
    with closing(StateDb.open(tmp_path)) as db:
        witness = Witness(db)
        restored = head(4, letter="b", epoch=2)
        assert witness.sees(head(9), restored) == ["the audit had 9 entries and has 4"]
        assert witness.sees(restored, head(5, letter="c", epoch=2)) == []


def test_a_head_comes_with_a_document_and_a_bad_one_stops_no_document(tmp_path: Path) -> None:
    def document(counter: int, audit_head: str) -> bytes:
        state = DesiredState(
            device="dev-1", epoch=1, counter=counter, issued=1_800_000_000, expires=1_800_086_400, models=(),
            audit_head=audit_head,
        )  # fmt: skip
        return Envelope.sign(state.encode(), payload_type=PAYLOAD_TYPE, key=DIRECTOR).encode()

    told: list[str] = []

    async def nowhere() -> None:
        return None

    with closing(StateDb.open(tmp_path)) as db:
        db.set_meta("director_pem", DIRECTOR.public.pem().decode())
        inbox = DesiredInbox(
            db, device="dev-1", refresh=nowhere, alarm=lambda key, error: told.append(error.code),
            clock=lambda: 1_800_000_000.0,
        )  # fmt: skip
        for counter, text in enumerate((head(5), head(5, letter="b"), "rubbish"), start=1):
            assert asyncio.run(inbox.receive(document(counter, text)))
        assert told == ["LM-659", "LM-659"]
        assert db.meta(META) == head(5)
