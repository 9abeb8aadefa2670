"""Every reason code that a device's events may carry: what happened, and where its evidence comes from.

The page docs/reference/reason-codes.md is made from this table; a test finds each code that is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCode:
    """`when`: the part of an update's way in which it is given. `evidence`: names of its numbers."""

    when: str
    means: str
    evidence: tuple[str, ...] = ()


TRIAL_EVIDENCE: Final = (
    "n",
    "errors",
    "refused",
    "nan_outputs",
    "elapsed_s",
    "p95_us",
    "rss_bytes",
    "replayed",
    "probes",
)
"""In the evidence of every verdict of a trial, beside what the code adds; left out where not measured."""
LATE_EVIDENCE: Final = ("failing_for_s", "sustain_s")
"""In the evidence of every late failure but a crash loop, beside what the code adds."""

SELF_TEST: Final = "self-test"
TRIAL: Final = "trial"
TRIAL_OR_LATE: Final = "trial, or after commit"
FETCH: Final = "before the self-test"
DEVICE: Final = "at the device"

CODES: Final[Mapping[str, ReasonCode]] = {
    "healthy": ReasonCode(when=TRIAL, means="the trial was passed, on live traffic or on golden vectors"),
    "error_rate": ReasonCode(
        when=TRIAL_OR_LATE,
        means="too many inferences failed",
        evidence=("max_error_ratio", "bad", "max_ratio"),
    ),
    "nan_outputs": ReasonCode(
        when=TRIAL_OR_LATE,
        means="too many answers hold NaN",
        evidence=("max_error_ratio", "bad", "max_ratio"),
    ),
    "refused_inputs": ReasonCode(
        when=TRIAL,
        means="requests that fitted the previous version's schema do not fit this one's",
        evidence=("refused_ratio", "refused_ratio_before", "refused_ratio_more_allowed"),
    ),
    "latency": ReasonCode(
        when=TRIAL_OR_LATE,
        means="surely more than 5 % of inferences are slower than the limit, which comes from the previous "
        "version's p95, after commit from its own",
        evidence=("slow", "previous_p95_us", "usual_p95_us", "max_us"),
    ),
    "memory": ReasonCode(
        when=TRIAL_OR_LATE,
        means="the worker uses more memory than is allowed, or far more than with the previous version",
        evidence=("rss_bytes", "previous_rss_bytes", "memory_max_bytes"),
    ),
    "memory_growth": ReasonCode(
        when=TRIAL_OR_LATE,
        means="the worker's memory grew with every step, and by much: it leaks",
        evidence=("from_bytes", "to_bytes", "steps", "step_s", "growth_max_bytes"),
    ),
    "output_collapse": ReasonCode(
        when=TRIAL_OR_LATE,
        means="the classes of the answers are far from the baseline's",
        evidence=("distance", "max_class_distance"),
    ),
    "probe_failed": ReasonCode(
        when=TRIAL_OR_LATE,
        means="a probe of the operator gave too many bad answers",
        evidence=("probe", "bad", "fail", "of", "asked", "said"),
    ),
    "golden_mismatch": ReasonCode(
        when=f"{SELF_TEST}, or trial",
        means="golden vectors do not hold on this device's own runtime",
        evidence=("cases", "failed", "max_abs_error"),
    ),
    "worker_crashed": ReasonCode(
        when=TRIAL_OR_LATE,
        means="the serving worker ended by itself or by a signal",
        evidence=("returncode", "signal", "requests_lost", "put_back", "hung"),
    ),
    "worker_hung": ReasonCode(
        when=TRIAL_OR_LATE,
        means="the serving worker did nothing any more (deadlock, endless run) and was ended",
        evidence=("returncode", "signal", "requests_lost", "put_back", "hung"),
    ),
    "crash_loop": ReasonCode(
        when=TRIAL_OR_LATE,
        means="it crashed again and again, or the device restarted during each of its tries",
        evidence=("crashes", "within_s"),
    ),
    "load_failed": ReasonCode(
        when=f"{SELF_TEST}, or activation",
        means="the release cannot be loaded or warmed up",
        evidence=("exit",),
    ),
    "self_test_failed": ReasonCode(
        when=SELF_TEST, means="the self-test did not come to an end within its limits", evidence=("exit",)
    ),
    "too_slow": ReasonCode(
        when=SELF_TEST,
        means="one row takes longer than promised for this target, or than this target takes",
        evidence=("run_us", "promised_us", "max_us"),
    ),
    "too_large": ReasonCode(
        when=SELF_TEST,
        means="it takes more memory than promised for this target, or than this target takes",
        evidence=("memory_bytes", "promised_memory_bytes", "max_memory_bytes"),
    ),
    "shadow_crashed": ReasonCode(
        when=TRIAL_OR_LATE,
        means="a challenger's own worker ended; whoever serves was not touched",
        evidence=("returncode", "signal", "hung"),
    ),
    "operator": ReasonCode(
        when=DEVICE, means="an operator at the device rolled back: `limosa-agent rollback`"
    ),
    "already_installed": ReasonCode(when=FETCH, means="this release runs here and is committed"),
    "not_installed": ReasonCode(when=FETCH, means="the model shall be absent, and nothing of it is here"),
    "quarantined": ReasonCode(when=FETCH, means="this digest has failed on this device before"),
    "downgrade": ReasonCode(
        when=FETCH,
        means="the release is older than the committed one, and nothing allows going back to it",
        evidence=("offered", "committed"),
    ),
    "no_fitting_variant": ReasonCode(
        when=FETCH, means="no variant of the release fits this device", evidence=("variants",)
    ),
    "agent_too_old": ReasonCode(when=FETCH, means="the release asks for a newer agent"),
    "expired": ReasonCode(when=FETCH, means="signed metadata is past its expiry"),
    "untrusted": ReasonCode(when=FETCH, means="a signature or a digest does not hold"),
    "rejected": ReasonCode(when=FETCH, means="the release cannot be installed as it was asked for"),
    "transfer": ReasonCode(when=FETCH, means="a transfer failed; it is tried again"),
    "mirror": ReasonCode(when=FETCH, means="what lies on a stick cannot be used"),
    "budget_spent": ReasonCode(when=FETCH, means="the byte budget allows no download now"),
    "disk_full": ReasonCode(when=FETCH, means="there is not enough free space"),
    "fault": ReasonCode(when=FETCH, means="this device is in trouble; it is tried again a few times"),
    "clock_suspect": ReasonCode(
        when=FETCH, means="the clock of this device cannot be right: nothing is judged by it"
    ),
    "window_invalid": ReasonCode(when=FETCH, means="a maintenance window cannot be read"),
    "outside_window": ReasonCode(
        when="waiting", means="no maintenance window is open", evidence=("opens_at",)
    ),
    "unknown_timezone": ReasonCode(
        when="waiting", means="this device does not know a window's time zone", evidence=("zones",)
    ),
    "hold": ReasonCode(when="waiting", means="an operator holds updates: `limosa-agent release` ends it"),
    "update_lock": ReasonCode(when="waiting", means="an application holds updates", evidence=("lock",)),
    "not_removable": ReasonCode(when="waiting", means="this device keeps its models: `[update] removable`"),
    "journal_corrupt": ReasonCode(when=DEVICE, means="the state was made again from the slots on disk"),
    "release_broken": ReasonCode(when=DEVICE, means="files of a release on this disk have changed"),
    "unknown_transition": ReasonCode(
        when=DEVICE, means="an event came that does not belong to the update's phase: a defect of the agent"
    ),
}
