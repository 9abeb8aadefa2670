"""Numbers as people read them."""

from __future__ import annotations


def devices(count: int) -> str:
    """
    >>> devices(1), devices(6)
    ('1 device', '6 devices')
    """
    return f"{count} device" if count == 1 else f"{count} devices"


def waves(count: int) -> str:
    """
    >>> waves(1), waves(3)
    ('1 wave', '3 waves')
    """
    return f"{count} wave" if count == 1 else f"{count} waves"
