"""The list of devices with its filters in the address, and the page of one device."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from limosa_contracts.errors import InvalidSelector
from limosa_contracts.selector import SELECTOR_MAX_CHARS, Selector
from limosa_server.access.scope import GROUP, TEAM
from limosa_server.api.devices import find_device
from limosa_server.api.inventory import export
from limosa_server.api.scoped import scoped
from limosa_server.api.state import State
from limosa_server.fleet import device_commands
from limosa_server.fleet.device_states import SORTS, STATES
from limosa_server.fleet.inventory import DeviceFilter, DeviceOrder
from limosa_server.pages.device_rows import device_list, device_view
from limosa_server.pages.guard import SignedIn, page_router
from limosa_server.pages.limits import LIMITS
from limosa_server.pages.render import page, path_part
from limosa_server.rollouts import pins
from limosa_server.tables.reports import EventRow

router = page_router()
LATEST_FIRST: Final = ("last_seen", "enrolled_at")
LEAVING: Final = (
    (
        "revoke",
        "Revoke",
        "Stolen, or not trusted for now: it is shut out at once and goes on running what it has. Its groups "
        "stay, and a token lets it in again.",
    ),
    (
        "decommission",
        "Decommission",
        "Scrapped or sold: it is shut out, leaves every group and rollout, and is told so. Its record stays.",
    ),
)
"""(action, button, what it does)."""


@router.get("/devices")
@scoped(TEAM, GROUP)
def list_devices(
    request: Request,
    state: State,
    who: SignedIn,
    only: Annotated[str, Query(alias="state", max_length=16)] = "",
    group: Annotated[str, Query(max_length=128)] = "",
    version: Annotated[str, Query(max_length=256)] = "",
    text: Annotated[str, Query(alias="q", max_length=128)] = "",
    labels: Annotated[str, Query(alias="selector", max_length=SELECTOR_MAX_CHARS)] = "",
    sort: Annotated[str, Query(max_length=16)] = "",
    after: Annotated[str, Query(max_length=512)] = "",
) -> Response:
    """A selector that does not parse is said in its place; everything else that is unknown is left out."""
    selector, mistake = _selector(labels.strip())
    wanted = DeviceFilter(
        state=only if only in STATES else "",
        group=group,
        version=version.strip(),
        text=text.strip(),
        selector=selector,
        nobody=bool(mistake),
    )
    by = sort if sort in SORTS else SORTS[0]
    order = DeviceOrder(by=by, descending=by in LATEST_FIRST)
    with state.store.read() as tx:
        found = device_list(
            tx,
            wanted,
            order=order,
            after=after,
            now=state.clock(),
            scope=who.caller.scope,
        )
    asked = {"state": wanted.state, "group": group, "version": wanted.version, "q": wanted.text}
    asked |= {"selector": labels.strip(), "sort": "" if by == SORTS[0] else by}
    query = urlencode({name: value for name, value in asked.items() if value})
    return page(
        request,
        "devices.html",
        api="/api/v1/devices",
        wanted=wanted,
        labels=labels.strip(),
        mistake=mistake,
        sort=by,
        sorts=SORTS,
        query=query,
        found=found,
        states=STATES,
        after=after,
    )


@router.get("/devices.csv")
def as_csv(
    state: State,
    who: SignedIn,
    only: Annotated[str, Query(alias="state", max_length=16)] = "",
    group: Annotated[str, Query(max_length=128)] = "",
    version: Annotated[str, Query(max_length=256)] = "",
    text: Annotated[str, Query(alias="q", max_length=128)] = "",
    labels: Annotated[str, Query(alias="selector", max_length=SELECTOR_MAX_CHARS)] = "",
) -> Response:
    """What the list shows, all of it. Raises InvalidSelector."""
    wanted = DeviceFilter(
        state=only if only in STATES else "",
        group=group,
        version=version.strip(),
        text=text.strip(),
        selector=Selector.parse(labels) if labels.strip() else None,
    )
    return export(state, who.caller, wanted)


@router.get("/devices/{device:path}")
@scoped(TEAM)
def show_device(request: Request, state: State, who: SignedIn, device: str) -> Response:
    now = state.clock()
    with state.store.read() as tx:
        view = device_view(tx, find_device(tx, device), scope=who.caller.scope)
        commands = device_commands.latest(tx, device, limit=LIMITS.commands_shown)
        pinned = pins.shown(tx, device, scope=who.caller.scope, now=now)
    return page(
        request,
        "device.html",
        pinned=pinned,
        api=f"/api/v1/devices/{path_part(device)}",
        view=view,
        device=view.line.device,
        commands=[device_commands.shape(one, now=now, whole=False) for one in commands],
        leaving=LEAVING,
        evidence={event.id: _evidence(event) for event in view.events},
    )


def _selector(text: str) -> tuple[Selector | None, str]:
    """(selector, why there is none)."""
    if not text:
        return None, ""
    try:
        return Selector.parse(text), ""
    except InvalidSelector as error:
        return None, f"{error.where}: {error.why}"


def _evidence(event: EventRow) -> dict[str, Any]:
    """What the device measured; {} where it gave nothing."""
    try:
        found = json.loads(event.body).get("reason", {}).get("evidence", {})
    except (ValueError, AttributeError):
        return {}  # rows are written from parsed events; a row of a later version may be another
    return found if isinstance(found, dict) else {}
