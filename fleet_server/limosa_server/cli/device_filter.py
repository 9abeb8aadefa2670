"""The options that say which devices are meant: the same for `list` and `export`, as in the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from limosa_server.core.device_state import DeviceState
from limosa_server.fleet.device_states import STATES

F = TypeVar("F", bound=Callable[..., object])


def device_filter_options(function: F) -> F:
    """Adds --state, --label, --selector, --group, --version and --search."""
    for option in (
        click.option("--search", default="", help="Part of a name, serial, profile or label's value."),
        click.option("--version", default="", help="What it runs: 1.0.0 or team/model@1.0.0."),
        click.option("--group", default="", help="Only its devices."),
        click.option("--selector", default="", help="Labels in Kubernetes' grammar."),
        click.option("--label", default="", help="Only devices with this KEY=VALUE."),
        click.option(
            "--state",
            type=click.Choice(("", DeviceState.ACTIVE.value, "all", *STATES)),
            default="",
            help="active if left out; all has those that left, too.",
        ),
    ):
        function = option(function)
    return function


def filter_of(**named: str) -> dict[str, str]:
    """As the API takes it; what is "" is left out."""
    return {name: value for name, value in named.items() if value}
