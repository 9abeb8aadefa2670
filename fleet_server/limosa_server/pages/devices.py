"""The list of devices with its filters in the address, and the page of one device."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Query, Request, Response

from limosa_server.api.devices import find_device
from limosa_server.api.state import State
from limosa_server.pages.device_rows import STATES, DeviceFilter, device_list, device_view
from limosa_server.pages.guard import SignedIn, page_router
from limosa_server.pages.render import page, path_part
from limosa_server.tables.reports import EventRow

router = page_router()


@router.get("/devices")
def list_devices(
    request: Request,
    state: State,
    who: SignedIn,
    only: Annotated[str, Query(alias="state", max_length=16)] = "",
    group: Annotated[str, Query(max_length=128)] = "",
    version: Annotated[str, Query(max_length=256)] = "",
    text: Annotated[str, Query(alias="q", max_length=128)] = "",
    after: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    wanted = DeviceFilter(
        state=only if only in STATES else "", group=group, version=version.strip(), text=text.strip()
    )
    with state.store.read() as tx:
        found = device_list(tx, wanted, after=after, now=state.clock())
    return page(
        request,
        "devices.html",
        api="/api/v1/devices",
        wanted=wanted,
        found=found,
        states=STATES,
        after=after,
    )


@router.get("/devices/{device:path}")
def show_device(request: Request, state: State, who: SignedIn, device: str) -> Response:
    with state.store.read() as tx:
        view = device_view(tx, find_device(tx, device))
    return page(
        request,
        "device.html",
        api=f"/api/v1/devices/{path_part(device)}",
        view=view,
        device=view.line.device,
        evidence={event.id: _evidence(event) for event in view.events},
    )


def _evidence(event: EventRow) -> dict[str, Any]:
    """What the device measured; {} where it gave nothing."""
    try:
        found = json.loads(event.body).get("reason", {}).get("evidence", {})
    except (ValueError, AttributeError):
        return {}  # rows are written from parsed events; a row of a later version may be another
    return found if isinstance(found, dict) else {}
