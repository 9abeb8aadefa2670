"""What the demo saw, judged: a pure function from observations to the one object it prints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from limosa_contracts.json_value import JsonValue

SCHEMA = "limosa.demo/1"
CRASH_NEIGHBOURHOOD_S = 2.0  # a connection that broke this near to its worker's crash was lost to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A prediction that was asked for and did not come. `at` is Unix seconds."""

    device: str
    at: float
    what: str
    broken: bool  # the connection broke; else an answer came that is not 2xx


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From `begin` to `end`, Unix seconds."""

    begin: float
    end: float

    def holds(self, at: float) -> bool:
        return self.begin <= at <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Facts of one run. Statuses, running versions, fallbacks and rejections were read from the server."""

    devices: int
    rollouts: Sequence[tuple[str, str]]  # (release, status) in the order they ended
    running: Mapping[str, int]  # release -> devices that report it running
    fallbacks: int
    rejected: int
    requests: int
    failures: Sequence[Failure]
    crashes: Mapping[str, Sequence[float]]  # device -> Unix seconds of worker crashes it reported
    killed: Mapping[str, Interval]  # device -> from SIGKILL until it answered again
    offline_converged: bool
    killed_recovered: bool
    stopped: Collection[tuple[str, str, str]]  # (version, phase, reason code) of devices' own events
    seconds: float


EXPECTED_STATUS: Mapping[str, str] = {
    "demo/motion@1.0.0": "COMPLETED",
    "demo/motion@2.0.0": "COMPLETED",
    "demo/motion@3.0.0": "ROLLED_BACK",
    "demo/motion@3.0.1": "ROLLED_BACK",
    "demo/motion@4.0.0": "ROLLED_BACK",
}


EXPECTED_STOP: Sequence[tuple[str, str, Sequence[str], str]] = (
    ("3.0.0", "FELL_BACK", ("worker_crashed", "crash_loop"), "fell back from 3.0.0 after a crash"),
    ("3.0.1", "REJECTED", ("golden_mismatch",), "rejected 3.0.1 for its golden vectors"),
    ("4.0.0", "FELL_BACK", ("output_collapse",), "fell back from 4.0.0 for collapsed outputs"),
)
"""(version, phase, reason codes, what devices did): each bad release is stopped for its own reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    result: Mapping[str, JsonValue]
    missing: Sequence[str] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.missing


def sort_failures(observed: Observed) -> tuple[list[Failure], list[Failure], list[Failure]]:
    """(failed, lost to a crash, while the supervisor was killed)."""
    failed: list[Failure] = []
    crash: list[Failure] = []
    killed: list[Failure] = []
    for failure in observed.failures:
        interval = observed.killed.get(failure.device)
        crashes = observed.crashes.get(failure.device, ())
        if interval is not None and interval.holds(failure.at):
            killed.append(failure)
        elif failure.broken and any(abs(failure.at - at) <= CRASH_NEIGHBOURHOOD_S for at in crashes):
            crash.append(failure)
        else:
            failed.append(failure)
    return failed, crash, killed


def judge(observed: Observed) -> Verdict:
    """The result object, and a sentence for each thing that was promised and not observed."""
    failed, crash, killed = sort_failures(observed)
    statuses = dict(observed.rollouts)
    checks = [
        *(
            (statuses.get(release) == status, f"{release} ended {statuses.get(release)}, not {status}")
            for release, status in EXPECTED_STATUS.items()
        ),
        (
            observed.running == {"demo/motion@2.0.0": observed.devices},
            f"devices run {dict(observed.running)}, not all 2.0.0",
        ),
        (observed.fallbacks >= 1, "no device fell back by itself"),
        (observed.rejected >= 1, "no device rejected a release"),
        *(
            (any((version, phase, code) in observed.stopped for code in codes), f"no device {sentence}")
            for version, phase, codes, sentence in EXPECTED_STOP
        ),
        (bool(observed.crashes), "no worker crash was reported"),
        (observed.requests > 0, "no request was made"),
        (not failed, f"{len(failed)} requests failed, the first: {failed[0].what if failed else ''}"),
        (observed.offline_converged, "the device behind the cut link did not converge"),
        (observed.killed_recovered, "the killed device did not come back on a good version"),
    ]
    result: dict[str, JsonValue] = {
        "schema": SCHEMA,
        "devices": observed.devices,
        "rollouts": [{"release": release, "status": status} for release, status in observed.rollouts],
        "running": dict(observed.running),
        "fallbacks": observed.fallbacks,
        "rejected": observed.rejected,
        "requests": observed.requests,
        "failed_requests": len(failed),
        "requests_lost_to_crash": len(crash),
        "requests_while_killed": len(killed),
        "offline_converged": observed.offline_converged,
        "killed_recovered": observed.killed_recovered,
        "seconds": round(observed.seconds, 1),
    }
    return Verdict(result=result, missing=tuple(why for held, why in checks if not held))
