"""YAML documents of other tools (DVC, MLflow), read as plain values."""

from __future__ import annotations

import json
from typing import Final

from limosa_contracts.canonical import parse_json
from limosa_contracts.errors import InvalidField, TooLarge
from limosa_contracts.json_value import JsonValue

DOCUMENT_MAX_BYTES: Final = 1024 * 1024


def parse_yaml(data: bytes, *, where: str) -> JsonValue:
    """Dates become texts. Raises InvalidField, TooLarge; no tag makes an object."""
    import yaml

    if len(data) > DOCUMENT_MAX_BYTES:
        raise TooLarge(
            f"{len(data)} bytes of YAML", where=where, why=f"at most {DOCUMENT_MAX_BYTES} are read"
        )
    if b"&" in data and b"*" in data:  # an alias of aliases is a bomb once it is written out
        text = data.decode(errors="replace")
        if any(isinstance(token, yaml.AliasToken) for token in _tokens(text, where=where)):
            raise InvalidField("YAML with aliases is not read", where=where)
    try:
        value = yaml.safe_load(data.decode())
        return parse_json(json.dumps(value, default=str).encode(), what=where)
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, RecursionError) as error:
        raise InvalidField("this is not YAML", where=where, why=" ".join(str(error).split())[:200]) from error


def _tokens(text: str, *, where: str) -> list[object]:
    import yaml

    try:
        return list(yaml.scan(text))
    except yaml.YAMLError as error:
        raise InvalidField("this is not YAML", where=where, why=" ".join(str(error).split())[:200]) from error
