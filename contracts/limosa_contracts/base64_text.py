"""Bytes as text in JSON documents; apart from envelopes, so that who verifies nothing loads no keys."""

from __future__ import annotations

import base64
import binascii

from limosa_contracts.errors import InvalidField


def b64(text: str, *, where: str) -> bytes:
    """Strict base64, standard alphabet with padding. Raises InvalidField."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("text is not base64", where=where, why=str(error)) from error
