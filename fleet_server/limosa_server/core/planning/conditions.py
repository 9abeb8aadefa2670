"""What a rollout waits for before it starts and before a device switches, and what is tried again."""

from __future__ import annotations

from limosa_contracts.duration import format_duration
from limosa_contracts.maintenance_window import DEVICE_ZONE, MaintenanceWindow
from limosa_contracts.rollout.spec import RolloutSpec
from limosa_contracts.rollout.waves import Then
from limosa_server.core.planning.wording import when


def approval(spec: RolloutSpec) -> str:
    """Who must agree."""
    wanted = spec.approval
    if wanted is None:
        return "nobody needs to approve it"
    people = "1 person" if wanted.approvers == 1 else f"{wanted.approvers} people"
    author = f"whoever made it {'is not' if wanted.four_eyes else 'may be'} one of them"
    remark = ", and each says why" if wanted.remark else ""
    return f"{people} of the role approver must agree ({author}){remark}; one who denies ends it"


def start(spec: RolloutSpec) -> str:
    """When it starts."""
    at = spec.schedule.start
    agreed = spec.approval is not None
    if at is None:
        return "when it is approved" if agreed else "at once"
    return f"{when(at)}{', or when it is approved if that is later' if agreed else ''}"


def windows(spec: RolloutSpec) -> list[str]:
    """When devices may switch; each of them judges it by its own clock."""
    wanted = spec.schedule.windows
    if wanted is None:
        return ["devices switch at any time"]
    outside = "outside of them too" if wanted.download_outside else "inside of them only"
    return [
        f"devices switch only in their maintenance windows, and download {outside}",
        *(_window(one) for one in wanted.windows),
    ]


def facts(spec: RolloutSpec) -> list[tuple[str, list[str]]]:
    """(what, lines) of those that somebody asked for; a plan in a few lines leaves out the others."""
    found = []
    if spec.approval is not None:
        found.append(("approval", [approval(spec)]))
    if spec.approval is not None or spec.schedule.start is not None:
        found.append(("starts", [start(spec)]))
    if spec.schedule.windows is not None:
        found.append(("windows", windows(spec)))
    if spec.retry.attempts:
        found.append(("retry", [retry(spec)]))
    return found


def _window(window: MaintenanceWindow) -> str:
    zone = "each device's own time zone" if window.tz == DEVICE_ZONE else window.tz
    return f"{window.cron.text}, for {format_duration(window.duration_s)}, in {zone}"


def retry(spec: RolloutSpec) -> str:
    """What becomes of a device on which it failed (rollouts 3.9)."""
    attempts = spec.retry.attempts
    if not attempts:
        return "a device on which it failed is not offered it again"
    times = "once more" if attempts == 1 else f"up to {attempts} more times"
    grows = "" if attempts == 1 else ", then after twice as long each time"
    return (
        f"a device on which it failed is offered it {times} if something about the device has changed, "
        f"after {format_duration(spec.retry.backoff_s)}{grows}"
    )


def waits(spec: RolloutSpec) -> str:
    """What no clock of the plan counts: people, and devices that are not there.

    >>> from limosa_contracts.rollout.spec import RolloutSpec
    >>> waits(RolloutSpec.parse({"release": "demo/kws@1.0.0", "group": "lab"}))
    'the wait for devices that are away'
    """
    found = ["for devices that are away"]
    if spec.approval is not None:
        found.insert(0, "for approval")
    if spec.schedule.windows is not None:
        found.append("for their maintenance windows")
    paused = [wave.name for wave in spec.waves if wave.then is Then.PAUSE]
    if paused:
        found.append(f"for a person after {', '.join(paused)}")
    *most, last = found
    return f"the wait {', '.join(most)} and {last}" if most else f"the wait {last}"
