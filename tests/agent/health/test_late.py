"""A committed version that fails for long (agent 4.3). Time is a value here."""

from __future__ import annotations

from dataclasses import dataclass, field

from limosa_agent.health.committed import CommittedWatch
from limosa_agent.health.config import HealthLimits
from limosa_agent.health.facts import Observed, ProbeFacts
from limosa_agent.health.late import LateWatch
from limosa_agent.health.probe_config import AskHttp, ProbeConfig
from limosa_agent.health.probe_results import ProbeResult, ProbeResults
from limosa_agent.serving.slot_ref import SlotRef
from limosa_contracts.event import Reason
from limosa_contracts.window import LATENCY_EDGES_US

DIGEST = "a" * 64
LIMITS = HealthLimits(watch_window_s=60.0, sustain_s=300.0, collapse_sustain_s=3600.0)
MIB = 1024**2


@dataclass
class Version:
    """What one version did so far, minute by minute."""

    seen: Observed = field(
        default_factory=lambda: Observed(manifest_sha256=DIGEST, latency=(0,) * 32, classes=(0,) * 4)
    )
    watch: LateWatch = field(
        default_factory=lambda: LateWatch(
            manifest_sha256=DIGEST, limits=LIMITS, began_s=0.0, baseline_classes=(25,) * 4,
            memory_max_bytes=500 * MIB,
        )
    )  # fmt: skip
    now_s: float = 0.0

    def minute(
        self, *, n: int = 100, errors: int = 0, nan: int = 0, us: float = 9000.0,
        classes: tuple[int, ...] = (25, 25, 25, 25), rss_mib: int = 80, generation: int = 1,
    ) -> Reason | None:  # fmt: skip
        self.now_s += 60.0
        bucket = next(i for i, edge in enumerate(LATENCY_EDGES_US) if edge >= us)
        self.seen = Observed(
            manifest_sha256=DIGEST,
            n=self.seen.n + n,
            errors=self.seen.errors + errors,
            nan_outputs=self.seen.nan_outputs + nan,
            latency=tuple(c + n * (i == bucket) for i, c in enumerate(self.seen.latency)),
            classes=tuple(a + b for a, b in zip(self.seen.classes, classes, strict=True)),
            rss_bytes=rss_mib * MIB,
        )
        self.watch.observe(self.seen, generation=generation, now_s=self.now_s)
        return self.watch.verdict(now_s=self.now_s)


def code_after(version: Version, minutes: int, **each: object) -> str | None:
    """The code of the first verdict within so many minutes."""
    for _ in range(minutes):
        reason = version.minute(**each)  # type: ignore[arg-type]  # the keywords of `minute`
        if reason is not None:
            return reason.code
    return None


def usual(minutes: int = 6) -> Version:
    version = Version()
    assert code_after(version, minutes) is None
    return version


def test_each_check_fails_only_when_it_lasts() -> None:
    for each, code in (
        ({"n": 50, "errors": 50}, "error_rate"),
        ({"nan": 50}, "nan_outputs"),
        ({"us": 400_000.0}, "latency"),
        ({"rss_mib": 600}, "memory"),
    ):
        version = usual()
        assert code_after(version, 5, **each) is None
        assert code_after(version, 3, **each) == code


def test_one_good_window_begins_anew() -> None:
    version = usual()
    assert code_after(version, 5, nan=50) is None
    assert version.minute() is None
    assert code_after(version, 5, nan=50) is None
    assert version.watch.failing_since.keys() == {"nan_outputs"}


def test_windows_without_traffic_change_nothing() -> None:
    version = usual()
    assert version.minute(nan=50) is None
    assert code_after(version, 10, n=0, classes=(0, 0, 0, 0)) == "nan_outputs", "nobody said that it is well"


def test_collapsed_classes_are_a_fault_only_after_their_own_long_time() -> None:
    night = (100, 0, 0, 0)
    version = Version(
        watch=LateWatch(manifest_sha256=DIGEST, limits=LIMITS, began_s=0.0, baseline_classes=(1, 33, 33, 33))
    )
    assert code_after(version, 59, classes=night) is None
    assert code_after(version, 3, classes=night) == "output_collapse"


def test_evidence_has_numbers_limit_and_how_long() -> None:
    version = usual()
    assert code_after(version, 8, nan=50) == "nan_outputs"
    reason = version.watch.verdict(now_s=version.now_s)
    assert reason is not None
    assert reason.evidence["bad"] == 50
    assert reason.evidence["max_ratio"] == LIMITS.late_nan_ratio
    assert reason.evidence["sustain_s"] == 300.0
    for_s = reason.evidence["failing_for_s"]
    assert isinstance(for_s, float)
    assert for_s >= 300.0


def test_a_worker_that_was_started_again_is_counted_from_zero() -> None:
    version = usual()
    version.seen = Observed(manifest_sha256=DIGEST, latency=(0,) * 32, classes=(0,) * 4)
    assert code_after(version, 10, generation=2) is None


def test_a_probe_that_never_passed_says_nothing_of_this_version() -> None:
    version = usual()
    never = ProbeFacts(name="camera", asked=9, bad=5, fail=3, of=5, passed=False)
    version.watch.hear([never], now_s=0.0)
    assert version.watch.verdict(now_s=1e6) is None
    once = ProbeFacts(name="camera", asked=9, bad=5, fail=3, of=5, passed=True, said="exit code 7")
    version.watch.hear([once], now_s=10.0)
    version.watch.hear([once], now_s=400.0)
    reason = version.watch.verdict(now_s=400.0)
    assert reason is not None
    assert (reason.code, reason.evidence["said"]) == ("probe_failed", "exit code 7")


@dataclass
class Device:
    now_s: float = 0.0
    may: bool = True
    failed: list[tuple[str, str]] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)
    slot: SlotRef = field(
        default_factory=lambda: SlotRef(
            model="a/b", version="1.0.0", manifest_sha256=DIGEST, directory="none"
        )
    )
    probe: ProbeResults = field(
        default_factory=lambda: ProbeResults(
            probe=ProbeConfig(
                name="camera", question=AskHttp(path="/", host="127.0.0.1", port=9), fail=1, of=1
            )
        )
    )

    def watch(self) -> CommittedWatch:
        return CommittedWatch(
            limits=HealthLimits(sustain_s=100.0, crashes_max=2, crashes_within_s=50.0),
            memory_max_bytes=0,
            may_fail=lambda model: self.may,
            fail=lambda model, reason: self.failed.append((model, reason.code)),
            alarm=lambda model, reason: self.alarms.append((model, reason.code)),
            clock=lambda: self.now_s,
        )

    def tick(self, watch: CommittedWatch, at_s: float, *, ok: bool) -> None:
        self.now_s = at_s
        self.probe.note(ProbeResult(asked_s=at_s, ok=ok))
        watch.tick({"a/b": self.slot}, lambda model: [self.probe])


def test_a_failing_probe_falls_back_once_and_waits_until_that_can_be_done() -> None:
    device = Device(may=False)
    watch = device.watch()
    watch.observe(device.slot, Observed(manifest_sha256=DIGEST), generation=1)
    device.tick(watch, 1.0, ok=True)
    for at_s in (50.0, 100.0, 151.0, 152.0):
        device.tick(watch, at_s, ok=False)
    assert (device.failed, device.alarms) == ([], [("a/b", "probe_failed")])
    device.may = True
    device.tick(watch, 153.0, ok=False)
    device.tick(watch, 154.0, ok=False)
    assert device.failed == [("a/b", "probe_failed")]


def test_crashes_far_apart_are_forgotten_and_close_ones_fall_back() -> None:
    device = Device()
    watch = device.watch()
    reason = Reason(code="worker_crashed", message="the serving worker ended: SIGSEGV")
    for device.now_s in (0.0, 60.0, 200.0):
        watch.crashed(device.slot, reason)
    assert device.failed == []
    device.now_s = 210.0
    watch.crashed(device.slot, reason)
    assert device.failed == [("a/b", "crash_loop")]


def test_a_probe_that_passed_in_the_trial_counts_after_the_commit() -> None:
    device = Device()
    watch = device.watch()
    watch.tick({"a/b": device.slot}, lambda model: [device.probe], on_trial=["a/b"])
    device.probe.note(ProbeResult(asked_s=1.0, ok=True))
    for at_s in (50.0, 100.0, 151.0):
        device.tick(watch, at_s, ok=False)
    assert device.failed == [("a/b", "probe_failed")]


def test_version_that_answers_nothing_any_more_is_judged_by_its_errors() -> None:
    """Not one answer in the window, only errors: that is traffic, and no silence (agent 4.3)."""
    assert code_after(usual(), 7, n=0, errors=100, classes=(0, 0, 0, 0)) == "error_rate"
    assert code_after(usual(), 7, n=0, errors=0, classes=(0, 0, 0, 0)) is None
