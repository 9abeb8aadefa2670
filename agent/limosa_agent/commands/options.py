"""What several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from limosa_agent.config import DEFAULT_PATH

F = TypeVar("F", bound=Callable[..., object])


def config_option(function: F) -> F:
    """Adds `--config`, which the command gets as `config: Path`."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        default=DEFAULT_PATH,
        show_default=True,
        help="The agent's configuration file.",
    )(function)
