"""Every table, by module. Tables are not contracts: they are mapped to them explicitly (server 2.1)."""

from limosa_server.tables import access, devices, groups, permits, releases, reports, rollouts

__all__ = ["access", "devices", "groups", "permits", "releases", "reports", "rollouts"]
