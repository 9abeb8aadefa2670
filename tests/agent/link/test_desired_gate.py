"""Which desired states are obeyed (trust 4.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limosa_agent.link.desired_gate import Accepted, AcceptedDesired, RefusedDesired, Repeated, judge_desired
from limosa_contracts.desired import PAYLOAD_TYPE, DesiredState
from limosa_contracts.dsse import Envelope
from limosa_contracts.signing_keys import Algorithm, SigningKey

DIRECTOR = SigningKey.generate(Algorithm.ED25519)
NOW = 1_800_000_000.0
STATE = DesiredState(device="dev-1", epoch=1, counter=10, issued=int(NOW), expires=int(NOW) + 1000, models=())


def envelope(state: DesiredState, *, key: SigningKey = DIRECTOR, kind: str = PAYLOAD_TYPE) -> bytes:
    return Envelope.sign(state.encode(), payload_type=kind, key=key).encode()


def judge(data: bytes, *, last: AcceptedDesired | None = None, now: float = NOW) -> object:
    return judge_desired(data, director=DIRECTOR.public, device="dev-1", last=last, now=now)


def accepted(state: DesiredState = STATE) -> AcceptedDesired:
    result = judge(envelope(state))
    assert isinstance(result, Accepted)
    return result.record


def test_first_document_is_accepted() -> None:
    assert accepted().order == (1, 10)


def test_same_document_again_is_ignored_silently() -> None:
    assert judge(envelope(STATE), last=accepted()) == Repeated()


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (replace(STATE, device="dev-2", counter=11), "LM-509"),
        (replace(STATE, counter=9), "LM-510"),
        (replace(STATE, epoch=0, counter=99), "LM-510"),
        (replace(STATE, report_every_s=9.0), "LM-511"),
        (replace(STATE, counter=11, issued=1, expires=int(NOW)), "LM-512"),
    ],
)
def test_document_that_may_not_be_obeyed(state: DesiredState, code: str) -> None:
    result = judge(envelope(state), last=accepted())
    assert isinstance(result, RefusedDesired)
    assert result.error.code == code


def test_higher_epoch_wins_over_a_higher_counter() -> None:
    assert isinstance(judge(envelope(replace(STATE, epoch=2, counter=1)), last=accepted()), Accepted)


def test_new_director_key_starts_the_numbers_anew_and_the_old_one_is_over() -> None:
    captured = accepted(replace(STATE, epoch=2**63 - 1, counter=2**63 - 1))
    assert isinstance(judge(envelope(replace(STATE, counter=11)), last=captured), RefusedDesired)
    fresh = SigningKey.generate(Algorithm.ED25519)
    after = judge_desired(
        envelope(STATE, key=fresh), director=fresh.public, device="dev-1", last=captured, now=NOW
    )
    assert isinstance(after, Accepted)
    assert (after.record.order, after.record.keyid) == ((1, 10), fresh.public.keyid)
    replay = judge_desired(
        captured.envelope, director=fresh.public, device="dev-1", last=after.record, now=NOW
    )
    assert isinstance(replay, RefusedDesired)
    assert replay.error.code == "LM-508"


def test_numbers_kept_by_an_agent_that_knew_no_key_names_still_count() -> None:
    before = replace(accepted(), keyid="")
    assert isinstance(judge(envelope(replace(STATE, counter=9)), last=before), RefusedDesired)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 99,
        envelope(STATE, key=SigningKey.generate(Algorithm.ED25519)),
        envelope(STATE, kind="application/json"),
        Envelope.sign(b"{}", payload_type=PAYLOAD_TYPE, key=DIRECTOR).encode(),
        b" " * 200_000,
    ],
)
def test_what_the_director_did_not_sign_is_refused(data: bytes) -> None:
    result = judge(data)
    assert isinstance(result, RefusedDesired)
    assert result.error.code == "LM-508"
