"""A selector as a condition of SQL, for questions about the whole fleet (trust 7.4).

It selects exactly the devices that `Selector.matches` does; every word of it is a bound parameter.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from limosa_contracts.selector import Operator, Requirement, Selector
from limosa_server.tables.devices import Device, DeviceLabel


def selected(selector: Selector) -> ColumnElement[bool]:
    """Of a row of `devices`: whether its labels are selected. Its state is not looked at."""
    return and_(*(_holds(requirement) for requirement in selector.requirements))


def _holds(requirement: Requirement) -> ColumnElement[bool]:
    label = aliased(DeviceLabel)
    of_device = select(label.device).where(
        col(label.device) == col(Device.id), col(label.key) == requirement.key
    )
    with_value = of_device.where(col(label.value).in_(requirement.values))
    match requirement.operator:
        case Operator.IN:
            return with_value.exists()
        case Operator.NOT_IN:
            return ~with_value.exists()
        case Operator.EXISTS:
            return of_device.exists()
        case Operator.MISSING:
            return ~of_device.exists()
