"""Requests that no client should send, against a real worker: refused, counted, never served (agent 5.1)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from limosa_agent.serving.known_requests import KnownRequests
from limosa_contracts.errors import RequestError
from tests.agent.serving.conftest import RunningPool
from tests.agent.serving.http_client import Client, binary, row
from tests.agent.serving.releases import TINY

INFER = f"/v2/models/{TINY}/infer"


def tensor(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
    return {"inputs": [{key: value for key, value in (base | changes).items() if value is not None}]}


REFUSED = {
    "no JSON": (b"{", "LM-550"),
    "not an object": (b"[]", "LM-550"),
    "no inputs": (b"{}", "LM-550"),
    "empty inputs": ({"inputs": []}, "LM-550"),
    "key twice": (b'{"inputs":[],"inputs":[]}', "LM-550"),
    "not UTF-8": (b'{"id":"\xff"}', "LM-550"),
    "NaN": (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[NaN,1,2]}]}', "LM-550"),
    "deep": (b'{"inputs":' + b"[" * 100_000, "LM-550"),
    "deep and closed": (b'{"inputs":' + b"[" * 5000 + b"]" * 5000 + b"}", "LM-550"),
    "huge integer": (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,' + b"9" * 9000 + b"]}]}",
        "LM-550",
    ),
    "negative dimension": (tensor(shape=[-1, 3]), "LM-550"),
    "dimension is true": (tensor(shape=[True, 3]), "LM-550"),
    "dimensions overflow": (tensor(shape=[2**40] * 16), "LM-554"),
    "nothing of immense size": (tensor(shape=[0, 2**40, 2**40], data=[]), "LM-554"),
    "seventeen dimensions": (tensor(shape=[1] * 17), "LM-550"),
    "unknown datatype": (tensor(datatype="FP128"), "LM-550"),
    "no data": (tensor(data=None), "LM-550"),
    "data and binary size": (tensor(parameters={"binary_data_size": 12}), "LM-550"),
    "shared memory": (tensor(parameters={"shared_memory_region": "r"}), "LM-550"),
    "binary size without bytes": (tensor(data=None, parameters={"binary_data_size": 12}), "LM-550"),
    "negative binary size": (tensor(data=None, parameters={"binary_data_size": -1}), "LM-550"),
    "part of a sequence": ({**tensor(), "parameters": {"sequence_id": 7}}, "LM-550"),
    "unknown output": ({**tensor(), "outputs": [{"name": "z"}]}, "LM-550"),
    "output twice": ({**tensor(), "outputs": [{"name": "y"}, {"name": "y"}]}, "LM-550"),
    "long id": ({**tensor(), "id": "i" * 1000}, "LM-550"),
    "unknown input": (tensor(name="z"), "LM-552"),
    "input twice": ({"inputs": [*tensor()["inputs"], *tensor()["inputs"]]}, "LM-550"),  # type: ignore[misc]  # a list
    "other datatype": (tensor(datatype="FP64"), "LM-553"),
    "text as number": (tensor(data=["1", "2", "3"]), "LM-553"),
    "null as number": (tensor(data=[1, None, 3]), "LM-553"),
    "too few": (tensor(data=[1, 2]), "LM-554"),
    "ragged": (tensor(data=[[1, 2, 3], [4]]), "LM-554"),
    "nested otherwise": (tensor(data=[[1], [2], [3]]), "LM-554"),
    "other width": (tensor(shape=[1, 2], data=[1, 2]), "LM-554"),
    "no rows": (tensor(shape=[0, 3], data=[]), "LM-554"),
    "too many rows": (tensor(shape=[1025, 3], data=[0] * 3075), "LM-554"),
    "above the range": (tensor(data=[1, 2, 1e9]), "LM-555"),
    "more than float32": (tensor(data=[1, 2, 1e300]), "LM-555"),
    "infinite": (tensor(data=[1, 2, 10**400]), "LM-555"),
}


def counted(pool: RunningPool) -> tuple[Counter[str], Counter[str]]:
    """(requests and inferences, refusals by their code) so far."""
    snapshot = pool.call(pool.pool.observe())[TINY]
    assert isinstance(snapshot, dict)
    return Counter({name: snapshot[name] for name in ("requests", "n")}), Counter(snapshot["refused"])


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_request_is_refused_and_counted(steady: RunningPool, name: str) -> None:
    value, code = REFUSED[name]
    before = counted(steady)
    with Client(steady.port) as client:
        answer = client.infer(TINY, value)
        assert answer.status == 400, answer.body
        assert answer.json["code"] == code
        assert answer.json["error"]
        assert client.infer(TINY, row(1, 2, 3)).status == 200  # on the same connection
    after = counted(steady)
    assert after[0] - before[0] == {"requests": 2, "n": 1}
    assert after[1] - before[1] == {code: 1}


@pytest.mark.parametrize("header", ["-1", "1e3", "999999", "0x10", "9" * 40, ""])
def test_wrong_inference_header_is_refused(steady: RunningPool, header: str) -> None:
    with Client(steady.port) as client:
        answer = client.infer(TINY, row(1, 2, 3), {"Inference-Header-Content-Length": header})
        assert (answer.status, answer.json["code"]) == (400, "LM-550")
        assert client.infer(TINY, row(1, 2, 3)).status == 200


def test_binary_tensors_are_checked_like_any_other(steady: RunningPool) -> None:
    good = np.array([1, 2, 3], np.float32).tobytes()
    described = tensor(data=None, parameters={"binary_data_size": 12})
    with Client(steady.port) as client:
        answer = client.infer(TINY, *binary({**described, "outputs": [{"name": "y"}]}, good))
        assert answer.json["outputs"][0]["data"] == [2.0, 4.0, 6.0]
        nan = np.array([1, 2, np.nan], np.float32).tobytes()
        for tail, code in ((nan, "LM-555"), (good[:8], "LM-550"), (good + b"!", "LM-550")):
            answer = client.infer(TINY, *binary(described, tail))
            assert (answer.status, answer.json["code"]) == (400, code)
        short = tensor(data=None, parameters={"binary_data_size": 8})
        assert client.infer(TINY, *binary(short, good[:8])).json["code"] == "LM-554"


WRONG_HTTP = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "negative length": (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
    "huge length": (b"POST " + INFER.encode() + b" HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
    "compressed": (b"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\nabcd", 415),
    "huge header": (b"GET /v2 HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    "endless header": (b"GET /v2 HTTP/1.1\r\n" + b"X-Y: zzzz\r\n" * 40_000, 431),
    "endless path": (b"GET /" + b"p" * 400_000, 431),
}


@pytest.mark.parametrize("name", WRONG_HTTP)
def test_wrong_http_is_answered_and_closed(steady: RunningPool, name: str) -> None:
    data, status = WRONG_HTTP[name]
    with Client(steady.port) as client:
        client.send(data)
        answer = client.receive()
        assert (answer.status, answer.closes) == (status, True)
        assert answer.json["code"].startswith("LM-5")
        assert client.at_end()
    with Client(steady.port) as client:
        assert client.infer(TINY, row(1, 2, 3)).status == 200


def test_numbers_nested_without_end_in_a_known_request_are_the_clients_mistake() -> None:
    known = KnownRequests()
    text = '{"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":%s}]}'
    known.parse((text % "[1]").encode())
    with pytest.raises(RequestError):
        known.parse((text % ("[" * 100_000 + "]" * 100_000)).encode())
