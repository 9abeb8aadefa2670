"""Rows and labels of the benchmarks: the same everywhere, and what the models' own packages would make."""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.datasets import auc, file_types, fonts, pages, speech, text_lines
from benchmarks.datasets.case import LABEL, Case
from benchmarks.quality.case_folder import read_case, write_case
from benchmarks.real_data import case_of
from benchmarks.real_models import Unobtainable, model_path
from tests.support.programs import unavailable

GOLDEN = Path(__file__).parent / "golden" / "magika-features.json"
CONTENTS = {
    "short": b"  #!/bin/sh\necho hello\n\n",
    "spaces_between": b"\n\t" + b"a b\n" * 300 + b"   ",
    "long_text": b"   \n" + b"".join(b"line %d of a file\n" % i for i in range(900)) + b"\n\n",
    "binary": bytes((i * i + 7 * i) % 256 for i in range(9000)),
    "exactly_a_block": b"x" * 4096,
    "blank_begin_of_a_block": b" " * 4096 + b"text" * 500 + b" " * 10,
    "a_side": b"z" * 1024,
}


@pytest.mark.parametrize("name", CONTENTS)
def test_features_are_those_that_magika_itself_extracts(name: str) -> None:
    """The golden hashes were made by `Magika._extract_features_from_seekable` of magika 1.0.3."""
    wanted = json.loads(GOLDEN.read_text())[name]
    row = file_types.features_of(CONTENTS[name])
    assert row.dtype == np.int32
    assert hashlib.sha256(row.tobytes()).hexdigest() == wanted


@pytest.mark.parametrize(
    "member, content, label",
    [
        ("a/b.py", b"import os", "python"),
        ("a/locale/x.po", b'msgid "{{ name }}"', "po"),
        ("a/page.html", b"<html>", "html"),
        ("a/page.html", b"{% extends 'base' %}", None),
        ("a/page.html.j2", b"{% extends 'base' %}", "jinja"),
        ("a-1.dist-info/licenses/x.md", b"text", None),
        ("a/README", b"text", None),
    ],
)
def test_a_file_is_labelled_where_its_name_settles_it(member: str, content: bytes, label: str | None) -> None:
    assert file_types.type_of(member, content) == label


@given(
    scores=arrays.arrays(np.float64, 12, elements=st.sampled_from([0.01, 0.2, 0.5, 0.8, 0.99])),
    labels=arrays.arrays(np.int64, 12, elements=st.sampled_from([0, 1])),
)
def test_auc_is_the_share_of_pairs_in_order(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], labels: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    columns = auc.auc(np.stack([1 - scores, scores], axis=1), labels)
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high, low in product(scores[labels == 1], scores[labels == 0])
    ]
    wanted = float(np.mean(pairs)) if pairs else 0.5
    assert float(auc.value(columns.sum(axis=0), len(columns))) == pytest.approx(wanted)


def test_steps_without_a_label_count_nowhere() -> None:
    answers = np.array([[[0.9], [0.1], [0.7]]])
    assert auc.auc(answers, np.array([[1, -1, 0]])).sum() == 2


def test_a_sequence_repeats_the_end_of_the_step_before() -> None:
    sound = np.arange(speech.STEPS * speech.FRAME, dtype=np.float32)
    steps = speech.steps_of(sound)
    assert steps.shape == (speech.STEPS, speech.CONTEXT + speech.FRAME)
    assert not steps[0, : speech.CONTEXT].any()
    assert (steps[1:, : speech.CONTEXT] == steps[:-1, -speech.CONTEXT :]).all()
    assert (steps[:, speech.CONTEXT :].reshape(-1) == sound).all()


@given(seed=st.integers(0, 10_000), characters=st.integers(1, 40))
def test_a_phrase_fits_unless_its_first_part_does_not(seed: int, characters: int) -> None:
    text = fonts.phrase(np.random.default_rng(seed), characters=characters)
    assert text
    assert len(text) <= characters or " " not in text


def test_a_case_is_the_same_after_it_was_on_disk(tmp_path: Path) -> None:
    case = Case(
        calibration={"input:0": np.zeros((2, 3), np.float32)},
        evaluation={"input:0": np.ones((4, 3), np.float32), LABEL: np.arange(4)},
        truth="made up",
        inputs={"sr": {"value": 16_000}},
    )
    write_case(case, tmp_path)
    again = read_case(tmp_path)
    assert (again.truth, again.metric, again.inputs) == (case.truth, case.metric, case.inputs)
    assert again.take(1, 2).evaluation[LABEL].tolist() == [0, 1]
    assert again.calibration["input:0"].dtype == np.float32


def test_lines_and_turns_are_what_the_published_models_expect() -> None:
    """A mistake in preprocessing would show as a model that guesses."""
    try:
        model = model_path("ocr_cls")
        case = text_lines.ocr_cls().take(1, 60)
    except Unobtainable as missing:
        unavailable(str(missing))
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    answers = session.run(None, {text_lines.INPUT: case.evaluation[text_lines.INPUT]})[0]
    assert (answers.argmax(axis=1) == case.evaluation[LABEL]).mean() >= 0.95


def test_rows_are_the_same_on_every_run() -> None:
    first, second = (pages.page(np.random.default_rng(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert case_of("motion").evaluation["window"].shape == (527, 6, 100)
