"""What is said about a build whose figures are doubtful."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from limosa_compiler import build
from limosa_compiler.choice.notes import data_warnings
from tests.compiler.graphs import FEATURES, classifier


def test_labels_in_another_order_than_the_rows_are_suspected(tmp_path: Path) -> None:
    """A table was sorted after its labels had been taken: every figure of the build was noise."""
    onnx.save(classifier(), tmp_path / "model.onnx")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, FEATURES)).astype(np.float32)
    right = np.where(draw.random(300) < 0.6, 0, x[:, :3].argmax(axis=1))
    np.savez(tmp_path / "data.npz", x=x, label=draw.permutation(right))
    result = build(
        {
            "name": "demo/doors",
            "version": "1.0.0",
            "model": str(tmp_path / "model.onnx"),
            "targets": ["rpi4"],
            "data": {"calibration": str(tmp_path / "data.npz"), "evaluation": str(tmp_path / "data.npz")},
            "gate": {"max_loss_points": 50.0},
        },
        folder=tmp_path / "dist",
    )
    said = " ".join(result.evidence.warnings)
    assert "are labels and rows in the same order?" in said
    assert "calibration and evaluation are the same data" in said


def test_nothing_is_said_about_a_build_without_labels() -> None:
    assert data_warnings((), None, metric="cosine", same_source=False) == ()
