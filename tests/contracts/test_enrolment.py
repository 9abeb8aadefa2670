from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa_contracts.canonical import encode_canonical
from limosa_contracts.enrolment import API_TOKEN, ENROLL_TOKEN, Enrolled, EnrollRequest
from limosa_contracts.errors import InvalidField
from tests.support import documents as some
from tests.support.golden import GONE, LATER, changed, changed_bytes, golden, golden_bytes

tokens = st.from_regex(ENROLL_TOKEN, fullmatch=True)
requests = st.builds(
    EnrollRequest,
    token=tokens,
    csr_pem=some.texts,
    serial=some.short_texts,
    labels=st.dictionaries(some.names, some.short_texts, max_size=3),
    capabilities=some.json_objects,
)
answers = st.builds(
    Enrolled,
    device=some.names,
    certificate_pem=some.texts,
    ca_pem=some.texts,
    tuf_root=some.texts,
    mqtt_host=some.texts,
    mqtt_port=st.integers(1, 65535),
    mqtt_tls=st.booleans(),
    extra=some.extras,
)


def test_golden_request_is_read_and_written_as_it_was() -> None:
    request = EnrollRequest.parse(golden("enroll-1"))
    assert (request.serial, request.labels) == ("SN-1", {"site": "oslo"})
    assert request.encode() == golden_bytes("enroll-1")


def test_golden_answer_is_read_and_written_as_it_was() -> None:
    answer = Enrolled.parse(golden_bytes("enrolled-1"))
    assert (answer.device, answer.mqtt_port, answer.mqtt_tls) == ("dev-0017", 8883, True)
    assert answer.extra == {"server": "https://fleet.example.com"}
    assert answer.as_json() == golden("enrolled-1")


def test_field_of_a_later_version_survives_in_the_answer_and_is_ignored_in_the_request() -> None:
    data = changed_bytes("enrolled-1", "x-later", LATER["x-later"])
    assert encode_canonical(Enrolled.parse(data).as_json()) == data
    request = EnrollRequest.parse(changed("enroll-1", "x-later", LATER["x-later"]))
    assert request == EnrollRequest.parse(golden("enroll-1"))


@given(requests)
def test_any_request_comes_back_as_it_went(request: EnrollRequest) -> None:
    assert EnrollRequest.parse(json.loads(request.encode())) == request


@given(answers)
def test_any_answer_comes_back_as_it_went(answer: Enrolled) -> None:
    assert Enrolled.parse(encode_canonical(answer.as_json())) == answer


@pytest.mark.parametrize(
    "token", ["", "lmt_short", "lmp_abcdefghijkl." + "A" * 43, "lmt_ABCDEFGHIJKL." + "A" * 43]
)
def test_wrong_token_is_refused_and_never_repeated(token: str) -> None:
    with pytest.raises(InvalidField) as caught:
        EnrollRequest.parse(changed("enroll-1", "token", token))
    assert not token or token not in str(caught.value.as_json())


@pytest.mark.parametrize("place, value", [
    ("csr", GONE), ("csr", "x" * 8193), ("labels", {f"l{i}": "" for i in range(33)}), ("labels", {"a": 1}),
    ("capabilities", "all"), ("serial", 7), ("schema", "limosa.enroll/2"),
])  # fmt: skip
def test_field_of_a_request_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField, match=place):
        EnrollRequest.parse(changed("enroll-1", place, value))


@pytest.mark.parametrize("place, value", [
    ("device", "Dev 1"), ("mqtt", GONE), ("mqtt.port", 0), ("mqtt.port", 65536), ("mqtt.tls", "no"),
    ("tuf_root", ""), ("certificate", 1),
])  # fmt: skip
def test_field_of_an_answer_that_is_wrong_is_named(place: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        Enrolled.parse(changed_bytes("enrolled-1", place, value))
    assert place.rpartition(".")[2] in caught.value.where


def test_tokens_of_devices_and_of_people_are_never_taken_for_each_other() -> None:
    for kind, pattern in (("lmt", ENROLL_TOKEN), ("lmp", API_TOKEN)):
        text = f"{kind}_abcdefghijk0.{'-_aZ09' + 'A' * 37}"
        assert pattern.fullmatch(text)
        assert not (API_TOKEN if pattern is ENROLL_TOKEN else ENROLL_TOKEN).fullmatch(text)
