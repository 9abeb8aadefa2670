"""The self-test: a bad release is found in a child, and cannot take the supervisor with it (agent 4.1)."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import numpy as np
import pytest

from limosa_agent.serving.limited_child import Ended
from limosa_agent.serving.limits import SelfTestLimits
from limosa_agent.serving.self_test import SelfTestResult, judge, run_self_test
from limosa_agent.serving.slot_ref import SlotRef
from tests.agent.serving.releases import crash_plan, install, motion_plan, slow_plan, spoil_golden, tiny_plan


def tried(slot: SlotRef, **limits: float) -> SelfTestResult:
    return asyncio.run(run_self_test(slot.directory, SelfTestLimits(**limits)))  # type: ignore[arg-type]  # ints


def test_good_release_passes_with_its_measurements(slots: Path) -> None:
    result = tried(install(motion_plan("3.0.0"), slots))  # its defect is in no golden vector
    assert result.ok, result
    assert (result.reason_code, result.evidence["cases"], result.evidence["exit"]) == ("", 4, "0")
    assert result.evidence["max_abs_error"] == 0.0
    peak, p95 = result.evidence["peak_rss_bytes"], result.evidence["p95_us"]
    assert isinstance(peak, int)
    assert 10_000_000 < peak < 400_000_000
    assert isinstance(p95, float)
    assert p95 > 0


@pytest.mark.parametrize("share", [0.05, np.nan, np.inf])
def test_outputs_unlike_the_golden_vectors_are_a_mismatch(slots: Path, share: float) -> None:
    slot = install(tiny_plan(), slots)
    spoil_golden(slot, lambda array: (array * np.float32(1 + share)).astype(np.float32))
    result = tried(slot)
    assert (result.ok, result.reason_code) == (False, "golden_mismatch")
    assert result.evidence["failed"] == 4
    assert "4 of 4 golden cases differ" in result.message


def test_difference_within_the_tolerance_passes(slots: Path) -> None:
    slot = install(tiny_plan(), slots)
    spoil_golden(slot, lambda array: (array * np.float32(1.005)).astype(np.float32))
    result = tried(slot)
    assert result.ok
    error = result.evidence["max_abs_error"]
    assert isinstance(error, float)
    assert 0 < error < 1


def test_release_that_is_no_model_does_not_load(slots: Path) -> None:
    slot = install(tiny_plan(), slots)
    (Path(slot.directory) / "model.onnx").write_bytes(b"\x08\x08garbage")
    assert tried(slot).reason_code == "load_failed"


@pytest.mark.parametrize("name", ["serving.json", "baseline.json", "golden.safetensors", "model.onnx"])
def test_release_with_a_missing_file_does_not_load(slots: Path, name: str) -> None:
    slot = install(tiny_plan(), slots)
    (Path(slot.directory) / name).unlink()
    result = tried(slot)
    assert (result.reason_code, name in result.message) == ("load_failed", True)


def test_release_that_kills_its_child_is_named_by_the_signal(slots: Path) -> None:
    slot = install(crash_plan(), slots)
    path = Path(slot.directory) / "golden.safetensors"
    golden = path.read_bytes()
    header = 8 + int.from_bytes(golden[:8], "little")
    path.write_bytes(golden[:header] + struct.pack("<f", -1.0) * ((len(golden) - header) // 4))
    result = tried(slot)
    assert (result.reason_code, result.evidence["exit"]) == ("self_test_failed", "SIGFPE")
    assert "SIGFPE" in result.message


def test_release_that_needs_too_long_is_stopped(slots: Path) -> None:
    result = tried(install(slow_plan(), slots), wall_max_s=0.05)
    assert (result.ok, result.reason_code) == (False, "self_test_failed")
    assert "no end after" in result.message


def test_release_that_needs_too_much_memory_fails_in_its_child(slots: Path) -> None:
    result = tried(install(slow_plan(size=3000, layers=1), slots), memory_max_bytes=48 * 1024 * 1024)
    assert not result.ok
    assert result.reason_code in ("self_test_failed", "load_failed")


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Ended(returncode=-24, output=b"", over_time=False), "processor time"),
        (Ended(returncode=-9, output=b"", over_time=False), "SIGKILL"),
        (Ended(returncode=0, output=b"", over_time=False), "no verdict"),
        (Ended(returncode=1, output=b'{"ok":true}', over_time=False), "no verdict"),
        (Ended(returncode=0, output=b"[" * 65536, over_time=False), "no verdict"),
    ],
)
def test_child_that_says_nothing_of_use_has_failed(ended: Ended, said: str) -> None:
    result = judge(ended, SelfTestLimits())
    assert (result.ok, result.reason_code) == (False, "self_test_failed")
    assert said in result.message


def test_child_that_says_ok_but_exits_otherwise_is_not_ok() -> None:
    said = b'{"ok":true,"reason_code":null,"message":"","evidence":{}}'
    assert not judge(Ended(returncode=1, output=said, over_time=False), SelfTestLimits()).ok
