"""Where the API has releases."""

from __future__ import annotations

from typing import Final

from limosa_contracts.names import ReleaseName

PATH: Final = "/api/v1/releases"


def path_of(release: str) -> str:
    """Raises InvalidField.

    >>> path_of("demo/motion@1.2.0")
    '/api/v1/releases/demo/motion/1.2.0'
    """
    name = ReleaseName.parse(release)
    return f"{PATH}/{name.name.team}/{name.name.model}/{name.version}"
