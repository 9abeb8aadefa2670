"""Models that nobody here made: each is ingested in its child and answers as it did before (compiler 9)."""

from __future__ import annotations

import numpy as np
import pytest

from limosa_compiler.artifact.signature import inputs_of
from limosa_compiler.ingest import IR_MAX, OPSET_MAX, OPSET_MIN, opset_of
from limosa_compiler.ingest.in_child import ingest_limited
from limosa_compiler.passes import Context
from limosa_compiler.recipe.inputs import InputNotes
from limosa_compiler.running.runner import Runner
from tests.support.real_models import require_model

SILERO = {"state": InputNotes(state_from="stateN"), "sr": InputNotes(value=16000)}
OCR = {"x": InputNotes(shape=(-1, 3, 48, 96))}
DETECTION = {"x": InputNotes(shape=(-1, 3, 64, 64))}
CASES = {
    # model: (what the recipe says, shape of two rows)
    "magika": ({}, (2, 2048)),
    "silero_vad": (SILERO, (2, 576)),
    "ocr_rec": (OCR, (2, 3, 48, 96)),
    "ocr_det": (DETECTION, (2, 3, 64, 64)),
    "ocr_cls": (OCR, (2, 3, 48, 96)),
    "nsfw": ({}, (2, 224, 224, 3)),
    "orientation": ({}, (2, 3, 224, 224)),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_real_model_is_taken_in_and_answers_as_it_did(name: str) -> None:
    """Exporters: tf2onnx, torch, Paddle2ONNX; opsets 9 to 15."""
    notes, shape = CASES[name]
    data = require_model(name).read_bytes()
    context = Context(where=name, source_bytes=len(data), inputs=notes)
    model = ingest_limited(data, context, on_pass=lambda report: None).model
    assert OPSET_MIN <= opset_of(model) <= OPSET_MAX
    assert model.ir_version <= IR_MAX
    first = inputs_of(model, notes)[0]
    draw = np.random.default_rng(0)
    x = draw.integers(0, 255, shape).astype(np.int32) if first.dtype == "INT32" else draw.normal(size=shape)
    feed = {first.name: x.astype(np.int32 if first.dtype == "INT32" else np.float32)}
    before = dict(feed)
    if name == "silero_vad":
        before |= {"state": np.zeros((2, 2, 128), np.float32), "sr": np.array(16000, np.int64)}
        feed |= {"state": np.zeros((2, 2, 128), np.float32)}
    expected = Runner(data).run(before)
    got = Runner(model.SerializeToString()).run(feed)
    if name == "silero_vad":
        expected["stateN"] = expected["stateN"].transpose(1, 0, 2)
    for output, array in expected.items():
        np.testing.assert_allclose(got[output], array, rtol=1e-4, atol=1e-5)
