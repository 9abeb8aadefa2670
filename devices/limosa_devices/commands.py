"""The commands of this package: name -> where it is (see `limosa_contracts.cli`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, str]] = {"demo": "limosa_devices.demo.command:demo"}
