"""Every table, by module. Tables are not contracts: they are mapped to them explicitly (server 2.1)."""

from limosa_server.tables import (
    access,
    alerts,
    commands,
    devices,
    groups,
    habits,
    judging,
    lifecycle,
    modes,
    permits,
    planning,
    releases,
    reports,
    retention,
    rollouts,
    trust,
)

__all__ = [
    "access",
    "alerts",
    "commands",
    "devices",
    "groups",
    "habits",
    "judging",
    "lifecycle",
    "modes",
    "permits",
    "planning",
    "releases",
    "reports",
    "retention",
    "rollouts",
    "trust",
]
