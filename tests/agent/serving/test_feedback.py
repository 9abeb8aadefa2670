"""Feedback finds its prediction on the device, once, and only sums are told (telemetry 5.2, rollouts 6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import limosa_agent
from limosa_agent.serving.errors import BadFeedback
from limosa_agent.serving.feedback_request import parse_feedback
from limosa_agent.serving.prediction_memory import PredictionMemory
from limosa_contracts.errors import LimosaError
from limosa_contracts.feedback import KPIS_MAX
from limosa_devices.demo import motion
from tests.agent.serving.conftest import RunningPool, StartPool, quick_limits
from tests.agent.serving.http_client import Answer, Client, row
from tests.agent.serving.releases import MOTION, TINY, install, make_current, motion_plan, tiny_plan
from tests.support.waiting import wait_until

WINDOWS = motion.load("evaluation").window


def ask(client: Client, ident: str, *, model: str = MOTION, rows: int = 1) -> dict[str, Any]:
    if model == TINY:
        body = {**row(1, 2, 3), "id": ident}
    else:
        data = WINDOWS[:rows].ravel().tolist()
        tensor = {"name": motion.INPUT_NAME, "datatype": "FP32", "shape": [rows, 6, 100], "data": data}
        body = {"id": ident, "inputs": [tensor]}
    answer = client.infer(model, body)
    assert answer.status == 200
    said: dict[str, Any] = answer.json
    return said


def classes_of(answer: dict[str, Any]) -> list[str]:
    (output,) = answer["outputs"]
    table = np.array(output["data"]).reshape(output["shape"])
    return [motion.CLASSES[i] for i in table.argmax(axis=1)]


def tell(client: Client, *pieces: dict[str, Any], model: str = MOTION) -> Answer:
    body: dict[str, Any] = {"feedback": list(pieces)} if len(pieces) != 1 else pieces[0]
    return client.ask("POST", f"/v2/models/{model}/feedback", json.dumps(body).encode())


def latest(pool: RunningPool) -> dict[str, Any]:
    return dict(pool.observations[-1].snapshot) if pool.observations else {}


def test_labels_and_values_find_their_predictions(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(motion_plan("1.0.0"), slots))
    with Client(pool.port) as client:
        said = classes_of(ask(client, "a", rows=3))
        wrong = next(name for name in motion.CLASSES if name != said[1])
        told = tell(
            client,
            {"id": "a", "label": said[0]},
            {"id": "a", "row": 1, "label": wrong},
            {"id": "a", "name": "clicked", "value": True},
            {"id": "a", "row": 2, "name": "clicked", "value": 0},
            {"id": "a", "name": "seconds-saved", "value": -2.5},
            {"id": "never asked", "label": said[0]},
        )
        assert (told.status, told.json) == (200, {"matched": 5, "unmatched": 1, "repeated": 0})
        assert tell(client, {"id": "a", "label": wrong}).json["repeated"] == 1  # what was said first holds
        wait_until(
            lambda: latest(pool).get("feedback_repeated") == 1, timeout_s=10, what="it is told by itself"
        )
    seen = latest(pool)
    feedback = seen["feedback"]
    assert feedback["kpis"] == {
        "clicked": {"n": 2, "sum": 1.0, "squares": 1.0},
        "seconds-saved": {"n": 1, "sum": -2.5, "squares": 6.25},
    }
    assert (sum(feedback["labelled"]), sum(feedback["correct"])) == (2, 1)
    assert (seen["feedback_matched"], seen["feedback_unmatched"], seen["n"]) == (5, 1, 3)


def test_prediction_is_found_after_a_crash_and_a_restart_of_the_worker(
    start_pool: StartPool, slots: Path
) -> None:
    slot = install(tiny_plan("1.0.0"), slots)
    pool = start_pool(slot)
    with Client(pool.port) as client:
        ask(client, "before", model=TINY)
        piece = {"id": "before", "name": "clicked", "value": 1}
        assert tell(client, piece, model=TINY).json["matched"] == 1
    again = start_pool(slot)  # another worker, as after a reboot
    with Client(again.port) as client:
        later = {"id": "before", "name": "bought", "value": 3}
        assert tell(client, piece, later, model=TINY).json == {"matched": 1, "unmatched": 0, "repeated": 1}


def test_prediction_of_another_version_is_not_laid_to_this_one(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    with Client(pool.port) as client:
        ask(client, "a", model=TINY)
    pool.switch(install(tiny_plan("2.0.0"), slots))
    with Client(pool.port) as client:
        told = tell(client, {"id": "a", "name": "clicked", "value": 1}, model=TINY)
        assert told.json == {"matched": 0, "unmatched": 1, "repeated": 0}


def test_memory_is_bounded_and_the_oldest_prediction_is_forgotten(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots), limits=quick_limits(feedback_predictions=8))
    with Client(pool.port) as client:
        for number in range(20):
            ask(client, f"id-{number}", model=TINY)
        pieces = [{"id": f"id-{number}", "name": "clicked", "value": 1} for number in range(20)]
        assert tell(client, *pieces, model=TINY).json == {"matched": 8, "unmatched": 12, "repeated": 0}


@pytest.mark.parametrize(
    ("piece", "where"),
    [
        ({"label": "walking"}, "id"),
        ({"id": "", "label": "walking"}, "id"),
        ({"id": "a"}, "feedback"),
        ({"id": "a", "label": "walking", "value": 1}, "feedback"),
        ({"id": "a", "value": 1}, "name"),
        ({"id": "a", "name": "accuracy", "value": 1}, "name"),
        ({"id": "a", "name": "clicked", "value": "1"}, "value"),
        ({"id": "a", "name": "clicked", "value": 1e300}, "value"),
        ({"id": "a", "label": "no such class"}, "label"),
        ({"id": "a", "label": 99}, "label"),
        ({"id": "a", "label": 1.5}, "label"),
        ({"id": "a", "row": -1, "label": 1}, "row"),
        ({"id": "a", "label": 1, "lable": 1}, "lable"),
    ],
)
def test_feedback_that_cannot_be_counted_is_refused_with_its_place(
    motion_pool: RunningPool, piece: dict[str, Any], where: str
) -> None:
    with Client(motion_pool.port) as client:
        answer = tell(client, piece)
    assert (answer.status, answer.json["code"], answer.json["where"]) == (400, "LM-638", where)


@pytest.fixture(scope="module")
def motion_pool(tmp_path_factory: pytest.TempPathFactory) -> Any:  # a generator, as pytest takes it
    pool = RunningPool(quick_limits())
    pool.start(install(motion_plan("1.0.0"), tmp_path_factory.mktemp("slots")))
    yield pool
    pool.end()


def test_unknown_model_and_wrong_method_are_refused(motion_pool: RunningPool) -> None:
    with Client(motion_pool.port) as client:
        assert tell(client, {"id": "a", "label": 1}, model="demo/other").status == 404
        assert client.ask("GET", f"/v2/models/{MOTION}/feedback").status == 405
        assert client.ask("POST", f"/v2/models/{MOTION}/feedback", b'{"feedback": []}').status == 400


def test_one_kpi_too_many_is_refused_and_the_others_go_on(start_pool: StartPool, slots: Path) -> None:
    pool = start_pool(install(tiny_plan("1.0.0"), slots))
    with Client(pool.port) as client:
        ask(client, "a", model=TINY)
        pieces = [{"id": "a", "name": f"kpi-{i}", "value": 1} for i in range(KPIS_MAX)]
        assert tell(client, *pieces, model=TINY).json["matched"] == KPIS_MAX
        refused = tell(client, {"id": "a", "name": "one-more", "value": 1}, model=TINY)
        assert (refused.status, refused.json["code"]) == (400, "LM-638")
        ask(client, "b", model=TINY)
        assert tell(client, {"id": "b", "name": "kpi-0", "value": 2}, model=TINY).json["matched"] == 1


def test_application_that_predicts_in_its_own_process_gives_feedback_there(slots: Path) -> None:
    make_current(install(motion_plan("1.0.0"), slots))
    model = limosa_agent.Model(MOTION, state_dir=slots)
    outputs = model.run({motion.INPUT_NAME: WINDOWS[:1]}, id="a")
    best = int(outputs[motion.OUTPUT_NAME].argmax())
    assert model.feedback("a", label=best)
    assert not model.feedback("a", label=best)
    assert model.feedback("a", name="clicked", value=1)
    assert not model.feedback("b", name="clicked", value=1)
    with pytest.raises(BadFeedback):
        model.feedback("a")
    seen: Any = model.observation()
    assert (seen["feedback_matched"], seen["feedback_unmatched"], seen["feedback_repeated"]) == (2, 1, 1)
    assert sum(seen["feedback"]["correct"]) == 1


def test_file_of_predictions_that_is_damaged_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "graphs" / "predictions"
    memory = PredictionMemory.open(path, 4)
    memory.remember("a", 0, 3, 9)
    assert PredictionMemory.open(path, 4).find("a", 0) is not None
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert PredictionMemory.open(path, 4).find("a", 0) is None
    assert PredictionMemory.open(path, 16).find("a", 0) is None
    assert PredictionMemory.open(path, 16).size == 16


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 200)), max_size=40),
    st.integers(1, 7),
)
def test_memory_holds_exactly_the_last_predictions(asked: list[tuple[int, int, int]], size: int) -> None:
    memory = PredictionMemory.in_memory(size)
    for ident, place, top in asked:
        memory.remember(str(ident), place, top, top % 10)
    last = {(str(ident), place): top for ident, place, top in asked[-size:]}
    for ident in range(13):
        for place in range(3):
            found = memory.find(str(ident), place)
            wanted = last.get((str(ident), place))
            assert (found.top if found else None) == wanted


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_body_is_feedback_or_refused(body: bytes) -> None:
    try:
        parse_feedback(body)
    except LimosaError as error:
        assert error.code == "LM-638"
