"""Every router of the application, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter

from limosa_server.api import (
    alerts,
    audit_log,
    device,
    device_commands,
    device_leaving,
    devices,
    enroll,
    evidence,
    groups,
    health,
    inventory,
    mirrors,
    oci_pull,
    oci_push,
    permits,
    pins,
    release_history,
    release_imports,
    release_stages,
    releases,
    rollout_actions,
    rollout_approval,
    rollout_explain,
    rollout_modes,
    rollout_plan,
    rollouts,
    server,
    tokens,
    tuf,
    webhooks,
)

ROUTERS: Final[Sequence[APIRouter]] = (
    health.router,
    enroll.router,
    device.router,
    inventory.router,
    devices.router,
    device_commands.router,
    pins.router,
    device_leaving.router,
    tokens.router,
    server.router,
    audit_log.router,
    groups.router,
    alerts.router,
    webhooks.router,
    release_imports.router,
    release_stages.router,
    release_history.router,
    releases.router,
    evidence.router,
    rollout_plan.router,
    rollouts.router,
    rollout_actions.router,
    rollout_approval.router,
    rollout_modes.router,
    rollout_explain.router,
    mirrors.router,
    permits.router,
    tuf.router,
    oci_push.router,
    oci_pull.router,
)
