"""Downgrade permits: one step, one model, signed by the team (trust 2.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.dsse import Envelope
from limosa_contracts.errors import InvalidField, InvalidJson, SignatureMismatch
from limosa_contracts.permit import PAYLOAD_TYPE, DowngradePermit
from limosa_contracts.signing_keys import Algorithm, SigningKey
from tests.support.golden import golden_bytes

PERMIT = DowngradePermit(model="demo/motion", from_version="2.0.0", to_version="1.0.0")
KEY = SigningKey.generate(Algorithm.P256)


def test_a_permit_survives_its_envelope_with_fields_of_the_future() -> None:
    permit = replace(PERMIT, extra={"until": 5})
    envelope = Envelope.parse(permit.sign(KEY).encode(), max_bytes=4096)
    assert DowngradePermit.verify(envelope, KEY.public) == permit


def test_a_permit_of_the_first_version_is_read_and_written_as_it_was() -> None:
    assert DowngradePermit.parse(golden_bytes("permit-1")) == PERMIT
    assert PERMIT.encode() == golden_bytes("permit-1")


def test_a_permit_of_another_key_or_another_kind_of_document_is_refused() -> None:
    with pytest.raises(SignatureMismatch):
        DowngradePermit.verify(PERMIT.sign(SigningKey.generate(Algorithm.P256)), KEY.public)
    other = Envelope.sign(PERMIT.encode(), payload_type="application/vnd.limosa.desired+json", key=KEY)
    with pytest.raises(SignatureMismatch):
        DowngradePermit.verify(other, KEY.public)


@given(st.binary(max_size=64))
def test_a_team_that_signs_nonsense_permits_nothing(payload: bytes) -> None:
    envelope = Envelope.sign(payload, payload_type=PAYLOAD_TYPE, key=KEY)
    with pytest.raises((InvalidField, InvalidJson)):
        DowngradePermit.verify(envelope, KEY.public)
