"""Reads the text of a rollout file, wherever it comes from: a file, or a form in a browser."""

from __future__ import annotations

import datetime
import tomllib
from typing import Any

from limosa_contracts.errors import InvalidField
from limosa_contracts.json_value import JsonObject


def parse_rollout_toml(text: str, *, where: str) -> JsonObject:
    """Its fields as JSON has them, unchecked: `RolloutSpec.parse` takes them. Raises InvalidField.

    >>> parse_rollout_toml("[schedule]\\nstart = 2026-12-01T02:00:00Z", where="rollout.toml")
    {'schedule': {'start': '2026-12-01T02:00:00+00:00'}}
    """
    try:
        value = tomllib.loads(text.replace("\r\n", "\n"))  # as browsers send what was typed in
    except tomllib.TOMLDecodeError as error:
        raise InvalidField("the file is not TOML", where=where, why=str(error)) from error
    return {key: _as_json(item) for key, item in value.items()}


def _as_json(value: Any) -> Any:
    """TOML has times; a rollout file may write one without quotes."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value
