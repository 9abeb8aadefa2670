"""What can be wrong with a delta."""

from __future__ import annotations

from limosa_contracts.errors import TransferError


class DeltaRefused(TransferError):
    """The full blob is the way out: it is what the delta was to save."""

    code = "LM-304"
    summary = "a delta is damaged, hostile or for another base; what it gives would not be the blob"
    default_hint = "fetch the full blob instead"


def refuse(why: str) -> DeltaRefused:
    return DeltaRefused("a delta is not usable", where="delta", why=why)
