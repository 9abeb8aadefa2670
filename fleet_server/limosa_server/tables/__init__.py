"""Every table, by module. Tables are not contracts: they are mapped to them explicitly (server 2.1)."""

from limosa_server.tables import access, devices, releases, reports

__all__ = ["access", "devices", "releases", "reports"]
