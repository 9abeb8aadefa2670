"""The report's one style sheet."""

from __future__ import annotations

from importlib.resources import files


def style() -> str:
    """What stands in `report.css`."""
    return (files(__package__) / "report.css").read_text(encoding="utf-8")
